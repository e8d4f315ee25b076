"""What a gradient check found: an `ArrayCheck` for each array, and the `Report` of them all."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass

import numpy as np

from backprop.core.shapes import Shape
from backprop.core.tables import columns
from backprop.core.terminal import readable
from backprop.gradients.numeric import relative_errors

_HEADER = ("gradient by", "shape", "checked", "central", "complex", "step", "kinks", "")
_SHOWN = 5  # elements of an array, and kinks, that are written out


@dataclass(frozen=True)
class ArrayCheck:
    """The gradient by one array: analytic and numeric, for every element that was checked.

    All arrays have one entry an element, in the order of `indices`.

    Attributes
    ----------
    name : str
        "input", or the parameter's name, with the layer's in a network.
    shape : tuple of int
        The array's.
    indices : list of tuple of int
        The elements that were checked.
    analytic, central : ndarray
        The hand-written gradient, and that by central differences.
    uncertainty : ndarray
        How far `central` may be off.
    step : ndarray
        The h that was chosen.
    left, right : ndarray
        The one-sided slopes at that step.
    kink : ndarray of bool
        Whether the element straddles a corner.
    exact, exact_uncertainty : ndarray or None
        The gradient by the complex step, if there is one: NaN for an element that has none.
    note : str
        Why there is none, or not for every element.
    scale : ndarray
        What an uncertainty is large or small beside: the largest of all gradients, or of the terms
        that this one is the sum of.
    float32 : bool
        Whether the function returns numbers of float32.
    tolerance, exact_tolerance : float
        The largest relative error of a right gradient.
    reason : str
        Why no element was judged, where that is so.
    """

    name: str
    shape: Shape
    indices: list[tuple[int, ...]]
    analytic: np.ndarray
    central: np.ndarray
    uncertainty: np.ndarray
    step: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    exact: np.ndarray | None
    exact_uncertainty: np.ndarray | None
    scale: np.ndarray
    note: str
    float32: bool
    tolerance: float
    exact_tolerance: float
    reason: str = ""

    @property
    def central_error(self) -> np.ndarray:
        """The relative error against central differences; 0 where they mean nothing.

        That is at a kink, and where only the complex step is finite.
        """
        error = self._error(self.central, self.uncertainty, self.tolerance)
        return np.where(self.kink | (np.isnan(self.central) & self._has_exact), 0.0, error)

    @property
    def exact_error(self) -> np.ndarray | None:
        """The relative error against the complex step, 0 where it has none; or None."""
        if self.exact is None or self.exact_uncertainty is None:
            return None
        error = self._error(self.exact, self.exact_uncertainty, self.exact_tolerance)
        return np.where(self.kink | ~self._has_exact, 0.0, error)

    @property
    def _has_exact(self) -> np.ndarray:
        return np.zeros(self.kink.shape, bool) if self.exact is None else ~np.isnan(self.exact)

    def _error(self, numeric: np.ndarray, uncertainty: np.ndarray, tolerance: float) -> np.ndarray:
        error = relative_errors(numeric, self.analytic, uncertainty / tolerance)
        return np.where(error > tolerance, relative_errors(numeric, self.analytic), error)

    @property
    def passed(self) -> np.ndarray:
        """Whether the element's gradient was judged, and is right.

        It is as near to the numeric gradient as `tolerance` demands, or as near as that is known
        itself, if it is known well.
        """
        return self._verdicts[0]

    @property
    def wrong(self) -> np.ndarray:
        """Whether the element's gradient was judged, and is not right. NaN never is.

        The complex step decides wherever there is one. Only what it forgives, because rounding in
        it would explain as much, is for central differences to confirm, as is all the rest.
        """
        return self._verdicts[1]

    @property
    def not_judged(self) -> np.ndarray:
        """Whether the element's gradient may be right or wrong: `describe` says why."""
        return ~(self.passed | self.wrong)

    @functools.cached_property
    def _verdicts(self) -> tuple[np.ndarray, np.ndarray]:
        """Which elements are right, and which are wrong."""
        nothing = np.zeros(self.kink.shape, bool)
        if self.reason:
            return nothing, nothing
        seen = ~np.isnan(self.central)
        known = seen & (self.uncertainty <= self._limit)
        close = relative_errors(self.central, self.analytic) <= self.tolerance
        far = seen & ~(self.central_error <= self.tolerance)
        # That 0 equals 0 says little where all that is less than 1 is lost in rounding.
        right = seen & ~far & (known | (close & (self.analytic != 0)))
        wrong, exactly = far, nothing
        error = self.exact_error
        if error is not None and self.exact is not None and self.exact_uncertainty is not None:
            # An imaginary part of exactly 0 may have been lost on the way, as in abs.
            decides = self._has_exact & ((self.exact != 0) | known)
            exactly = relative_errors(self.exact, self.analytic) <= self.exact_tolerance
            exact_known = self.exact_uncertainty <= self._limit
            far_off = far | ~(error <= self.exact_tolerance)
            right = np.where(decides, exactly | (~far_off & (exact_known | right)), right)
            wrong = np.where(decides, ~exactly & far_off, wrong)
        # At a kink any number between the two slopes is a right one; but where no element is
        # elsewhere that says little, and it has to be one of the two.
        slack = self.uncertainty + 1e-3 * np.abs(self.right - self.left)
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        between = (low - slack <= self.analytic) & (self.analytic <= high + slack)
        one_side = np.minimum(np.abs(self.analytic - low), np.abs(self.analytic - high)) <= slack
        right = np.where(self.kink, exactly | (one_side if self.kink.all() else between), right)
        wrong = np.where(self.kink, ~exactly & ~between, wrong)
        return right, wrong

    @property
    def _limit(self) -> np.ndarray:
        """How far a numeric gradient may be off, and the element still counts as judged."""
        return min((1e5 if self.float32 else 1e3) * self.tolerance, 0.1) * self.scale

    @property
    def unknown(self) -> np.ndarray:
        """Whether there is no numeric gradient, because the function is not finite there."""
        return np.isnan(self.central) & ~self._has_exact

    @property
    def known(self) -> np.ndarray:
        """How far the numeric gradient may be off: by the complex step where there is one."""
        if self.exact_uncertainty is None:
            return self.uncertainty
        return np.where(self._has_exact, self.exact_uncertainty, self.uncertainty)

    def worst(self) -> list[int]:
        """Return where the wrong elements are, in `indices`, the worst first."""
        error = self.central_error
        if self.exact_error is not None:
            error = np.maximum(error, self.exact_error)
        order = np.argsort(np.where(np.isnan(error), np.inf, -error), kind="stable")
        return [int(i) for i in order if self.wrong[i]]

    def describe(self, i: int) -> str:
        """Return a line on one element: both values, and their ratio; or why it is not judged."""
        index = ", ".join(map(str, self.indices[i]))
        line = f"{self.name}[{index}]: backward {self.analytic[i]:.8g}, "
        if self.reason:
            return line + self.reason
        if self.kink[i]:
            line += (
                f"kink, slope {self.left[i]:.6g} to the left and {self.right[i]:.6g} to the right"
            )
            return line + (", and no element is elsewhere" if self.not_judged[i] else "")
        if self.unknown[i]:
            return line + "numeric unknown, the function is not finite there"
        numeric, error = self.central[i], self.exact_error
        if self.exact is not None and error is not None and self._has_exact[i]:
            seen = error[i] <= self.exact_tolerance and self.wrong[i]  # by central differences
            numeric = numeric if seen else self.exact[i]
        if self.not_judged[i]:
            return line + f"numeric {numeric:.8g} is only known to {self.known[i]:.0e}"
        ratio = self.analytic[i] / numeric if numeric else np.inf
        relative = relative_errors(numeric, self.analytic[i])
        return line + f"numeric {numeric:.8g}, ratio {ratio:.6g}, relative error {relative:.1e}"

    def __repr__(self) -> str:
        n = len(self.indices)
        verdicts = {"right": self.passed, "wrong": self.wrong, "not judged": self.not_judged}
        found = ", ".join(f"{v.sum()} {name}" for name, v in verdicts.items() if v.any())
        return f"<ArrayCheck of {self.name}, {self.shape}: of {n} elements {found}>"


