"""Attribution: how much each input has to do with an output, one map for every example.

==========================  ====================================================================
`gradient`                  dS/dx of a score S, each example's own
`saliency`                  |dS/dx|
`guided_backpropagation`    the gradient, in which every ReLU hands down nothing that is negative
`gradient_times_input`      x * dS/dx
`integrated_gradients`      (x - x0) * the mean of dS/dx on the way from x0 to x
`backprop.research.lrp`     layer-wise relevance propagation, by rules
==========================  ====================================================================

S is a number an example: the output of one class, or any weighted sum of outputs. It is taken of
z, below the last sigma, unless told: a softmax ties every class to all others, so that what speaks
against them looks like what speaks for this one. No example's S is divided by the batch size.

All is computed in float64, of the network as it predicts, on a copy: the network is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_number, kind_of
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError, as_tuple, count_examples, each_array, one_for_each
from backprop.layers import Layer, Neurons, ReLU
from backprop.network import Network
from backprop.research.arguments import check_network

NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)
SIZE = 2**22
"""How many numbers of inputs are gone through at once by `integrated_gradients`."""
WITHIN = 0.9
"""What of its tolerance it takes up, so that whoever adds up in float32 finds it kept, too."""


def gradient(network: Network, x: Any, target: Any = None, of: str = "z") -> Any:
    """Return dS/dx, the gradient of every example's score by its own input.

    Parameters
    ----------
    network : Network
    x : ndarray, input shape x B
        Of the network's dtype; a tuple for a graph of several inputs.
    target : int, ndarray of int (B,), ndarray of output shape x B, or None
        S: the output of one class, of each example's own class, or the sum of all outputs times
        these numbers. None is the class with the largest output.
    of : {"z", "a"}
        The outputs below the last sigma, or above it. They are the same for a last layer without.

    Returns
    -------
    ndarray of float64, x's shape

    Raises
    ------
    TypeError, ValueError, ShapeError
        For another target, a network that takes integers (attribute the layers above the
        embedding) or has several outputs, or an x that is no input.
    """
    scored = Scored(network, x, target, of)
    return scored.gradient()


def saliency(network: Network, x: Any, target: Any = None, of: str = "z") -> Any:
    """Return |dS/dx|: by how much the score would change with each input.

    Arguments and errors are those of `gradient`. Source: Simonyan, Vedaldi and Zisserman, "Deep
    Inside Convolutional Networks", 2014, who show the largest of the channels.
    """
    return each_array(np.abs, gradient(network, x, target, of))


def gradient_times_input(network: Network, x: Any, target: Any = None, of: str = "z") -> Any:
    """Return x * dS/dx: of a linear score without bias its terms, which add up to it.

    So they do for any network of ReLU and maxima without biases, where it is the same as LRP-0.
    Arguments and errors are those of `gradient`. Source: Shrikumar et al., "Not Just a Black Box",
    2016.
    """
    scored = Scored(network, x, target, of)
    return pairwise(np.multiply, scored.x, scored.gradient())


def guided_backpropagation(network: Network, x: Any, target: Any = None, of: str = "z") -> Any:
    """Return dS/dx with every ReLU handing down only what is positive.

    ::

        delta = max(0, nabla_a) * sigma'(z)          at every layer with sigma = ReLU

    What is left are the inputs that excite neurons which excite the score. It shows edges, and
    much the same ones for every class: see Adebayo et al., "Sanity Checks for Saliency Maps", 2018.
    Arguments and errors are those of `gradient`. Source: Springenberg et al., "Striving for
    Simplicity", 2015.

    Raises
    ------
    ValueError
        If there is no ReLU, of which it would be the plain gradient, or one inside a loop over
        time.
    """
    scored = Scored(network, x, target, of)
    found = [(name, layer) for name, layer in scored.twin.walk() if has_relu(layer)]
    if not found:
        raise ValueError("guided_backpropagation: the network has no ReLU to guide through")
    for name, layer in found:
        if not isinstance(layer, Neurons):
            raise ValueError(
                f"guided_backpropagation: layer {name}, {layer}, has its ReLU in a loop over time, "
                "in which no rule is given: use integrated_gradients"
            )
        layer.add_hook("upstream", positive_part)
    return scored.gradient()


def has_relu(layer: Layer) -> bool:
    """Say whether the layer itself, and not one inside it, ends in a ReLU."""
    return not layer.children and isinstance(layer.own_activation, ReLU)


def positive_part(layer: Any) -> None:
    """Leave of dC/da what is positive."""
    np.maximum(layer.nabla_a, 0, out=layer.nabla_a)


@underflow_is_0
def integrated_gradients(
    network: Network,
    x: Any,
    target: Any = None,
    of: str = "z",
    baseline: Any = 0.0,
    tolerance: float = 1e-4,
) -> Any:
    """Return (x - x0) * the mean of dS/dx on the straight way from x0 to x.

    ::

        IG_i = (x_i - x0_i) * integral from 0 to 1 of dS/dx_i (x0 + t (x - x0)) dt

    They add up to S(x) - S(x0), for every example within `tolerance`. That is also how the integral
    is made: the way is cut into intervals, and every interval at whose ends the difference of S is
    not the sum of its own part is halved, so that the corners of ReLU and of maxima are closed in
    on. In each, Gauss and Legendre's three points.

    Parameters
    ----------
    network, x, target, of
        As in `gradient`.
    baseline : float, or ndarray of x's shape or input shape x 1
        x0, an input that says nothing; a tuple for several inputs.
    tolerance : float
        How far the sum may be from the difference. A larger one is reached sooner: in a
        convolutional net of thousands of ReLU, 1e-2 takes tens of passes and 1e-4 thousands.

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `gradient`; for a baseline of another shape.
    RuntimeError
        If the sum does not come that near, as where S jumps.

    Source: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017.
    """
    tolerance = check_number("integrated_gradients: tolerance", tolerance, "(0, inf)")
    scored = Scored(network, x, target, of)
    several = isinstance(scored.x, tuple)
    if not isinstance(baseline, tuple):
        baseline = (baseline,) * len(scored.x) if several else baseline
    x0 = pairwise(baseline_like, scored.x, baseline)
    way = pairwise(np.subtract, scored.x, x0)
    everyone = np.arange(scored.batch)
    ends = scored.at(x0, everyone), scored.at(scored.x, everyone)
    total = each_array(np.zeros_like, way)
    wanted, examples = ends[1] - ends[0], everyone
    for allowed in tolerance / 8.0 ** np.arange(6):
        for one in total if several else (total,):
            one[..., examples] = 0
        integrate(scored, x0, way, examples, ends, allowed, total)
        gap = abs(sum_of_each(total) - wanted)
        examples = np.flatnonzero(gap > WITHIN * tolerance)
        if not examples.size:
            return total
    examples = np.flatnonzero(gap > tolerance)
    if not examples.size:
        return total
    raise RuntimeError(
        f"integrated_gradients: of example {examples[0]} they add up to the difference of the "
        f"scores, {wanted[examples[0]]:g}, but for {gap[examples[0]]:.1e}, more than the tolerance "
        f"{tolerance:g}: does the score jump on the way from the baseline?"
    )


def integrate(
    scored: Scored,
    x0: Any,
    way: Any,
    examples: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    allowed: float,
    total: Any,
) -> None:
    """Add to the total of the examples the integral of dS/dx times the way, interval by interval.

    Every interval is taken whose own sum differs from its difference of S by no more than allowed,
    and the others are halved; those of one length, of all examples, are gone through together.
    """
    size = max(1, SIZE // sum(a[..., 0].size for a in as_tuple(x0)))
    length = 1.0
    intervals = [(examples, np.zeros(len(examples)), ends[0][examples], ends[1][examples])]
    while intervals:
        left = []
        for which, start, s_start, s_end in pieces(intervals, size):
            parts: Any = 0.0
            for node, weight in zip(NODES, WEIGHTS, strict=True):
                t = start + length * (node + 1) / 2
                slopes = scored.gradient_at(on_the_way(x0, way, which, t), which)
                parts = pairwise(np.add, parts, scale(slopes, weight * length / 2))
            parts = pairwise(np.multiply, each_array(lambda one: one[..., which], way), parts)  # noqa: B023
            done = abs(sum_of_each(parts) - (s_end - s_start)) <= allowed
            done |= length < 1e-12  # a jump, which halving does not make smaller
            done &= length < 1 / 4  # three points may be right by chance
            for one, mine in zip(as_tuple(total), as_tuple(parts), strict=True):
                np.add.at(np.moveaxis(one, -1, 0), which[done], np.moveaxis(mine, -1, 0)[done])
            if not done.all():
                which, start = which[~done], start[~done]
                middle = start + length / 2
                s_middle = scored.at(on_the_way(x0, way, which, middle), which)
                left.append((which, start, s_start[~done], s_middle))
                left.append((which, middle, s_middle, s_end[~done]))
        intervals, length = left, length / 2


def pieces(intervals: list[tuple], size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the intervals, of which each entry is an array, so many at a time."""
    columns = tuple(map(np.concatenate, zip(*intervals, strict=True)))
    for start in range(0, len(columns[0]), size):
        yield tuple(column[start : start + size] for column in columns)


