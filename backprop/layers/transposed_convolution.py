"""Transposed convolutions of signals and images: the way back through a convolution, as a layer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from backprop.core.randomness import generator
from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.initializers import Initializer
from backprop.kernels.threads import run_all
from backprop.kernels.windows import NAMES, check_places, for_every_axis
from backprop.layers.activations import Activation
from backprop.layers.base import Seed
from backprop.layers.convolution import WindowedNeurons, Work, add_product, deal_out, do_all
from backprop.layers.masks import ends_moved


class TransposedConvolution(WindowedNeurons):
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
        w_init: Initializer | str | None = None,
        b_init: Initializer | str | None = None,
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
        self._extra = for_every_axis(self.output_padding, self.axes)
        if any(p >= s for p, s in zip(self._extra, self.windows.stride, strict=True)):
            raise ValueError(
                f"{name}: output_padding must be less than the stride, got "
                f"{self.output_padding} for {self.stride}"
            )

    def initialize(self, rng: Seed = None) -> None:
        rng = generator(type(self).__name__, rng)
        # Drawn as for the convolution of as many channels, whose fan_in z sums over at stride 1.
        of_group = self.channels_in // self.groups
        w = self.w_init((self.channels_out, of_group, *self.windows.kernel), rng, self.dtype)
        w = w.reshape(self.groups, self.channels_out // self.groups, *w.shape[1:])
        self.w = w.swapaxes(1, 2).reshape(self.w.shape)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    def linear(self, a_prev: np.ndarray) -> np.ndarray:
        windows, w, a = self.windows, self.by_group(self.w), self.by_group(a_prev)
        sizes, batch = self.sizes_after(a_prev.shape[1:-1]), a_prev.shape[-1]
        padded = np.zeros((self.channels_out, *windows.padded(sizes), batch), a_prev.dtype)
        run_all(windows.adding_product(w, a, padded))
        return np.ascontiguousarray(windows.crop(padded, sizes))

    def output_mask(self, mask: np.ndarray) -> np.ndarray:
        windows = self.windows
        stride, (before, after) = windows.stride[-1], windows.pads((1,) * self.axes)[-1]
        longer = windows.spans[-1] - before - after + self._extra[-1] - stride
        return ends_moved(mask.repeat(stride, axis=0), longer)

    def weight_gradient(self, delta: np.ndarray) -> Work:
        return self._gradients(delta, None)

    def input_gradient(self, delta: np.ndarray) -> Work:
        windows, w = self.windows, self.by_group(self.w)
        padded = windows.pad(delta)
        downstream = np.empty(self.a_prev.shape, delta.dtype)
        by_group = self.by_group(downstream)

        def multiply(rows: slice, columns: slice) -> None:
            patches = windows.patches(padded, rows, self.groups)
            np.matmul(w, patches, out=by_group[:, :, columns])  # BP2: w P

        parts = [partial(multiply, *block) for block in windows.blocks(padded)]
        return Work(parts, lambda: downstream)

    def descend(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        # The patches of delta are made once, for BP4 and for BP2.
        if not (input_gradient and self.wants_gradients() and self.follows(WindowedNeurons)):
            return super().descend(delta, input_gradient)
        self.bias_gradient(delta)
        (nabla_a_prev,) = do_all(self._gradients(delta, np.empty(self.a_prev.shape, delta.dtype)))
        return nabla_a_prev

    def _gradients(self, delta: np.ndarray, downstream: np.ndarray | None) -> Work:
        """BP4, and BP2 into `downstream` if there is one."""
        windows, w, a = self.windows, self.by_group(self.w), self.by_group(self.a_prev)
        padded, nabla_w = windows.pad(delta), self.by_group(self.nabla_w)
        shares = deal_out(windows.blocks(padded))
        terms = np.zeros((len(shares), *w.shape), delta.dtype)

        def correlate(blocks: list[tuple[slice, slice]], term: np.ndarray) -> None:
            for rows, columns in blocks:
                patches = windows.patches(padded, rows, self.groups)
                add_product(a[:, :, columns], patches.swapaxes(1, 2), term)  # BP4: a_prev P^T
                if downstream is not None:
                    np.matmul(w, patches, out=self.by_group(downstream)[:, :, columns])  # BP2: w P

        def add_up() -> np.ndarray | None:
            nabla_w[...] = terms.sum(axis=0)
            return downstream

        return Work([partial(correlate, *pair) for pair in zip(shares, terms, strict=True)], add_up)

    def w_channels(self) -> tuple[int, int]:
        return self.channels_in, self.channels_out // self.groups

    def sizes_after(self, places: Shape) -> Shape:
        windows = self.windows
        terms = zip(
            places, windows.stride, windows.spans, windows.padding, self._extra, strict=True
        )
        return tuple(
            None if n is None else (n - 1) * s + span - 2 * p + extra  # type: ignore[misc]
            for n, s, span, p, extra in terms
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_channels(input_shape)
        sizes = self.sizes_after(input_shape[1:])
        if any(n is not None and n < 1 for n in sizes):
            raise ShapeError(
                f"{self}: the padding leaves nothing of the output of {shape_text(input_shape)}: "
                f"{self.shape_rule(input_shape)}"
            )
        return (self.channels_out, *sizes)

    def shape_rule(self, input_shape: Shape) -> str:
        windows, sizes = self.windows, self.sizes_after(input_shape[1:])
        return ", ".join(
            f"{NAMES[self.axes][axis]} ({n} - 1)*{windows.stride[axis]} + {windows.spans[axis]} "
            f"- 2*{windows.padding[axis]} + {self._extra[axis]} = {sizes[axis]}"
            for axis, n in enumerate(input_shape[1:])
            if n is not None
        )


class ConvTranspose1d(TransposedConvolution):
    """Transposed convolution of a signal C x L x B: `ConvTranspose2d` with one axis of places.

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


class ConvTranspose2d(TransposedConvolution):
    """Transposed convolution: every place of the input adds the kernel w to the output.

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