@dataclass(frozen=True, repr=False)
class Report:
    """What `check_gradients` found: it prints as a table, with the elements that are not right.

    Attributes
    ----------
    target : str
        The layer, cost, network or function.
    arrays : tuple of ArrayCheck
    disagreements : tuple of str
        A line for each two ways to the same value or gradient that lead to different ones.
    """

    target: str
    arrays: tuple[ArrayCheck, ...]
    disagreements: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every gradient that was asked for was judged, and is right."""
        return self.verdict == "right"

    @property
    def verdict(self) -> str:
        """Say "right", "wrong" if anything is, or "not judged" if anything was not."""
        if self.disagreements or any(array.wrong.any() for array in self.arrays):
            return "wrong"
        return "not judged" if any(array.not_judged.any() for array in self.arrays) else "right"

    @property
    def central_error(self) -> float:
        """The largest relative error against central differences; NaN if one is not known."""
        return float(max((a.central_error.max(initial=0) for a in self.arrays), default=0.0))

    @property
    def exact_error(self) -> float | None:
        """The largest relative error against the complex step, or None if it was not possible."""
        errors = [a.exact_error for a in self.arrays]
        if any(error is None for error in errors):
            return None
        return max(
            (float(error.max(initial=0)) for error in errors if error is not None), default=0
        )

    @property
    def kinks(self) -> list[str]:
        """A line on every element that straddles a kink."""
        return [a.describe(int(i)) for a in self.arrays for i in np.flatnonzero(a.kink)]

    def __str__(self) -> str:
        table = columns([_HEADER, *map(_row, self.arrays)], stream=sys.stdout)
        lines = [f"{self.target}: {_WORDS[self.verdict]}", *(f"  {line}" for line in table)]
        lines += self.disagreements
        for array in self.arrays:
            lines += self._elements(array, array.worst(), "wrong", "the worst are")
        reasons = dict.fromkeys(array.reason for array in self.arrays if array.reason)
        if reasons:
            lines += [f"{self.target}: {reason}" for reason in reasons]
        else:
            for array in self.arrays:
                unjudged = np.flatnonzero(array.not_judged).tolist()
                lines += self._elements(array, unjudged, "not judged", "such as")
        kinks = [a.describe(int(i)) for a in self.arrays for i in np.flatnonzero(a.kink & a.passed)]
        lines += [f"  {kink}" for kink in kinks[:_SHOWN]]
        if len(kinks) > _SHOWN:
            lines.append(f"  and {len(kinks) - _SHOWN} more kinks")
        if any(array.float32 for array in self.arrays):
            lines.append("the function computes in float32: only coarse errors can be seen")
        notes = dict.fromkeys(array.note for array in self.arrays if array.note)
        lines += [f"no complex step: {note}" for note in notes]
        return readable("\n".join(lines), sys.stdout)

    __repr__ = __str__

    def _elements(self, array: ArrayCheck, which: list[int], verdict: str, some: str) -> list[str]:
        """Return lines on the elements of one verdict, if there are any: not on too many."""
        if not which:
            return []
        n = f"{len(which)} of {len(array.indices)}"
        lines = [f"{self.target}, {array.name}: {verdict} in {n} elements, {some}"]
        return [*lines, *(f"  {array.describe(i)}" for i in which[:_SHOWN])]


_WORDS = {
    "right": "the gradients are right",
    "wrong": "WRONG GRADIENTS",
    "not judged": "NOT JUDGED",
}


def _row(array: ArrayCheck) -> tuple[str, ...]:
    exact = array.exact_error
    size = int(np.prod(array.shape))
    n = len(array.indices)
    steps = sorted(set(array.step[~np.isnan(array.step)].tolist()))
    return (
        array.name,
        str(array.shape),
        f"all {size:,}" if n == size else f"{n:,} of {size:,}",
        "-" if np.isnan(array.central).all() else f"{np.nanmax(array.central_error):.1e}",
        "-" if exact is None else f"{exact.max(initial=0):.1e}",
        " to ".join(dict.fromkeys(f"{h:.0e}" for h in steps[:1] + steps[-1:])) or "-",
        str(int(array.kink.sum())),
        "WRONG" if array.wrong.any() else "not judged" if array.not_judged.any() else "right",
    )
