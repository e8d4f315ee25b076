"""Numeric gradients with the step chosen for every element, their rounding, and kinks.

The two methods are those of `backprop.gradients.numeric`. What is added is how far each slope may
be off, whether an element straddles a kink, and which of the two methods is to be believed.

The step of the central difference goes from 1e-3 max(1, abs(x)) down by tens, until rounding
outweighs what the result still changes; the least uncertain slope is taken. The gap between the
slopes to the left and to the right shrinks with the step where a function bends, and stays where
it has a kink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backprop.gradients.numeric import imaginary_slope, relative_errors, values_beside
from backprop.gradients.problem import Problem, Value
from backprop.gradients.rounding import EPS, SAFETY

EPS32 = float(np.finfo(np.float32).eps)
COMPLEX_STEP = 1e-30
CONFIRMED = 1e-5
"""The relative error of a central difference that confirms a slope which two others agree on."""
FLAT = 1e-5
"""What the gradient of a constant counts as, so that 0 is known well if to 1e-10."""
HIDDEN = 10 * EPS
"""The share of a number inside a function that rounding may hide a change of."""

Index = tuple[int, ...]


class Slope(NamedTuple):
    """The slope by one element, by central differences; or those by several, as arrays."""

    value: Any
    uncertainty: Any  # how far `value` may be off
    step: Any  # the h that was chosen
    left: Any  # the one-sided slopes at that step
    right: Any
    flow: Any = 0.0  # the sizes of the terms that it is the sum of
    kink: Any = False  # whether the element straddles a kink
    float32: Any = False  # whether the function returns numbers of float32


@dataclass(frozen=True)
class NumericGradient:
    """The gradient of a problem by some elements of one array, by both methods.

    Attributes
    ----------
    central : Slope of ndarray
        NaN where the function is not finite.
    exact, exact_uncertainty : ndarray or None
        The gradient by the complex step, if there is one: NaN for an element that has none.
    scale : ndarray
        What an uncertainty is large or small beside: the largest of the element's gradients, of
        all other elements', and of the terms that the gradient is the sum of, which may cancel.
    note : str
        Why there is no complex step, or not for every element.
    """

    central: Slope
    exact: np.ndarray | None
    exact_uncertainty: np.ndarray | None
    scale: np.ndarray
    note: str


def no_gradient(n: int) -> NumericGradient:
    """Return the gradient by n elements of which nothing is known."""
    unknown = Slope(np.nan, np.nan, np.nan, np.nan, np.nan)
    nothing = _together([unknown] * n)
    return NumericGradient(nothing, None, None, nothing.flow, "")


def differentiate(
    problem: Problem,
    name: str,
    indices: list[Index],
    analytic: np.ndarray,
    tolerance: float,
    exact_tolerance: float,
    briefly: bool = False,
) -> NumericGradient:
    """Differentiate by elements of one array; those that disagree with `analytic` are seen twice.

    Parameters
    ----------
    problem : Problem
    name : str
        The array's.
    indices : list of tuple of int
        The elements, n of them.
    analytic : ndarray of shape (n,)
        The hand-written gradient.
    tolerance, exact_tolerance : float
        The largest relative error that raises no doubt, by central differences and by the complex
        step.
    briefly : bool
        Where the complex step and `analytic` agree, the first central difference that is there but
        for 1e-5 will do. What could refute the two would differ by more, and the verdict is the
        same; the uncertainty is not the least there is.
    """
    array = problem.arrays[name]
    off_by = _own_rounding(problem, name, indices)
    terms = off_by / (SAFETY * problem.bits)  # so large were those that rounding in them shows
    with np.errstate(all="ignore"):
        base = problem.after
        exact, rounding, flow, note = _complex_slopes(problem, name, indices, base)
        close = relative_errors(exact, analytic) <= exact_tolerance
        agreed = np.where(close & briefly, exact, np.nan)
        slopes = [
            _central_slope(problem, array, index, base, agreed=known)
            for index, known in zip(indices, agreed, strict=True)
        ]
        central = _together(slopes)
        doubt = _contradicted(exact, analytic, central, tolerance)
        floor = central.uncertainty / tolerance
        off = ~(relative_errors(central.value, analytic, floor) <= tolerance)
        doubt |= off & ~close & ~central.kink
        for i in np.flatnonzero(doubt & ~np.isnan(central.value)):
            slopes[i] = _second_look(problem, array, indices[i], base, slopes[i])
        central = _together(slopes)
        contradicted = _contradicted(exact, analytic, central, tolerance)
        floor = (central.uncertainty + off_by) / tolerance
        off = ~(relative_errors(central.value, analytic, floor) <= tolerance)
        for i in np.flatnonzero(doubt & off & ~contradicted & ~central.kink):
            slopes[i] = _hidden(problem, array, indices[i], base, slopes[i], terms[i])
        central = _together(slopes)
    # Where all stands still at every step, rounding inside the function hides what moves.
    still = (central.value == 0) & (central.left == 0) & (central.right == 0) & ~np.isnan(exact)
    off_central = off_by + np.where(still, np.abs(exact), 0.0)
    central = central._replace(uncertainty=central.uncertainty + off_central)
    rounding += off_by
    if contradicted.any():
        note = f"not analytic in {name}, the two methods differ"
        exact[contradicted] = np.nan
    none = np.isnan(exact)
    seen = np.maximum(np.abs(central.value) - central.uncertainty, 0)
    scale = _scale(problem, base, [analytic, exact, seen], [central.flow, flow, terms])
    if none.all():
        return NumericGradient(central, None, None, scale, note)
    if note:
        note += f" (in {none.sum()} of {len(indices)} elements)"
    return NumericGradient(central, exact, rounding, scale, note)


def _own_rounding(problem: Problem, name: str, indices: list[Index]) -> np.ndarray:
    """Return how far rounding in both passes may put the hand-written gradient off."""
    if name not in problem.rounding:
        return np.zeros(len(indices))
    return np.array([problem.rounding[name][index] for index in indices])


def _scale(
    problem: Problem, base: np.ndarray, gradients: list[np.ndarray], flows: list[np.ndarray]
) -> np.ndarray:
    """Return, for every element, what the uncertainty of its gradient is to be small beside."""
    sizes = [np.where(np.isfinite(one), np.abs(one), 0.0) for one in (*gradients, *flows)]
    largest = max([problem.largest, *(float(one.max(initial=0)) for one in sizes[:3])])
    there = np.abs(problem.weights * base)
    if largest <= 64 * EPS * there[np.isfinite(there)].sum():
        largest = FLAT  # a function that does not change: all that is seen is its rounding
    return np.maximum(largest, np.max(sizes, axis=0))  # type: ignore[no-any-return]


def _together(slopes: list[Slope]) -> Slope:
    """Return the slopes of single elements as one of arrays."""
    table = np.array(slopes, np.float64).reshape(-1, len(Slope._fields)).T
    together = Slope(*table)  # type: ignore[call-arg]  # a row for each field
    return together._replace(kink=together.kink != 0, float32=together.float32 != 0)


def _contradicted(
    exact: np.ndarray, analytic: np.ndarray, central: Slope, tolerance: float
) -> np.ndarray:
    """Return where central differences refute the complex step: the function is not analytic."""
    off = np.abs(exact - central.value)
    size = np.maximum(np.abs(exact), np.abs(central.value))
    # Numbers of order 1 inside the function hide what is smaller than this, unless both the
    # hand-written gradient and the central difference say otherwise.
    agrees = relative_errors(central.value, analytic) <= tolerance
    visible = agrees | ((off > HIDDEN / central.step) & (off > 1e-3 * size))
    return ~central.kink & (off > 10 * central.uncertainty) & visible  # type: ignore[no-any-return]


# -- central differences ---------------------------------------------------------------------


def _central_slope(
    problem: Problem,
    array: np.ndarray,
    index: Index,
    base: np.ndarray,
    h: float | None = None,
    eps: float = EPS,
    noise: float = 1.0,
    agreed: float = np.nan,
    inside: float = 0.0,
) -> Slope:
    """Return the slope of one element, beginning with the step h; `base` are the values at x.

    There may be more rounding inside the function than in its value: by the factor `noise`, or
    that of numbers of the size `inside`. A slope that is `agreed` but for CONFIRMED is not sought
    more exactly.
    """
    weights, here = problem.weights, array[index]
    finite = np.isfinite(base[weights != 0])
    found = best = last = None
    straddles = 0  # steps in a row at which the two sides differ, by as much as before
    h = 1e-3 * max(1.0, abs(here)) if h is None else h
    usual, least = 0.5e-5 * h, 64 * np.spacing(abs(here)) if here else 1e-30
    while h > least and finite.any():
        # What straddles a kink down to the smallest of the usual steps is called one. Smaller
        # steps are for places where no usual one will do: near a pole, or the end of a domain.
        if h < usual and found is not None and (best is None or straddles >= 3):
            break
        beside = _beside(problem, array, index, base, h)
        if beside is None:
            last, h = None, h / 10
            continue
        up, down, slope, left, right, flow = beside
        size = (np.abs(weights) + problem.inner) * np.maximum(np.abs(up), np.abs(down))
        if last is None:  # an output that stays the same at the largest step: it may still move
            moved = up != down
            seen = moved & (weights != 0)
            eps = max(eps, _rounding_unit(np.append(up[seen], down[seen])))
            unmoved = _unmoved(problem, moved, size)
        rounding = noise * (4 * eps * size[moved].sum() + EPS * unmoved) / h
        rounding += HIDDEN * inside / h
        gap = abs(right - left)
        off = 2 * abs(slope - agreed) + rounding
        if off <= CONFIRMED * abs(agreed):
            found = best = Slope(slope, off, h, left, right, flow)
            straddles = 0
            break
        if last is not None:
            last_slope, last_gap = last
            drift = abs(slope - last_slope) / 9  # the error of the smaller step, if of order h
            # Both slopes grow without bound, as those of sqrt(abs(x)) at 0: there is none.
            steeper = gap if gap >= 3 * last_gap and gap > 8 * rounding else 0.0
            found = Slope(slope, drift + rounding + steeper, h, left, right, flow)
            # Curvature makes the gap shrink with h, and rounding makes it grow.
            kinked = bool(0.3 * last_gap < gap < 3 * last_gap and gap > 8 * rounding)
            straddles = straddles + 1 if kinked else 0
            if not kinked:
                if best is None or found.uncertainty < best.uncertainty:
                    best = found
                if drift <= rounding:
                    break
            if h < usual and best is not None and rounding > best.uncertainty:
                break  # and will be larger still
        last = slope, gap
        h /= 10
    if found is None:
        best = Slope(np.nan, np.nan, np.nan, np.nan, np.nan)
    elif best is None or straddles >= 3:
        best = found._replace(kink=straddles > 0)
    assert best is not None
    return best._replace(float32=eps > EPS)


def _beside(
    problem: Problem, array: np.ndarray, index: Index, base: np.ndarray, h: float
) -> tuple[np.ndarray, np.ndarray, float, float, float, float] | None:
    """Return what is seen at a distance of h on both sides, or None if that is not finite.

    The values above and below, the slopes between both, to the left and to the right, and how
    fast the values change.
    """
    weights, here = problem.weights, array[index]
    up, down, above, below = values_beside(problem.value, array, index, h)
    slope = _difference(weights, up, down) / (above - below)
    right = _difference(weights, up, base) / (above - here)
    left = _difference(weights, base, down) / (here - below)
    # An infinite value hides what moves.
    hidden = slope == 0 and not np.isfinite(base[weights != 0]).all()
    if hidden or not np.isfinite([slope, right, left]).all():
        return None
    flow = (np.abs(weights) + problem.inner) * _changes(up, down)
    return up, down, slope, left, right, flow.sum() / (above - below)


def _unmoved(problem: Problem, moved: np.ndarray, size: np.ndarray) -> float:
    """Return the sum of the sizes of the values that did not move, and yet may."""
    still = ~moved & np.isfinite(size)
    if problem.of_arguments and not moved[problem.inner > 0].any():
        still &= problem.inner > 0  # what of a cost can move if its arguments do not
    return size[still].sum()  # type: ignore[no-any-return]


def _difference(weights: np.ndarray, up: np.ndarray, down: np.ndarray) -> Any:
    """Return the weighted sum of up - down, in which what stays infinite has no part."""
    return (weights * _minus(up, down)).sum()


def _changes(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the sizes of the finite ones of up - down."""
    changes = np.abs(_minus(up, down))
    return np.where(np.isfinite(changes), changes, 0.0)