class Scored:
    """A network in float64, as it predicts, an input, and the score S of each of its examples."""

    def __init__(self, network: Network, x: Any, target: Any, of: str) -> None:
        check_network("attribution", network)
        if of not in ("z", "a"):
            raise ValueError(f'of must be "z", below the last sigma, or "a", got {of!r}')
        if network.root.integer_input:
            raise TypeError(
                "attribution is by numbers, and the network takes integers: attribute the layers "
                "above its first, Network(copy.deepcopy(network.layers[1:]), ...), at what that "
                "makes of the input"
            )
        if isinstance(network.output_shape[0], tuple):
            raise TypeError(
                f"attribution is of one output, and the network has {len(network.output_shape)}: "
                "build a Graph of one of them from a copy of its nodes"
            )
        network.check_x(x)
        self.twin = network.astype("float64")
        self.x = each_array(lambda one: one.astype(np.float64), x)
        self.batch = count_examples(self.x)
        self.below_sigma = of == "z" and network.root.output_activation is not None
        self.weights = weights_of(target, self.outputs(self.x), self.below_sigma)

    def outputs(self, x: Any) -> np.ndarray:
        """Go forward, and return the outputs of which S is made."""
        a = self.twin.forward(x, keep=True)
        return self.twin.root.z if self.below_sigma else a  # type: ignore[no-any-return]

    def at(self, x: Any, which: np.ndarray) -> np.ndarray:
        """Return S of these examples at some other x."""
        outputs = self.outputs(x)
        return (self.weights[..., which] * outputs).reshape(-1, len(which)).sum(axis=0)  # type: ignore[no-any-return]

    def gradient_at(self, x: Any, which: np.ndarray) -> Any:
        """Return dS/dx of these examples at some other x."""
        self.outputs(x)
        enter = self.twin.root.backward_from if self.below_sigma else self.twin.root.backward
        return enter(np.ascontiguousarray(self.weights[..., which]))

    def gradient(self) -> Any:
        """Return dS/dx at x."""
        return self.gradient_at(self.x, np.arange(self.batch))


