"""Kernels of gradients: the Gram matrix of the examples' gradients, and the tangent kernel.

Both are scalar products of gradients by theta, P numbers each, and both come layer by layer from
what is much smaller: with delta and a_prev of a dense layer, one example a column, ::

    g_i . g_j by w  =  (delta_i . delta_j) (a_i . a_j)        (delta^T delta) * (a_prev^T a_prev)
    g_i . g_j by b  =   delta_i . delta_j

so that no gradient by all of theta is ever formed. A convolution or a recurrent layer adds this up
over all pairs of places; where that is longer than to form the gradients by that one layer (a
kernel of few numbers, at many places), those are formed, some rows at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, kind_of
from backprop.core.quiet import underflow_is_0
from backprop.network import Network
from backprop.research.arguments import check_network
from backprop.research.example_passes import ExamplePasses, Part, example_passes
from backprop.research.per_example import ExampleGradients


@underflow_is_0
def gradient_gram(
    first: ExampleGradients, second: ExampleGradients | None = None, *data: Any
) -> np.ndarray:
    """Return g_i . g_j for all pairs of examples, B x B'.

    With a second minibatch, of the same network, it is the influence of the examples of one on
    those of the other, to first order: a step of eta along example i lowers the cost of example j
    by eta g_i . g_j. Without one it is the Gram matrix of the minibatch, whose eigenvalues, over B,
    are those of the empirical Fisher matrix that are not 0.

    Parameters
    ----------
    first, second : ExampleGradients
        g_j is the gradient of C_x of the example alone.

    Raises
    ------
    TypeError
        If one is something else.
    ValueError
        If the two are of networks with other parameters.
    """
    second = first if second is None else second
    for one in (first, second, *data):
        if not isinstance(one, ExampleGradients):
            raise TypeError(
                f"gradient_gram: expected ExampleGradients, got {kind_of(one)}: give "
                "gradient_gram(ExampleGradients(network, x, y))"
            )
    if data:
        raise TypeError(
            f"gradient_gram: expected two ExampleGradients at most, got {2 + len(data)}"
        )
    ours, theirs = ([(p.name, p.where, p.term.size) for p in g.parts] for g in (first, second))
    if ours != theirs or first.n_parameters != second.n_parameters:
        raise ValueError(f"gradient_gram: {first!r} and {second!r} are not of one network")
    total = np.zeros((first.n_examples, second.n_examples), first.dtype)
    _add_products(first.parts, second.parts, total)
    return total


@underflow_is_0
def ntk(
    network: Network,
    x: np.ndarray,
    other: np.ndarray | None = None,
    outputs: str | int = "mean",
    of: str = "a",
) -> np.ndarray:
    """Return the (empirical) neural tangent kernel of a network as it is, for all pairs of inputs.

    With f_k the k-th of the K outputs, in the order of `a.ravel()` of one example::

        Theta_kl(x, x') = df_k(x)/dtheta . df_l(x')/dtheta

    of the network that predicts. Under gradient flow on a cost, f moves by -(1/B) Theta dC_x/df; of
    a wide network Theta hardly changes in training, and the trained network is kernel regression
    with it. One pass back for every output, of which only delta is kept. Source: Jacot, Gabriel and
    Hongler, "Neural Tangent Kernel", arXiv 1806.07572, 2018.

    Parameters
    ----------
    network : Network
        With one output array; the cost does not matter. Frozen layers add nothing.
    x : ndarray, input shape x B
    other : ndarray, input shape x B', optional
        x itself unless told.
    outputs : "mean", int or "all"
        (1/K) sum of Theta_kk, which is B x B'; Theta_kk of one k, B x B'; all pairs of outputs,
        K x B x K x B', of which ``.reshape(K * B, K * B')`` is the matrix of a regression.
    of : "a" or "z"
        Of the output a, or of the weighted input z below the last activation, of classifiers the
        logits.

    Raises
    ------
    ValueError
        For another word, or an output that is not there; if examples meet in a layer; if there is
        no z.
    TypeError, ShapeError
        As `Network.forward`, or if the network has several outputs.
    """
    check_network("ntk", network)
    if of not in ("a", "z"):
        raise ValueError(f"ntk: of is 'a' or 'z', got {of!r}")
    if outputs not in ("mean", "all") and isinstance(outputs, str):
        raise ValueError(f"ntk: outputs is 'mean', 'all' or a number, got {outputs!r}")
    if isinstance(network.output_shape[0], tuple):
        raise TypeError(
            f"ntk: the network has {len(network.output_shape)} output arrays: take a network of "
            "one of them, or concatenate them"
        )
    network.check_x(x)
    others = None
    if other is not None:
        _check_other(network, other)
        with example_passes(network, other) as passes:
            found = _Outputs(passes, outputs, of)
            others = [found.gradients_of(k) for k in found.wanted]
    with example_passes(network, x) as passes:
        found = _Outputs(passes, outputs, of)
        if outputs == "all":
            return _of_all_pairs(found, others)
        total: Any = 0
        for number, k in enumerate(found.wanted):
            mine = found.gradients_of(k)
            total = total + _products(mine, mine if others is None else others[number])
        return total / len(found.wanted)  # type: ignore[no-any-return]


def _check_other(network: Network, other: Any) -> None:
    try:
        network.check_x(other)
    except (TypeError, ValueError) as error:  # a ShapeError is one of the latter
        raise type(error)(
            f"ntk: other, {kind_of(other)}, is no second input (a kernel takes no targets): {error}"
        ) from None


class _Outputs:
    """The gradients of the outputs of every example, one output after another."""

    def __init__(self, passes: ExamplePasses, outputs: str | int, of: str) -> None:
        root = passes.network.root
        if of == "z" and (root.z is None or root.output_activation is None):
            raise ValueError("ntk: there is no z at the end of the network, take of='a'")
        self.passes, self.below_sigma = passes, of == "z"
        self.like = root.z if self.below_sigma else root.a
        self.count = math.prod(self.like.shape[:-1])
        self.wanted = range(self.count)
        if not isinstance(outputs, str):
            k = check_integer("ntk: outputs", outputs, 0)
            if k >= self.count:
                raise ValueError(f"ntk: the network has outputs 0 ... {self.count - 1}, got {k}")
            self.wanted = range(k, k + 1)

    def gradients_of(self, k: int) -> list[Part]:
        """Return what df_k/dtheta of every example is made of."""
        start = np.zeros((self.count, self.like.shape[-1]), self.like.dtype)
        start[k] = 1
        return self.passes.back(start.reshape(self.like.shape), self.below_sigma)


def _products(mine: list[Part], theirs: list[Part]) -> np.ndarray:
    """Return the scalar products of the gradients of two lots of examples, B x B'."""
    _check_learns(mine)
    total = np.zeros((mine[0].term.batch, theirs[0].term.batch), mine[0].term.dtype)
    _add_products(mine, theirs, total)
    return total


