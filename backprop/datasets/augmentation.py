"""Random changes of images that keep what they show: for every minibatch anew.

A transform is a function of a minibatch x, C x H x W x B, and of a generator, that returns another
such array; `Trainer(transform=...)` calls it. Those here draw for every image by itself. Sources:
Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual
document analysis", 2003 (elastic distortion); DeVries and Taylor, "Improved regularization of
convolutional neural networks with Cutout", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer, check_number, check_sequence
from backprop.core.config import Configurable


class Transform(Configurable):
    """Base of all: ``transform(x, rng)`` returns changed images of the same shape and dtype."""

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError


class Compose(Transform):
    """Several transforms, one after the other.

    Parameters
    ----------
    *transforms : Transform, or function of (x, rng)
    shape : tuple of int, optional
        C x H x W of images that come as columns, n x B.
    """

    def __init__(
        self, *transforms: Callable[..., np.ndarray], shape: tuple[int, int, int] | None = None
    ) -> None:
        functions = [one for one in transforms if callable(one) and not isinstance(one, type)]
        if not transforms or len(functions) < len(transforms):
            raise TypeError(
                f"Compose: expected transforms, such as Shift(), one at least, got {transforms!r}"
            )
        if shape is not None:
            sizes = check_sequence("Compose", "shape", shape)
            sizes = tuple(check_integer("Compose: shape", n) for n in sizes)
            if len(sizes) != 3:
                raise ValueError(f"Compose: shape must be (C, H, W), got {shape!r}")
            shape = sizes
        self.transforms, self.shape = transforms, shape

    def config(self) -> dict[str, Any]:
        inner = [t.config() if isinstance(t, Configurable) else _name(t) for t in self.transforms]
        shape = None if self.shape is None else list(self.shape)
        return {"class": "Compose", "transforms": inner, "shape": shape}

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.shape is not None and math.prod(self.shape) != math.prod(x.shape[:-1]):
            raise ValueError(
                f"Compose: images of shape {self.shape} are {math.prod(self.shape)} numbers each, "
                f"got x of shape {x.shape}"
            )
        images = x if self.shape is None else x.reshape(*self.shape, x.shape[-1])
        for transform in self.transforms:
            images = transform(images, rng)
        return images.reshape(x.shape)


class Warp(Transform):
    """Base of those that move pixels: each takes its value from a place elsewhere in the image."""

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return where pixels are taken from, H x W x B, given where they are from the centre."""
        raise NotImplementedError

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _check_images(self, x)
        _, h, w, n = x.shape
        rows = (np.arange(h, dtype=np.float32) - (h - 1) / 2)[:, np.newaxis, np.newaxis]
        columns = (np.arange(w, dtype=np.float32) - (w - 1) / 2)[:, np.newaxis]
        u, v = self.places(rows, columns, n, rng)
        return _looked_up(x, u + np.float32((h - 1) / 2), v + np.float32((w - 1) / 2))


class Shift(Warp):
    """Move images by whole pixels, -most to most in each direction."""

    def __init__(self, most: int = 1) -> None:
        self.most = check_integer("Shift: most", most, 0)

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        down, right = rng.integers(-self.most, self.most + 1, (2, n)).astype(np.float32)
        return rows - down + 0 * columns, columns - right + 0 * rows


class Rotate(Warp):
    """Turn images about their centre by up to so many degrees, either way."""

    def __init__(self, degrees: float = 10.0) -> None:
        self.degrees = check_number("Rotate: degrees", degrees, "[0, 180]")

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees, n)).astype(np.float32)
        sin, cos = np.sin(angle), np.cos(angle)
        return cos * rows - sin * columns, sin * rows + cos * columns


class Scale(Warp):
    """Enlarge or reduce images by a factor from 1/(1 + most) to 1 + most."""

    def __init__(self, most: float = 0.1) -> None:
        self.most = check_number("Scale: most", most, "[0, inf)")

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        most = np.log1p(self.most)
        factor = np.exp(rng.uniform(-most, most, n)).astype(np.float32)
        return rows / factor + 0 * columns, columns / factor + 0 * rows


