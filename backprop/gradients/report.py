"""What a gradient check found: an `ArrayCheck` for each array, and the `Report` of them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backprop.core.shapes import Shape
from backprop.core.tables import columns
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
    float32 : bool
        Whether the function returns numbers of float32.
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
    note: str
    float32: bool
    tolerance: float
    exact_tolerance: float

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
    def wrong(self) -> np.ndarray:
        """Whether the element's gradient is not known to be right. NaN never is.

        The complex step decides wherever there is one. Only what it forgives, because rounding in
        it would explain as much, is for central differences to confirm, as is all the rest.
        """
        slack = self.uncertainty + 1e-3 * np.abs(self.right - self.left)
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        between = (low - slack <= self.analytic) & (self.analytic <= high + slack)
        right = np.where(self.kink, between, self.central_error <= self.tolerance)
        error = self.exact_error
        if error is not None and self.exact is not None:
            close = relative_errors(self.exact, self.analytic) <= self.exact_tolerance
            right = close | (right & (~self._has_exact | (error <= self.exact_tolerance)))
        return ~right

    @property
    def unknown(self) -> np.ndarray:
        """Whether there is no numeric gradient, because the function is not finite there."""
        return np.isnan(self.central) & ~self._has_exact

    @property
    def coarse(self) -> np.ndarray:
        """Whether the numeric gradient is too uncertain to tell a right gradient from a wrong one.

        Such an element is not called wrong; the report says how many there are.
        """
        numeric = self.central
        if self.exact is not None:
            numeric = np.where(self._has_exact, self.exact, self.central)
        size = np.maximum(np.abs(numeric), np.abs(self.analytic))
        close = relative_errors(numeric, self.analytic) <= self.tolerance
        return (self.known > 0.1 * size) & ~(close | self.kink | self.wrong)

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
        """Return a line on one element: both values, and their ratio."""
        index = ", ".join(map(str, self.indices[i]))
        line = f"{self.name}[{index}]: backward {self.analytic[i]:.8g}, "
        if self.kink[i]:
            return line + (
                f"kink, slope {self.left[i]:.6g} to the left and {self.right[i]:.6g} to the right"
            )
        if self.unknown[i]:
            return line + "numeric unknown, the function is not finite there"
        numeric, error = self.central[i], self.exact_error
        if self.exact is not None and error is not None and self._has_exact[i]:
            seen = error[i] <= self.exact_tolerance and self.wrong[i]  # by central differences
            numeric = numeric if seen else self.exact[i]
        ratio = self.analytic[i] / numeric if numeric else np.inf
        relative = relative_errors(numeric, self.analytic[i])
        return line + f"numeric {numeric:.8g}, ratio {ratio:.6g}, relative error {relative:.1e}"


@dataclass(frozen=True)
class Report:
    """What `check_gradients` found; ``str(report)`` is a table, and the wrong elements.

    Attributes
    ----------
    target : str
        The layer, cost, network or function.
    arrays : tuple of ArrayCheck
    """

    target: str
    arrays: tuple[ArrayCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no gradient is wrong."""
        return not any(array.wrong.any() for array in self.arrays)

    @property
    def central_error(self) -> float:
        """The largest relative error against central differences."""
        return max((float(a.central_error.max(initial=0)) for a in self.arrays), default=0.0)

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
        verdict = "the gradients are right"
        if not self.passed:
            known = any((array.wrong & ~array.unknown).any() for array in self.arrays)
            verdict = "WRONG GRADIENTS" if known else "NOT CHECKED, the function is not finite"
        table = columns([_HEADER, *map(_row, self.arrays)])
        lines = [f"{self.target}: {verdict}", *(f"  {line}" for line in table)]
        for array in self.arrays:
            wrong = array.worst()
            if wrong:
                n = f"{len(wrong)} of {len(array.indices)}"
                what = "wrong" if (array.wrong & ~array.unknown).any() else "not checked"
                lines.append(f"{self.target}, {array.name}: {what} in {n} elements, the worst are")
                lines += [f"  {array.describe(i)}" for i in wrong[:_SHOWN]]
        kinks = self.kinks
        lines += [f"  {kink}" for kink in kinks[:_SHOWN]]
        if len(kinks) > _SHOWN:
            lines.append(f"  and {len(kinks) - _SHOWN} more kinks")
        for array in self.arrays:
            coarse = array.coarse
            if coarse.any():
                lines.append(
                    f"{array.name}: {coarse.sum()} of {coarse.size} elements cannot be judged, the "
                    f"numeric gradient is only known to {array.known[coarse].max():.0e}"
                )
        if any(array.float32 for array in self.arrays):
            lines.append("the function computes in float32: only coarse errors can be seen")
        notes = dict.fromkeys(array.note for array in self.arrays if array.note)
        lines += [f"no complex step: {note}" for note in notes]
        return "\n".join(lines)


def _row(array: ArrayCheck) -> tuple[str, ...]:
    exact = array.exact_error
    size = int(np.prod(array.shape))
    n = len(array.indices)
    steps = sorted(set(array.step[~np.isnan(array.step)].tolist()))
    return (
        array.name,
        str(array.shape),
        f"all {size:,}" if n == size else f"{n:,} of {size:,}",
        f"{array.central_error.max(initial=0):.1e}",
        "-" if exact is None else f"{exact.max(initial=0):.1e}",
        " to ".join(dict.fromkeys(f"{h:.0e}" for h in steps[:1] + steps[-1:])) or "-",
        str(int(array.kink.sum())),
        _verdict(array),
    )


def _verdict(array: ArrayCheck) -> str:
    if (array.wrong & ~array.unknown).any():
        return "WRONG"
    return "not checked" if array.unknown.any() else "right"
