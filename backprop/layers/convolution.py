"""Convolutions of signals and images: BP2 to BP4 with the weights of a window.

What the field calls a convolution is a cross-correlation: the kernel is laid over the input as it
is, without being flipped first. A convolution is a `Dense` layer on every window of its input, all
windows with one w and b. So with P the matrix of patches, one column for every window and example,
the equations are those of `Dense`, and all that is new is how P is made, and added back again
(see `backprop.kernels.windows`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.randomness import generator
from backprop.core.shapes import Shape
from backprop.initializers import Initializer
from backprop.kernels.threads import run_all
from backprop.kernels.windows import NAMES, Windows, check_padding, check_places, for_every_axis
from backprop.layers.activations import Activation, initializers_below
from backprop.layers.base import Seed
from backprop.layers.masks import BY_LENGTH, by_length, of_windows
from backprop.layers.neurons import Neurons
from backprop.layers.parameters import Gradient, Parameter

NOT_SHOWN: dict[str, tuple[Any, ...]] = {  # not worth showing
    "stride": (1,),
    "padding": ("valid", 0),
    "output_padding": (0, None),
    "dilation": (1,),
    "groups": (1,),
}


class WindowedNeurons(Neurons):
    """What all convolutions share: arguments, parameters, the bias, the activation at the end.

    A subclass says what shape w has, and writes `linear`, which is z without b, and as work that
    can be cut into parts `weight_gradient`, BP4, and `input_gradient`, BP2.
    """

    axes: ClassVar[int]
    uses_threads = True
    unmasked_advice = BY_LENGTH
    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = "valid",
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        activation: Activation | str = "relu",
        w_init: Initializer | str | None = None,
        b_init: Initializer | str | None = None,
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        name = type(self).__name__
        self.channels_in = check_integer(f"{name}: channels_in", channels_in)
        self.channels_out = check_integer(f"{name}: channels_out", channels_out)
        self.kernel = check_places(name, "kernel", kernel, self.axes)
        self.stride = check_places(name, "stride", stride, self.axes)
        self.padding = check_padding(name, padding, self.axes)
        self.dilation = check_places(name, "dilation", dilation, self.axes)
        self.groups = check_integer(f"{name}: groups", groups)
        if self.channels_in % self.groups or self.channels_out % self.groups:
            raise ValueError(
                f"{name}: groups must divide channels_in and channels_out, got {self.groups} "
                f"for {self.channels_in} and {self.channels_out}"
            )
        self.activation = activation  # type: ignore[assignment]
        self.w_init, self.b_init = initializers_below(self, w_init, b_init)
        arguments = (self.kernel, self.stride, self.dilation, self.padding)
        self.windows = Windows(*(for_every_axis(argument, self.axes) for argument in arguments))
        self.takes_mask = not by_length(self.windows)
        ones = (1,) * (self.axes + 1)
        w_shape = (*self.w_channels(), *self.windows.kernel)
        self.allocate(dtype, w=w_shape, b=(self.channels_out, *ones))
        self.initialize(rng)

    # -- the two passes ----------------------------------------------------------------------

    def weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        z = self.linear(a_prev)
        z += self.b
        return z

    @abstractmethod
    def linear(self, a_prev: np.ndarray) -> np.ndarray:
        """Return z without b."""

    @abstractmethod
    def weight_gradient(self, delta: np.ndarray) -> Work:
        """BP4: return the work that fills nabla_w."""

    @abstractmethod
    def input_gradient(self, delta: np.ndarray) -> Work:
        """BP2: return the work that makes w^T delta."""

    def parameter_gradients(self, delta: np.ndarray) -> None:
        self.bias_gradient(delta)
        do_all(self.weight_gradient(delta))

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        (nabla_a_prev,) = do_all(self.input_gradient(delta))
        return nabla_a_prev

    def descend(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        # The threads are handed BP4 and BP2 together, so that none waits for the end of the first.
        if not (input_gradient and self.wants_gradients() and self.follows(WindowedNeurons)):
            return super().descend(delta, input_gradient)
        self.bias_gradient(delta)
        _, nabla_a_prev = do_all(self.weight_gradient(delta), self.input_gradient(delta))
        return nabla_a_prev

    def bias_gradient(self, delta: np.ndarray) -> None:
        """BP3: dC/db = sum of delta over places and batch."""
        delta.sum(axis=tuple(range(1, delta.ndim)), keepdims=True, out=self.nabla_b)

    def by_group(self, array: np.ndarray) -> np.ndarray:
        """Return an array, channels first, as one matrix for each group of channels."""
        return array.reshape(self.groups, len(array) // self.groups, -1)

    # -- shapes ------------------------------------------------------------------------------

    @abstractmethod
    def w_channels(self) -> tuple[int, int]:
        """Return the first two axes of w."""

    def check_channels(self, input_shape: Shape) -> None:
        if len(input_shape) != 1 + self.axes or input_shape[0] != self.channels_in:
            places = ", ".join(name[0].upper() for name in NAMES[self.axes])
            raise self.shape_error(f"({self.channels_in}, {places})", input_shape)

    def transposed_hint(self, shape: Shape) -> str:
        c = self.channels_in
        if len(shape) == self.axes + 2 and shape[1] != c and c in shape[-2:]:
            order = (self.axes + 1, *range(1, self.axes + 1), 0)
            turn = "np.moveaxis(x, -2, 0)" if shape[-2] == c else f"x.transpose{order}"
            return f"; channels come first, the batch last: did you mean {turn}?"
        return super().transposed_hint(shape)

    def __repr__(self) -> str:
        options = ((name, getattr(self, name, None), plain) for name, plain in NOT_SHOWN.items())
        shown = [f"{name} {value}" for name, value, plain in options if value not in plain]
        kernel = "x".join(map(str, self.windows.kernel))
        parts = [f"{self.channels_in} -> {self.channels_out}", f"kernel {kernel}", *shown]
        return f"{type(self).__name__}({', '.join([*parts, self.activation.name])})"


class Convolution(WindowedNeurons):
    """z = w * a_prev + b, for any number of axes."""

    def initialize(self, rng: Seed = None) -> None:
        rng = generator(type(self).__name__, rng)
        self.w = self.w_init(self.w.shape, rng, self.dtype)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    def linear(self, a_prev: np.ndarray) -> np.ndarray:
        windows, w = self.windows, self.by_group(self.w)
        padded = windows.pad(a_prev)
        shape = (self.channels_out, *windows.counts(padded.shape[1:-1]), a_prev.shape[-1])
        z = np.empty(shape, a_prev.dtype)
        by_group = self.by_group(z)

        def fill(rows: slice, columns: slice) -> None:
            patches = windows.patches(padded, rows, self.groups)
            np.matmul(w, patches, out=by_group[:, :, columns])  # z = w P

        run_all(partial(fill, *block) for block in windows.blocks(padded))
        return z

    def weight_gradient(self, delta: np.ndarray) -> Work:
        windows, delta = self.windows, self.by_group(delta)
        padded, nabla_w = windows.pad(self.a_prev), self.by_group(self.nabla_w)
        shares = deal_out(windows.blocks(padded))
        terms = np.zeros((len(shares), *nabla_w.swapaxes(1, 2).shape), delta.dtype)

        def correlate(blocks: list[tuple[slice, slice]], term: np.ndarray) -> None:
            for rows, columns in blocks:
                patches = windows.patches(padded, rows, self.groups)
                # BP4: dC/dw = delta P^T, as (P delta^T)^T, which is the faster product
                add_product(patches, delta[:, :, columns].swapaxes(1, 2), term)

        def add_up() -> None:
            nabla_w[...] = terms.sum(axis=0).swapaxes(1, 2)

        return Work([partial(correlate, *pair) for pair in zip(shares, terms, strict=True)], add_up)

    def input_gradient(self, delta: np.ndarray) -> Work:
        windows, sizes = self.windows, self.a_prev.shape[1:-1]
        w, delta = self.by_group(self.w), self.by_group(delta)
        padded_shape = (self.channels_in, *windows.padded(sizes), self.a_prev.shape[-1])
        downstream = np.zeros(padded_shape, np.result_type(self.a_prev, delta))
        # BP2: w^T delta is dC/dP, to be added up by places
        parts = list(windows.adding_product(w, delta, downstream))
        return Work(parts, lambda: np.ascontiguousarray(windows.crop(downstream, sizes)))

    def w_channels(self) -> tuple[int, int]:
        return self.channels_out, self.channels_in // self.groups

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_channels(input_shape)
        return (self.channels_out, *self.windows.check(self, "kernel", input_shape))

    def output_mask(self, mask: np.ndarray) -> np.ndarray:
        return of_windows(self, self.windows, mask)

    def shape_rule(self, input_shape: Shape) -> str:
        return self.windows.rule(input_shape[1:])


class Conv1d(Convolution):
    """Convolution of a signal C x L x B: a kernel w at every place, and an activation after it.

    It is `Conv2d` with one axis of places instead of two.

    ::

        z[m, l] = b[m] + sum over c, i of w[m, c, i] a_prev[c, l s + i d - p]

    The parameters are those of `Conv2d`; kernel, stride s, padding p and dilation d are one number.

    Attributes
    ----------
    w, nabla_w : ndarray, channels_out x channels_in / groups x K
    b, nabla_b : ndarray, channels_out x 1 x 1
    a_prev : ndarray, channels_in x L x B
    z, a, delta : ndarray, channels_out x L' x B
    """

    axes = 1


class Conv2d(Convolution):
    """Convolution of an image: a kernel w at every place, and an activation after it.

    ::

        forward    z[m, h, v] = b[m] + sum over c, i, j of
                       w[m, c, i, j] a_prev[c, h s + i d - p, v s + j d - p]
                           for the stride s, the dilation d and the padding p
                   a = sigma(z)
        BP2        delta = nabla_a * sigma'(z)
        BP3        dC/db[m] = sum of delta[m] over places and batch
        BP4        dC/dw[m, c] = a_prev[c] correlated with delta[m], summed over the batch
        downstream dC/da_prev[c] = sum over m of the full correlation of delta[m] with w[m, c]
                       flipped in both axes, that is the full convolution with w[m, c] itself
                   (with a stride, delta has stride - 1 zeros between its elements; with a
                   dilation so has w)

    With P the matrix of all patches, (C K K) x (H' W' B), these are the equations of `Dense`:
    z = w P + b, dC/dw = delta P^T, and dC/dP = w^T delta, of which every element is added to the
    place it was taken from: that is the full correlation, written as a sum over the windows. P is
    made in blocks, in both passes anew, so it is never kept and never large.

    With a mask the places of the last axis are steps (of `Conv1d` all places are), and the input is
    0 where a step only fills a sequence up: padding begins where a sequence ends. The places of the
    output that are real are those which the sequence alone has.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; the
    book, chapter 6; Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    arXiv 1603.07285, 2016, for stride, padding and dilation.

    Parameters
    ----------
    channels_in, channels_out : int
        C of the input and of the output.
    kernel, stride, dilation : int or pair of int
        For height and width: the size of the kernel, how far apart the windows are, and how far
        apart the elements of one window.
    padding : "valid", "same", or int or pair of int
        None; as many zeros as make the output ceil(n / stride) long, an odd one at the end, as in
        TensorFlow (with stride 1 as in PyTorch, which has no other); or so many at both ends.
    groups : int
        The channels are cut into so many groups, and each group of the output sees its own group
        of the input. As many as channels_in is the depthwise convolution, whose channel multiplier
        is channels_out / channels_in.
    activation : Activation or str
        sigma; a name such as "tanh" stands for the activation with its defaults. ReLU unless told,
        as is usual for images.
    w_init, b_init : Initializer or str, optional
        How the parameters are drawn. Unless told it follows the activation, as in `Dense`: for
        ReLU w ~ N(0, 2 / (C K K / groups)), b = 0.
    dtype : dtype
        float32 for training, float64 for gradient checks.
    rng : numpy.random.Generator, int or None
        Where the parameters are drawn from, or its seed; None draws a fresh seed.

    Attributes
    ----------
    w, nabla_w : ndarray, channels_out x channels_in / groups x K x K
    b, nabla_b : ndarray, channels_out x 1 x 1 x 1
    a_prev : ndarray, channels_in x H x W x B
    z, a, delta : ndarray, channels_out x H' x W' x B
        With H' = (H + 2 padding - (K - 1) dilation - 1) // stride + 1, and W' likewise.

    Raises
    ------
    TypeError, ValueError
        For a number that is not an integer or too small, a pair of another length, groups that do
        not divide the channels, an unknown name.
    ShapeError
        From `output_shape`, if the channels differ or the kernel does not fit.
    """

    axes = 2


class Work(NamedTuple):
    """Parts to be done in any order, by any thread, and what is made of them in the end."""

    parts: Sequence[Callable[[], None]]
    finish: Callable[[], Any]


def do_all(*works: Work) -> list[Any]:
    """Do all parts of all works, and return what each work ends with."""
    run_all([part for work in works for part in work.parts])
    return [work.finish() for work in works]


def deal_out(blocks: list[Any], most: int = 8) -> list[list[Any]]:
    """Deal the blocks out: a sum is made for every share, and then the sum of these.

    Their number does not depend on the threads, so neither do the bits.
    """
    return [blocks[first::most] for first in range(min(most, len(blocks)))]


def add_product(left: np.ndarray, right: np.ndarray, total: np.ndarray) -> None:
    """Add the product of the matrices of every group to that group's total.

    By `np.dot`: `np.matmul` lets other threads run during large products only, and takes for small
    what is so in the end, however long the sums.
    """
    for a, b, sums in zip(left, right, total, strict=True):
        sums += np.dot(a, b)