class Affine(Warp):
    """Move, turn, stretch and slant images in one step, so that they are interpolated only once.

    Parameters
    ----------
    pixels : float
        Images move by up to so many in each direction, or parts of them.
    degrees : float
        They turn about their centre by up to so many, either way.
    scale : float
        Height and width are multiplied by factors from 1/(1 + scale) to 1 + scale, each its own.
    shear : float
        Rows move sideways by up to so many pixels for each one that they are from the centre.
    """

    def __init__(
        self, pixels: float = 1.0, degrees: float = 10.0, scale: float = 0.1, shear: float = 0.1
    ) -> None:
        self.pixels = check_number("Affine: pixels", pixels, "[0, inf)")
        self.degrees = check_number("Affine: degrees", degrees, "[0, 180]")
        self.scale = check_number("Affine: scale", scale, "[0, inf)")
        self.shear = check_number("Affine: shear", shear, "[0, inf)")

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        most = np.log1p(self.scale)
        sizes = (self.pixels, self.pixels, np.deg2rad(self.degrees), most, most, self.shear)
        drawn = (rng.uniform(-size, size, n).astype(np.float32) for size in sizes)
        down, right, angle, high, wide, shear = drawn
        sin, cos = np.sin(angle), np.cos(angle)
        u = np.exp(-high) * (cos * rows - sin * columns)
        v = np.exp(-wide) * (sin * rows + cos * columns)
        return u - down, v + shear * u - right


class Elastic(Warp):
    """Bend images: every pixel is moved at random, the movements smoothed by a Gaussian.

    Parameters
    ----------
    alpha : float
        How far: the uniform movements in [-1, 1] are multiplied by it once they are smooth.
    sigma : float
        Of the Gaussian, in pixels.
    """

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0) -> None:
        self.alpha = check_number("Elastic: alpha", alpha, "[0, inf)")
        self.sigma = check_number("Elastic: sigma", sigma, "(0, inf)")

    def places(self, rows: Any, columns: Any, n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        from scipy.ndimage import gaussian_filter1d  # which nothing else here needs

        moved = rng.uniform(-1, 1, (2, len(rows), len(columns), n)).astype(np.float32)
        for axis in (1, 2):
            moved = gaussian_filter1d(moved, self.sigma, axis, mode="constant")
        return rows + self.alpha * moved[0], columns + self.alpha * moved[1]


class CutOut(Transform):
    """Set a square of the image to 0, its centre anywhere in it."""

    def __init__(self, size: int = 8) -> None:
        self.size = check_integer("CutOut: size", size)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _check_images(self, x)
        _, h, w, n = x.shape
        inside = []
        for length in (h, w):
            start = rng.integers(0, length, n) - self.size // 2
            place = np.arange(length)[:, np.newaxis]
            inside.append((place >= start) & (place < start + self.size))
        return np.where(inside[0][:, np.newaxis] & inside[1], x.dtype.type(0), x)


class Noise(Transform):
    """Add N(0, std^2) to every number, of arrays of any shape."""

    def __init__(self, std: float = 0.1) -> None:
        self.std = check_number("Noise: std", std, "[0, inf)")

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        check_array(self, "input", x, None, "real floating")
        noise = rng.standard_normal(x.shape, np.float32) * np.float32(self.std)
        return x + noise.astype(x.dtype, copy=False)


def _name(transform: Any) -> str:
    return getattr(transform, "__qualname__", type(transform).__name__)


def _check_images(transform: Transform, x: np.ndarray) -> None:
    check_array(transform, "input", x, None, "real floating")
    if x.ndim != 4:
        raise ValueError(
            f"{transform}: expected images C x H x W x B, got the shape {x.shape}: of columns give "
            f"datasets.Compose({transform}, shape=(C, H, W))"
        )


def _looked_up(x: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the values at rows u and columns v, between pixels bilinear, outside of them 0."""
    c, h, w, n = x.shape
    top, left = np.floor(u), np.floor(v)
    down, right = u - top, v - left
    flat, found = x.reshape(c, h * w, n), np.zeros_like(x)
    for i, by_row in ((0, 1 - down), (1, down)):
        for j, by_column in ((0, 1 - right), (1, right)):
            row, column = top + i, left + j
            there = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            index = np.where(there, row * w + column, 0).astype(np.intp).reshape(1, h * w, n)
            weight = (by_row * by_column * there).astype(x.dtype)
            found += weight * np.take_along_axis(flat, index, 1).reshape(x.shape)
    return found
