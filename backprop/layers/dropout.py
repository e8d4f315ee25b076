"""Layers that disturb what passes through them while training: dropout and noise.

In inference they are the identity, and in expectation in training too.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from backprop.core.assignment import OnAssignment
from backprop.core.checks import check_number
from backprop.core.randomness import generator
from backprop.core.shapes import Shape
from backprop.layers.arguments import check_assignable
from backprop.layers.base import Layer, Seed
from backprop.layers.mode import Mode
from backprop.layers.seeds import stream_of


class Disturbance(Layer):
    """Base of the layers that draw random numbers in training and do nothing in inference."""

    rng: np.random.Generator
    independent_steps = True
    part: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "disturb" in vars(cls) and "heeds_part" not in vars(cls):
            cls.heeds_part = False  # unless it says otherwise: `draw_part` is what heeds it

    def initialize(self, rng: Seed = None) -> None:
        # A stream of its own: how many masks are drawn does not depend on who else draws.
        self.rng = stream_of(generator(type(self).__name__, rng))
        self.unseeded = rng is None

    @abstractmethod
    def disturb(self, a_prev: np.ndarray) -> np.ndarray:
        """Draw, keep what was drawn, and return a."""

    def draw(self, shape: Shape, kind: Any) -> np.ndarray:
        """Draw numbers of this shape, the batch last."""
        raise NotImplementedError

    def draw_part(self, shape: Shape, kind: Any, part: Any) -> np.ndarray:
        """Draw for a part of a minibatch: what `draw` draws for all of it, and its columns."""
        if part is None:
            return self.draw(shape, kind)
        return part.drawn(self.draw, shape, kind)  # type: ignore[no-any-return]

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        if mode.training:
            self.part = mode.part
            return self.disturb(a_prev)
        if mode.keep:
            self.calm()
        return a_prev.copy()

    @abstractmethod
    def calm(self) -> None:
        """Forget what was drawn: the last pass was that of inference."""


class Dropout(Disturbance):
    """Dropout: training sets inputs to 0 with probability p and scales up the rest.

    ::

        forward    a = mask * a_prev        mask = 0 with probability p, else 1 / (1 - p)
        downstream dC/da_prev = mask * nabla_a

    The expectation of a is a_prev. The mask is drawn anew for every training forward, kept as
    `mask`, and read again by backward; the mode of the forward pass counts, nothing is re-read.
    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", 2014; the book, chapter 3, in the form that rescales at test time instead.

    Parameters
    ----------
    p : float
        The probability of leaving an activation out, 0 <= p < 1. May be assigned later.
    rng : numpy.random.Generator, int or None
        Where masks are drawn from, or its seed, which the layer keeps in a network of whatever
        seed. None draws from the network's, or, if that has none, as `backprop.layers.seeds` says.

    Attributes
    ----------
    mask : ndarray of the input's shape and dtype, or None
        That of the last training forward: 0 or 1 / (1 - p); None after a pass of inference that
        keeps state, which leaves nothing out.
    """

    heeds_part = True
    mask: np.ndarray | None = None

    @OnAssignment
    def p(self, p: float) -> None:
        """The probability. May be assigned between passes: backward reads the mask."""
        check_assignable(self, "p")
        vars(self)["p"] = check_number(f"{type(self).__name__}: p", p, "[0, 1)")

    def __init__(self, p: float = 0.5, rng: Seed = None) -> None:
        self.p = p
        self.own_rng = rng
        self.initialize(rng)

    def mask_shape(self, shape: Shape) -> Shape:
        """Return the shape of the mask for an input of `shape`, the batch included."""
        return shape

    def draw(self, shape: Shape, kind: Any) -> np.ndarray:
        """Draw the numbers of a mask of `shape`, before they are compared with p."""
        return self.rng.random(shape, kind)

    def disturb(self, a_prev: np.ndarray) -> np.ndarray:
        kind = _real(a_prev)
        drawn = self.draw_part(self.mask_shape(a_prev.shape), kind, self.part)
        self.mask = (drawn >= self.p).astype(kind)
        self.mask *= 1 / (1 - self.p)
        return self.mask * a_prev

    def calm(self) -> None:
        self.mask = None

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.copy() if self.mask is None else self.mask * delta

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.p:g})"


class ChannelDropout(Dropout):
    """Dropout of whole channels: an example keeps all of a channel or none of it.

    Neighbouring pixels of a channel, or steps of a sequence, are so alike that leaving out single
    ones leaves out little. The equations and parameters are those of `Dropout`; the mask has one
    number for every channel of every example, C x 1 x 1 x B for images C x H x W x B and d x 1 x B
    for sequences d x T x B. For n x B it is `Dropout` itself. Source: Tompson et al., "Efficient
    Object Localization Using Convolutional Networks", 2015 ("SpatialDropout").

    Attributes
    ----------
    mask : ndarray, C x 1 x ... x B, or None
        That of the last training forward: 0 or 1 / (1 - p); None after a pass of inference that
        keeps state, which leaves nothing out.
    """

    def mask_shape(self, shape: Shape) -> Shape:
        return (shape[0], *(1 for _ in shape[1:-1]), shape[-1])


class GaussianNoise(Disturbance):
    """Add Gaussian noise to every activation in training; inference is the identity.

    ::

        forward    a = a_prev + noise        noise ~ N(0, std^2), each drawn for itself
        downstream dC/da_prev = nabla_a

    To a network with the quadratic cost, a little noise at the input is, on average, a penalty on
    the derivatives of the output by the input. Source: Bishop, "Training with Noise is Equivalent
    to Tikhonov Regularization", 1995.

    Parameters
    ----------
    std : float
        The standard deviation of the noise, not negative. May be assigned later.
    rng : numpy.random.Generator, int or None
        Where noise is drawn from, or its seed; as of `Dropout`.

    Attributes
    ----------
    noise : ndarray of the input's shape and dtype, or None
        What the last training forward added.
    """

    heeds_part = True
    noise: np.ndarray | None = None

    @OnAssignment
    def std(self, std: float) -> None:
        """The standard deviation. May be assigned between passes."""
        check_assignable(self, "std")
        vars(self)["std"] = check_number(f"{type(self).__name__}: std", std, "[0, inf)")

    def __init__(self, std: float, rng: Seed = None) -> None:
        self.std = std
        self.own_rng = rng
        self.initialize(rng)

    def draw(self, shape: Shape, kind: Any) -> np.ndarray:
        """Draw what becomes the noise of an input of `shape`: numbers of N(0, 1)."""
        return self.rng.standard_normal(shape, kind)

    def disturb(self, a_prev: np.ndarray) -> np.ndarray:
        self.noise = self.draw_part(a_prev.shape, _real(a_prev), self.part)
        self.noise *= self.std
        return a_prev + self.noise

    def calm(self) -> None:
        self.noise = None

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.copy()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.std:g})"


def _real(a_prev: np.ndarray) -> type[np.float32] | type[np.float64]:
    """Return the dtype to draw in: what is drawn is real, in the complex step too."""
    return np.float32 if a_prev.dtype.itemsize == 4 else np.float64