def _check_learns(parts: list[Part]) -> None:
    if not parts:
        raise ValueError("ntk: the network has no parameter that learns")


def _add_products(mine: list[Part], theirs: list[Part], total: np.ndarray) -> None:
    for part, other in zip(mine, theirs, strict=True):
        part.term.add_gram(other.term, total)


def _of_all_pairs(ours: _Outputs, others: list[list[Part]] | None) -> np.ndarray:
    """Return Theta of all pairs of outputs, K x B x K x B'.

    Of one minibatch the deltas of two outputs are held at a time, not of all: another pass back is
    little beside the products of a pair, but where a layer has its gradients by a loop.
    """
    mine = ours.gradients_of(0)
    _check_learns(mine)
    held: dict[int, list[Part]] = {}
    if ours.passes.by_loop:
        held = {k: ours.gradients_of(k) for k in range(ours.count)}

    def mine_of(k: int) -> list[Part]:
        return held[k] if held else ours.gradients_of(k)

    one, two = (mine if parts is None else parts[0] for parts in (None, others))
    shape = (ours.count, one[0].term.batch, ours.count, two[0].term.batch)
    total = np.zeros(shape, one[0].term.dtype)
    del one, two
    for k in range(ours.count):
        mine = mine_of(k)
        for n in range(k if others is None else 0, ours.count):
            if others is not None:
                _add_products(mine, others[n], total[k, :, n])
            else:
                _add_products(mine, mine if n == k else mine_of(n), total[k, :, n])
            if others is None and n > k:
                total[n, :, k] = total[k, :, n].T
    return total
