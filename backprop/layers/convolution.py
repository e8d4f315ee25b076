"""Convolutions of signals and images, and their transposes: BP2 to BP4 with a window's weights.

What the field calls a convolution is a cross-correlation: the kernel is laid over the input as it
is, without being flipped first. A convolution is a `Dense` layer on every window of its input, all
windows with one w and b. So with P the matrix of patches, one column for every window and example,
the equations are those of `Dense`, and all that is new is how P is made, and added back again
(see `backprop.kernels.windows`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.initializers import Initializer, as_initializer
from backprop.kernels.threads import share
from backprop.kernels.windows import NAMES, Windows, check_padding, check_places, each
from backprop.layers.activations import Activation, as_activation
from backprop.layers.base import Gradient, Layer, Parameter, Seed

_PLAIN: dict[str, tuple[Any, ...]] = {  # not worth showing
    "stride": (1,),
    "padding": ("valid", 0),
    "output_padding": (0, None),
    "dilation": (1,),
    "groups": (1,),
}


class _Windowed(Layer):
    """What all convolutions share: arguments, parameters, the bias, the activation at the end.

    A subclass says what shape w has, and writes `_linear`, which is z without b, and
    `_backward_linear`, which goes on from delta to nabla_w and the downstream gradient.
    """

    axes: ClassVar[int]
    shares_work = True
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
        w_init: Initializer | str = "he_normal",
        b_init: Initializer | str = "zeros",
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
        self.activation = as_activation(activation)
        self.w_init = as_initializer(w_init)
        self.b_init = as_initializer(b_init)
        arguments = (self.kernel, self.stride, self.dilation, self.padding)
        self._windows = Windows(*(each(argument, self.axes) for argument in arguments))
        ones = (1,) * (self.axes + 1)
        w_shape = (*self._w_channels(), *self._windows.kernel)
        self._allocate(dtype, w=w_shape, b=(self.channels_out, *ones))
        self.initialize(rng)

    # -- the two passes ----------------------------------------------------------------------

    def _weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        z = self._linear(a_prev)
        z += self.b
        return z

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        z = self._weighted_input(a_prev)
        a = self.activation.sigma(z)  # a = sigma(z)
        if training:
            self.a_prev, self.z, self.a, self.delta = a_prev, z, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        delta = self.activation.times_prime(nabla_a, self.z, self.a)  # BP1, BP2: * sigma'(z)
        return self._backward_delta(delta, input_gradient)

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        self.delta = delta
        # BP3: dC/db = sum of delta over places and batch
        delta.sum(axis=tuple(range(1, delta.ndim)), keepdims=True, out=self.nabla_b)
        return self._backward_linear(delta, input_gradient)

    def _linear(self, a_prev: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _backward_linear(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        raise NotImplementedError

    def _by_group(self, array: np.ndarray) -> np.ndarray:
        """Return an array, channels first, as one matrix for each group of channels."""
        return array.reshape(self.groups, len(array) // self.groups, -1)

    @property
    def output_activation(self) -> Activation:
        return self.activation

    # -- shapes ------------------------------------------------------------------------------

    def _w_channels(self) -> tuple[int, int]:
        raise NotImplementedError

    def _check_channels(self, input_shape: Shape) -> None:
        if len(input_shape) != 1 + self.axes or input_shape[0] != self.channels_in:
            places = ", ".join(name[0].upper() for name in NAMES[self.axes])
            raise self._shape_error(f"({self.channels_in}, {places})", input_shape)

    def _transposed_hint(self, shape: Shape) -> str:
        c = self.channels_in
        if len(shape) == self.axes + 2 and shape[1] != c and c in shape[-2:]:
            order = (self.axes + 1, *range(1, self.axes + 1), 0)
            turn = "np.moveaxis(x, -2, 0)" if shape[-2] == c else f"x.transpose{order}"
            return f"; channels come first, the batch last: did you mean {turn}?"
        return super()._transposed_hint(shape)

    def __repr__(self) -> str:
        options = ((name, getattr(self, name, None), plain) for name, plain in _PLAIN.items())
        shown = [f"{name} {value}" for name, value, plain in options if value not in plain]
        kernel = "x".join(map(str, self._windows.kernel))
        parts = [f"{self.channels_in} -> {self.channels_out}", f"kernel {kernel}", *shown]
        return f"{type(self).__name__}({', '.join([*parts, self.activation.name])})"


class _Convolution(_Windowed):
    """z = w * a_prev + b, for any number of axes."""

    def initialize(self, rng: Seed = None) -> None:
        rng = np.random.default_rng(rng)
        self.w = self.w_init(self.w.shape, rng, self.dtype)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    def _linear(self, a_prev: np.ndarray) -> np.ndarray:
        windows, w = self._windows, self._by_group(self.w)
        padded = windows.pad(a_prev)
        shape = (self.channels_out, *windows.counts(padded.shape[1:-1]), a_prev.shape[-1])
        z = np.empty(shape, a_prev.dtype)
        by_group = self._by_group(z)

        def fill(rows: slice, columns: slice) -> None:
            patches = windows.patches(padded, rows, self.groups)
            np.matmul(w, patches, out=by_group[:, :, columns])  # z = w P

        share(partial(fill, *block) for block in windows.blocks(padded))
        return z

    def _backward_linear(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        windows, w, delta = self._windows, self._by_group(self.w), self._by_group(delta)
        padded = windows.pad(self.a_prev)
        shares = _shares(windows.blocks(padded))
        terms = np.zeros((len(shares), *w.swapaxes(1, 2).shape), delta.dtype)

        def correlate(blocks: list[tuple[slice, slice]], term: np.ndarray) -> None:
            for rows, columns in blocks:
                patches = windows.patches(padded, rows, self.groups)
                # BP4: dC/dw = delta P^T, as (P delta^T)^T, which is the faster product
                _add_product(patches, delta[:, :, columns].swapaxes(1, 2), term)

        parts: list[Callable[[], None]] = []
        parts += (partial(correlate, *each) for each in zip(shares, terms, strict=True))
        downstream = None
        if input_gradient:  # BP2: w^T delta is dC/dP, to be added up by places
            downstream = np.zeros_like(padded)
            parts += windows.adding_product(w, delta, downstream)
        share(parts)
        self._by_group(self.nabla_w)[...] = terms.sum(axis=0).swapaxes(1, 2)
        if downstream is None:
            return None
        return np.ascontiguousarray(windows.crop(downstream, self.a_prev.shape[1:-1]))

    def _w_channels(self) -> tuple[int, int]:
        return self.channels_out, self.channels_in // self.groups

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_channels(input_shape)
        return (self.channels_out, *self._windows.check(self, "kernel", input_shape))

    def shape_rule(self, input_shape: Shape) -> str:
        return self._windows.rule(input_shape[1:])


class Conv1d(_Convolution):
    """A kernel w laid over all places of a signal C x L x B, and the activation after it.

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