def weights_of(target: Any, outputs: np.ndarray, below_sigma: bool = True) -> np.ndarray:
    """Return by what the outputs are multiplied to make S, from what the caller gave as target."""
    shape = outputs.shape
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        if target.shape != shape:
            labels = len(shape) == 2 and target.shape == shape[1:]
            way = ": classes are integers, give target.astype(int)" if labels else ""
            way = ": give target.T" if target.T.shape == shape else way
            raise ShapeError(
                f"target: expected the outputs' shape {shape}, got {target.shape}{way}"
            )
        check_array("attribution", "target", target, None)
        return target.astype(np.float64)
    if len(shape) != 2:
        raise ShapeError(
            f"target: the outputs have the shape {shape}, not K x B, so that there are no classes: "
            "give an array of that shape, by which they are multiplied and added up"
        )
    labels = outputs.argmax(axis=0) if target is None else np.asarray(target)
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (shape[1],)):
        way = ": give target.astype(float)" if labels.shape == shape else ""
        way = ": give target.ravel()" if labels.ndim == 2 and labels.size == shape[1] else way
        raise TypeError(
            f"target must be a class, an array of {shape[1]} classes, an array of floats of shape "
            f"{shape}, or None, got {kind_of(target)}{way}"
        )
    if labels.min() < 0 or labels.max() >= shape[0]:
        wrong = labels[(labels < 0) | (labels >= shape[0])].ravel()[0]
        raise ValueError(f"target: classes are 0 to {shape[0] - 1}, got {wrong}")
    weights = np.zeros(shape)
    weights[labels, np.arange(shape[1])] = 1
    return weights


# -- one array, or several in a tuple ----------------------------------------------------------


def pairwise(function: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Apply a function of two arrays to two, or to two tuples of them."""
    if not isinstance(other, tuple):
        return function(one, other)
    ones = one_for_each(one, len(other))
    return tuple(function(a, b) for a, b in zip(ones, other, strict=True))


def scale(arrays: Any, factor: float) -> Any:
    """Multiply one array, or several, by a number."""
    return each_array(lambda one: factor * one, arrays)


def sum_of_each(arrays: Any) -> np.ndarray:
    """Return the sum over all features of all arrays, one number an example."""
    return sum(a.reshape(-1, a.shape[-1]).sum(axis=0) for a in as_tuple(arrays))  # type: ignore[return-value]


def on_the_way(x0: Any, way: Any, which: np.ndarray, t: np.ndarray) -> Any:
    """Return x0 + t way of these examples."""
    return pairwise(lambda a, b: a[..., which] + t * b[..., which], x0, way)


def baseline_like(x: np.ndarray, baseline: Any) -> np.ndarray:
    """Return the baseline as an array of x's shape."""
    if not isinstance(baseline, np.ndarray):
        return np.full_like(x, check_number("integrated_gradients: baseline", baseline))
    if baseline.shape not in (x.shape, (*x.shape[:-1], 1)):
        raise ShapeError(
            f"integrated_gradients: the baseline must be a number, or of shape {x.shape} or "
            f"{(*x.shape[:-1], 1)}, got {baseline.shape}"
        )
    return np.broadcast_to(baseline, x.shape).astype(np.float64)