def _minus(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    return np.subtract(up, down, out=np.zeros(up.shape), where=up != down)  # type: ignore[no-any-return]


def _rounding_unit(values: np.ndarray) -> float:
    """Return the eps of numbers: float32's if all of them are numbers of float32.

    Round ones, such as those where a neuron saturates, tell nothing.
    """
    with np.errstate(all="ignore"):
        single = np.array_equal(values.astype(np.float32), values)
    return EPS32 if single and np.any(1024 * values % 1 != 0) else EPS


def _second_look(
    problem: Problem, array: np.ndarray, index: Index, base: np.ndarray, first: Slope
) -> Slope:
    """Return the slope of an element in doubt, with the noise in it as it is measured.

    It is replaced if the steps were too large for so small an element, or so small that a
    function which computes in float32 inside stood still.
    """
    best, here = first, abs(array[index])
    if 0 < here < 1:
        other = _central_slope(problem, array, index, base, 1e-3 * here)
        known = best.uncertainty if best.value else 0.0
        if abs(other.value - best.value) > 10 * (other.uncertainty + known):
            best = other
    smooth, best = best, _with_scatter(problem, array, index, best)
    if best.uncertainty > 10 * smooth.uncertainty > 0:  # steps were too small for so much noise
        noise = best.uncertainty / smooth.uncertainty
        h = min(1e6 * best.step, 1e-3 * max(1.0, here))
        other = _central_slope(problem, array, index, base, h, noise=noise)
        if not np.isnan(other.value) and not other.kink:
            other = _with_scatter(problem, array, index, other)
            best = min(best, other, key=lambda slope: slope.uncertainty)
    if best.uncertainty >= 0.1 * abs(best.value):
        other = _central_slope(problem, array, index, base, eps=EPS32)
        if other.value != 0 and not np.isnan(other.value) and not other.kink:
            other = _with_scatter(problem, array, index, other)
            if best.value == 0 or other.uncertainty < best.uncertainty:
                best = other
    return best


def _hidden(
    problem: Problem,
    array: np.ndarray,
    index: Index,
    base: np.ndarray,
    first: Slope,
    inside: float,
) -> Slope:
    """Return the slope, as uncertain as rounding in numbers of the size `inside` makes it.

    Small steps may move a tiny part of the function alone, and what is more stands still: a gate
    of an LSTM far out is 1e-13, and known to bits of 1.
    """
    other = _central_slope(problem, array, index, base, inside=inside)
    explained = abs(other.value - first.value) <= HIDDEN * inside / first.step
    return other if explained and not other.kink else first


def _with_scatter(problem: Problem, array: np.ndarray, index: Index, slope: Slope) -> Slope:
    """Return the slope, as uncertain at least as those of neighbouring steps scatter.

    That is all rounding, wherever it happens. The steps are smaller ones, which reach no other
    kink.
    """
    uncertainty = slope.uncertainty
    for factor in np.linspace(0.4, 0.9, 6):
        up, down, above, below = values_beside(problem.value, array, index, factor * slope.step)
        other = _difference(problem.weights, up, down) / (above - below)
        uncertainty = max(uncertainty, 2 * abs(other - slope.value))
    return slope._replace(uncertainty=uncertainty)


# -- the complex step ------------------------------------------------------------------------


def _complex_slopes(
    problem: Problem, name: str, indices: list[Index], base: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return the slopes, how far rounding may put them off, their terms, and why some are NaN."""
    if isinstance(problem.in_complex, str):
        nothing = np.full(len(indices), np.nan)
        return nothing, nothing.copy(), nothing.copy(), problem.in_complex
    arrays, value = problem.in_complex
    found = [_complex_slope(problem, value, arrays[name], index, base) for index in indices]
    slopes, flow, reached = np.array(found).reshape(-1, 3).T
    slopes[~np.isfinite(slopes)] = np.nan
    none = np.isnan(slopes)
    # A gradient that is tiny beside others comes out of the same sums and differences:
    # that of a bias below a batch normalisation is 0, and 1e-16 in backward.
    rounding = 8 * EPS * (flow + reached + np.abs(slopes[~none]).max(initial=0))
    rounding += 64 * EPS * problem.largest
    # What two roundings of the output take away, as 1 - a does where a is 1 but for 1e-84.
    there = np.abs(problem.weights * base)
    rounding += EPS * EPS * there[np.isfinite(there)].sum()
    return slopes, rounding, flow, f"not finite in {name}" if none.any() else ""


def _complex_slope(
    problem: Problem, value: Value, array: np.ndarray, index: Index, base: np.ndarray
) -> tuple[float, float, float]:
    """Return the slope of one element, the sizes of its terms, and of the outputs it reaches.

    NaN, if the function does not give one for this element.
    """
    here = array[index]
    h = max(COMPLEX_STEP * min(1.0, abs(here.real) or 1.0), 1e-290)
    try:
        moved = imaginary_slope(value, array, index, h)
    except Exception:  # whatever a function says that is not made for complex numbers
        return np.nan, np.nan, np.nan
    terms = problem.weights * moved
    reached = np.abs(problem.weights * base)[terms != 0].sum()
    if not np.isfinite(reached):  # ln(0 + ih) is finite, but ln 0 is not
        return np.nan, np.nan, np.nan
    if problem.of_arguments:  # what BP1 inherits is their rounding, not that of the cost
        reached = 0.0
    inner = (problem.inner * np.abs(moved)).sum()
    return terms.sum(), np.abs(terms).sum() + inner, reached