class Conv2d(_Convolution):
    """A kernel w laid over all places of an image, and the activation sigma after it.

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
    w_init, b_init : Initializer or str
        How the parameters are drawn: unless told for ReLU, w ~ N(0, 2 / (C K K / groups)), b = 0.
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


class _Transposed(_Windowed):
    """z = the transpose of a convolution by w, times a_prev, + b, for any number of axes."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        activation: Activation | str = "relu",
        w_init: Initializer | str = "he_normal",
        b_init: Initializer | str = "zeros",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        name = type(self).__name__
        padding = check_places(name, "padding", padding, self.axes, 0)
        self.output_padding = check_places(name, "output_padding", output_padding, self.axes, 0)
        super().__init__(
            *(channels_in, channels_out, kernel, stride, padding, dilation, groups),
            *(activation, w_init, b_init, dtype, rng),
        )
        self._extra = each(self.output_padding, self.axes)
        if any(p >= s for p, s in zip(self._extra, self._windows.stride, strict=True)):
            raise ValueError(
                f"{name}: output_padding must be less than the stride, got "
                f"{self.output_padding} for {self.stride}"
            )

    def initialize(self, rng: Seed = None) -> None:
        rng = np.random.default_rng(rng)
        # Drawn as for the convolution of as many channels, whose fan_in z sums over at stride 1.
        of_group = self.channels_in // self.groups
        w = self.w_init((self.channels_out, of_group, *self._windows.kernel), rng, self.dtype)
        w = w.reshape(self.groups, self.channels_out // self.groups, *w.shape[1:])
        self.w = w.swapaxes(1, 2).reshape(self.w.shape)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    def _linear(self, a_prev: np.ndarray) -> np.ndarray:
        windows, w, a = self._windows, self._by_group(self.w), self._by_group(a_prev)
        sizes, batch = self._sizes(a_prev.shape[1:-1]), a_prev.shape[-1]
        padded = np.zeros((self.channels_out, *windows.padded(sizes), batch), a_prev.dtype)
        share(windows.adding_product(w, a, padded))
        return np.ascontiguousarray(windows.crop(padded, sizes))

    def _backward_linear(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        windows, w, a = self._windows, self._by_group(self.w), self._by_group(self.a_prev)
        padded = windows.pad(delta)
        downstream = np.empty(self.a_prev.shape, delta.dtype) if input_gradient else None
        shares = _shares(windows.blocks(padded))
        terms = np.zeros((len(shares), *w.shape), delta.dtype)

        def correlate(blocks: list[tuple[slice, slice]], term: np.ndarray) -> None:
            for rows, columns in blocks:
                patches = windows.patches(padded, rows, self.groups)
                # BP4: dC/dw = a_prev P^T
                _add_product(a[:, :, columns], patches.swapaxes(1, 2), term)
                if downstream is not None:  # BP2: w P, P the patches of delta
                    np.matmul(w, patches, out=self._by_group(downstream)[:, :, columns])

        share(partial(correlate, *each) for each in zip(shares, terms, strict=True))
        self._by_group(self.nabla_w)[...] = terms.sum(axis=0)
        return downstream

    def _w_channels(self) -> tuple[int, int]:
        return self.channels_in, self.channels_out // self.groups

    def _sizes(self, places: Shape) -> Shape:
        windows = self._windows
        terms = zip(
            places, windows.stride, windows.spans, windows.padding, self._extra, strict=True
        )
        return tuple(
            None if n is None else (n - 1) * s + span - 2 * p + extra  # type: ignore[misc]
            for n, s, span, p, extra in terms
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_channels(input_shape)
        sizes = self._sizes(input_shape[1:])
        if any(n is not None and n < 1 for n in sizes):
            raise ShapeError(
                f"{self}: the padding leaves nothing of the output of {shape_text(input_shape)}: "
                f"{self.shape_rule(input_shape)}"
            )
        return (self.channels_out, *sizes)

    def shape_rule(self, input_shape: Shape) -> str:
        windows, sizes = self._windows, self._sizes(input_shape[1:])
        return ", ".join(
            f"{NAMES[self.axes][axis]} ({n} - 1)*{windows.stride[axis]} + {windows.spans[axis]} "
            f"- 2*{windows.padding[axis]} + {self._extra[axis]} = {sizes[axis]}"
            for axis, n in enumerate(input_shape[1:])
            if n is not None
        )


class ConvTranspose1d(_Transposed):
    """The downstream pass of `Conv1d` as a forward pass, for signals C x L x B.

    It is `ConvTranspose2d` with one axis of places instead of two.

    The parameters are those of `ConvTranspose2d`; kernel, stride, padding, output_padding and
    dilation are one number.

    Attributes
    ----------
    w, nabla_w : ndarray, channels_in x channels_out / groups x K
    b, nabla_b : ndarray, channels_out x 1 x 1
    a_prev : ndarray, channels_in x L x B
    z, a, delta : ndarray, channels_out x L' x B
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """The downstream pass of `Conv2d` as a forward pass: every place paints the kernel w.

    ::

        forward    z = what a Conv2d of the same w, stride, padding, dilation and groups, from
                       channels_out to channels_in, returns for delta = a_prev,  + b
                   a = sigma(z)
        BP2        delta = nabla_a * sigma'(z)
        BP3        dC/db[m] = sum of delta[m] over places and batch
        BP4        dC/dw = a_prev P^T             P the matrix of the patches of delta
        downstream dC/da_prev = w P               the forward pass of that Conv2d, of delta

    With a stride the output is larger than the input: it undoes the shape of that convolution,
    not its values. Where several inputs of the convolution have one output shape, output_padding
    chooses among them: so many places more at the end of the output.

    Source: Zeiler et al., "Deconvolutional Networks", 2010; Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning", arXiv 1603.07285, 2016, chapter 4.

    Parameters
    ----------
    channels_in, channels_out : int
        C of the input and of the output.
    kernel, stride, dilation : int or pair of int
        For height and width, as for `Conv2d`.
    padding : int or pair of int
        How many places are cut off at both ends of the output.
    output_padding : int or pair of int
        How many are kept at the end beyond that; less than the stride.
    groups : int
        As for `Conv2d`.
    activation, w_init, b_init, dtype, rng
        As for `Conv2d`; w is drawn as for a `Conv2d` from channels_in to channels_out, whatever
        the stride: with a stride s fewer terms, about 1 / s^2 of them, meet in every z.

    Attributes
    ----------
    w, nabla_w : ndarray, channels_in x channels_out / groups x K x K
    b, nabla_b : ndarray, channels_out x 1 x 1 x 1
    a_prev : ndarray, channels_in x H x W x B
    z, a, delta : ndarray, channels_out x H' x W' x B
        With H' = (H - 1) stride + (K - 1) dilation + 1 - 2 padding + output_padding.

    Raises
    ------
    TypeError, ValueError
        For a number that is not an integer or too small, a pair of another length, groups that do
        not divide the channels, an output_padding not below the stride, an unknown name.
    ShapeError
        From `output_shape`, if the channels differ or nothing is left after the cut.
    """

    axes = 2


def _shares(blocks: list[Any], most: int = 8) -> list[list[Any]]:
    """Deal the blocks out: a sum is made for every share, and then the sum of these.

    Their number does not depend on the threads, so neither do the bits.
    """
    return [blocks[first::most] for first in range(min(most, len(blocks)))]


def _add_product(left: np.ndarray, right: np.ndarray, total: np.ndarray) -> None:
    """Add the product of the matrices of every group to that group's total.

    By `np.dot`: `np.matmul` lets other threads run during large products only, and takes for small
    what is so in the end, however long the sums.
    """
    for a, b, sums in zip(left, right, total, strict=True):
        sums += np.dot(a, b)
