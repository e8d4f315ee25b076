"""The built-in digits: handwritten-looking images of 0-9, made on the spot from a seed.

Each way of writing a digit is a skeleton: a few strokes through control points. An image takes
one skeleton of its digit and bends it the way hands differ: the control points are moved about,
the whole is rotated, slanted, stretched and bent by a smooth random displacement of the plane
(the elastic distortion of Simard, Steinkraus and Platt, "Best practices for convolutional neural
networks applied to visual document analysis", 2003). It is then drawn with a pen of random width
and darkness into a box of about 20x20, its centre of mass near the middle, much as in MNIST
(LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
1998).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from backprop.core.checks import check_integer

VERSION = 1  # of the images: to be raised whenever the same seed gives other bits
SIDE = 28  # of an image, in pixels

_BLOCK = 500  # images made together, from one generator; a multiple of ten
_SAMPLES = 100  # points at which the pen's path is drawn, per image
_FINE = 2  # the path is drawn on a grid this many times finer than the image

# How much the images differ. Lengths are in units of the skeletons' box (100 high) or in pixels;
# a pair is the range of a uniform distribution, a single number a standard deviation. Chosen so
# that a linear classifier stays clearly below a net with one hidden layer.
_JITTER = 2.2  # of each control point, in units
_ROTATION = 0.12  # radians
_SLANT_MEAN, _SLANT = 0.1, 0.2  # horizontal shift per unit of height
_ASPECT = 0.15  # of the logarithm of the width
_WAVES, _WAVE_HEIGHT, _WAVE_NUMBER = 3, 2.4, 0.035  # elastic distortion: units, radians per unit
_BOX = 17.0, 20.0  # longer side of the ink, to one _PEN beyond the path, in pixels
_SHIFT = -2.3, 2.3  # of the centre of mass from the middle of the image, in pixels
_PEN = 0.55, 1.0  # standard deviation of the Gaussian profile of a stroke, in pixels
_DARKNESS = 1.2, 2.4  # of the middle of a stroke; what exceeds 1 saturates
_NOISE = 0.1  # of the ink, relative

Point = tuple[int, int]
Stroke = tuple[Point, ...]

# The ways of writing each digit, as skeletons: strokes through points (x, y), y downwards, in a
# box 100 high. A stroke that ends where it began is a smooth closed curve. Points that are equal,
# in one skeleton, stay equal when they are moved: this is how strokes are joined at a corner.
_WAYS: tuple[tuple[tuple[Stroke, ...], ...], ...] = (
    (  # 0: oval, narrow, round, overshooting where it closes
        (((35, 0), (10, 18), (3, 50), (12, 84), (35, 100), (58, 84), (67, 50), (60, 18), (35, 0)),),
        (((25, 0), (9, 20), (5, 50), (9, 80), (25, 100), (41, 80), (45, 50), (41, 20), (25, 0)),),
        (((45, 0), (15, 14), (2, 50), (15, 86), (45, 100), (75, 86), (88, 50), (75, 14), (45, 0)),),
        (((46, 8), (20, 8), (4, 42), (8, 80), (32, 100), (58, 80), (65, 42), (48, 8), (18, 0)),),
    ),
    (  # 1: a bar, a slanted bar, with a flag, with flag and foot
        (((30, 0), (30, 33), (30, 66), (30, 100)),),
        (((44, 0), (36, 33), (28, 66), (18, 100)),),
        (((13, 23), (26, 13), (36, 0)), ((36, 0), (36, 50), (36, 100))),
        (
            ((12, 22), (26, 12), (38, 0)),
            ((38, 0), (38, 50), (38, 100)),
            ((12, 100), (38, 100), (64, 100)),
        ),
    ),
    (  # 2: angular, with a loop, with a curl and a wavy foot
        (
            ((6, 22), (16, 4), (38, 0), (58, 12), (58, 34), (42, 58), (22, 80), (4, 98)),
            ((4, 98), (34, 97), (66, 98)),
        ),
        (
            (
                *((8, 20), (22, 3), (46, 2), (58, 20), (48, 50), (34, 76), (18, 97)),
                *((4, 97), (2, 82), (16, 73), (34, 84), (50, 97), (70, 90)),
            ),
        ),
        (
            ((16, 32), (7, 20), (20, 3), (44, 2), (60, 18), (54, 42), (32, 70), (6, 97)),
            ((6, 97), (24, 90), (44, 98), (68, 92)),
        ),
    ),
    (  # 3: two bowls, flat on top, with a loop at the waist
        (
            ((8, 12), (28, 0), (52, 6), (56, 26), (42, 42), (24, 47)),
            ((24, 47), (46, 50), (64, 66), (58, 88), (34, 100), (6, 90)),
        ),
        (
            ((8, 5), (32, 3), (58, 4)),
            ((58, 4), (44, 22), (28, 40)),
            ((28, 40), (54, 46), (64, 70), (52, 93), (28, 100), (6, 88)),
        ),
        (
            (
                *((8, 14), (28, 1), (53, 8), (52, 30), (34, 47), (22, 47)),
                *((32, 42), (58, 54), (63, 80), (38, 100), (5, 88)),
            ),
        ),
    ),
    (  # 4: open and angular, closed, open and round
        (
            ((16, 4), (11, 30), (6, 56)),
            ((6, 56), (36, 55), (70, 52)),
            ((50, 8), (49, 50), (46, 100)),
        ),
        (
            ((50, 0), (28, 32), (4, 66)),
            ((4, 66), (36, 66), (72, 64)),
            ((50, 0), (50, 50), (49, 100)),
        ),
        (
            ((12, 2), (6, 32), (14, 52), (36, 53), (58, 44)),
            ((62, 0), (59, 44), (53, 100)),
        ),
    ),
    (  # 5: with a corner, in one sweep, with the bar drawn apart
        (
            ((60, 2), (36, 2), (14, 3)),
            ((14, 3), (11, 22), (9, 44)),
            ((9, 44), (34, 36), (60, 50), (62, 76), (42, 97), (6, 92)),
        ),
        (((64, 3), (38, 2), (18, 14), (15, 37), (36, 44), (58, 57), (59, 81), (36, 99), (5, 90)),),
        (
            ((22, 8), (16, 27), (12, 46)),
            ((12, 46), (38, 38), (60, 53), (58, 82), (34, 100), (6, 90)),
            ((24, 4), (46, 5), (72, 0)),
        ),
    ),
    (  # 6: curved, straight stem, hooked stem, large loop
        (((52, 2), (28, 20), (10, 48), (7, 76), (26, 99), (52, 92), (58, 68), (38, 55), (14, 68)),),
        (((40, 0), (24, 30), (8, 64), (12, 91), (34, 100), (56, 86), (54, 62), (34, 55), (8, 64)),),
        (
            (
                *((60, 10), (46, 0), (24, 16), (8, 50), (10, 84)),
                *((32, 100), (54, 86), (50, 64), (30, 58), (11, 74)),
            ),
        ),
        (((30, 0), (12, 24), (2, 60), (14, 92), (42, 100), (64, 80), (54, 51), (28, 46), (4, 60)),),
    ),
    (  # 7: plain, barred, with a serif and a curved stem, with a round shoulder
        (((4, 6), (34, 4), (64, 4)), ((64, 4), (45, 48), (28, 100))),
        (
            ((4, 5), (34, 4), (64, 4)),
            ((64, 4), (46, 48), (30, 100)),
            ((22, 54), (43, 51), (66, 48)),
        ),
        (
            ((5, 20), (7, 5)),
            ((7, 5), (36, 6), (62, 3)),
            ((62, 3), (45, 32), (34, 64), (31, 100)),
        ),
        (((4, 9), (30, 3), (54, 5), (58, 20), (44, 52), (30, 98)),),
    ),
    (  # 8: in one stroke, two rings, open at the top
        (
            (
                *((54, 14), (32, 0), (12, 14), (18, 36), (36, 50), (56, 68)),
                *((54, 92), (32, 100), (10, 91), (10, 68), (30, 50), (50, 36), (54, 14)),
            ),
        ),
        (
            ((34, 0), (13, 12), (15, 36), (34, 47), (53, 36), (55, 12), (34, 0)),
            ((34, 47), (10, 59), (8, 88), (34, 100), (60, 88), (58, 59), (34, 47)),
        ),
        (
            (
                *((56, 6), (34, 0), (12, 16), (22, 38), (46, 56), (56, 80)),
                *((34, 100), (10, 84), (22, 60), (46, 38), (64, 12)),
            ),
        ),
    ),
    (  # 9: straight tail, curved tail, slanted with a narrow loop
        (
            ((56, 12), (34, 0), (10, 12), (8, 38), (30, 49), (52, 34), (56, 12)),
            ((56, 12), (55, 54), (50, 100)),
        ),
        (
            ((60, 14), (36, 0), (10, 14), (10, 40), (34, 49), (56, 36), (60, 14)),
            ((60, 14), (63, 52), (50, 90), (28, 100), (12, 92)),
        ),
        (
            ((56, 10), (32, 1), (9, 22), (14, 47), (38, 42), (58, 14)),
            ((58, 14), (48, 54), (28, 100)),
        ),
    ),
)


def make_digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` images of handwritten-looking digits and their labels.

    Image i and its label depend on `seed` and i alone, not on `n`: more images with the same seed
    begin with the same ones. Each run of ten labels holds every digit once, in random order.

    Parameters
    ----------
    n : int
        Number of images, 0 or more.
    seed : int
        Seed, 0 or more. Different seeds give independent images.

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
        Grey levels, from 0 (paper) to 255 (ink).
    labels : ndarray of uint8, shape (n,)
        The digits, 0 to 9.

    Raises
    ------
    TypeError
        If `n` or `seed` is not an integer.
    ValueError
        If either is negative.
    """
    n = check_integer("make_digits: n", n, least=0)
    seed = check_integer("make_digits: seed", seed, least=0)
    images = np.empty((n, SIDE, SIDE), dtype=np.uint8)
    labels = np.empty(n, dtype=np.uint8)
    for start in range(0, n, _BLOCK):
        # Always a whole block, even where only a part is used: see the promise above. The seed
        # comes last, as it may take several 32-bit words: so no two pairs are the same words.
        block_images, block_labels = _make_block(np.random.default_rng([start // _BLOCK, seed]))
        wanted = min(_BLOCK, n - start)
        images[start : start + wanted] = block_images[:wanted]
        labels[start : start + wanted] = block_labels[:wanted]
    return images, labels


def _make_block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permuted(np.tile(np.arange(10), (_BLOCK // 10, 1)), axis=1).ravel()
    counts = np.array([len(ways) for ways in _WAYS])
    skeleton = (np.cumsum(counts) - counts)[labels] + rng.integers(counts[labels])
    order = np.argsort(skeleton, kind="stable")  # images of one skeleton side by side
    path, step = _distort(*_write(skeleton[order], rng), rng)
    images = np.empty((_BLOCK, SIDE, SIDE), dtype=np.uint8)
    images[order] = _draw(path, np.hypot(*step), rng)
    return images, labels.astype(np.uint8)


def _write(skeleton: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the pen's path, and its steps, over skeletons whose points are moved at random.

    Parameters
    ----------
    skeleton : ndarray of int, shape (N,)
        Index into `_skeletons()` of each image, ascending.

    Returns
    -------
    path : ndarray of float32, shape (2, samples, N)
        Points (x, y) along the strokes, in units, about the middle of the box.
    step : ndarray of float32, shape (2, samples, N)
        The vector between the two ends of the piece of path that each point stands for.
    """
    path = np.empty((2, _SAMPLES, len(skeleton)), dtype=np.float32)
    step = np.empty_like(path)
    bounds = np.searchsorted(skeleton, np.arange(len(_skeletons()) + 1))
    for (points, path_rows, step_rows), start, stop in zip(
        _skeletons(), bounds[:-1], bounds[1:], strict=True
    ):
        jitter = _normal(rng, _JITTER, (2, len(points), stop - start))
        moved = points.T[:, :, None] + jitter
        np.matmul(path_rows, moved, out=path[:, :, start:stop])
        np.matmul(step_rows, moved, out=step[:, :, start:stop])
    return path, step


def _distort(
    path: np.ndarray, step: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate, slant, stretch and bend each image's path; shapes as `_write` returns them.

    The steps undergo the linear part only: bending changes them too little to be seen.
    """
    n = path.shape[2]
    angle = _normal(rng, _ROTATION, n)
    slant = _normal(rng, _SLANT, n) + np.float32(_SLANT_MEAN)
    aspect = np.exp(_normal(rng, _ASPECT, n))
    # Stretched, then slanted (y points downwards, hence the minus), then rotated.
    cos, sin = np.cos(angle), np.sin(angle)
    xx, xy = cos * aspect, -cos * slant - sin
    yx, yy = sin * aspect, -sin * slant + cos
    path, step = (np.stack([xx * x + xy * y, yx * x + yy * y]) for x, y in (path, step))
    # A sum of a few long plane waves, each displacing the points along a direction of its own.
    bend = np.zeros_like(path)
    for _ in range(_WAVES):
        number = _normal(rng, _WAVE_NUMBER, (2, n))
        height = _normal(rng, _WAVE_HEIGHT, (2, n))
        phase = _uniform(rng, (0.0, 2 * math.pi), (2, n))
        angle = number[0] * path[0] + number[1] * path[1]
        bend += height[:, None] * np.sin(angle + phase[:, None])
    return path + bend, step


def _draw(path: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw each path with a pen of its own.

    Parameters
    ----------
    path : ndarray of float32, shape (2, samples, N)
        Points along the strokes.
    length : ndarray of float32, shape (samples, N)
        Length of the piece of path that each point stands for.

    Returns
    -------
    ndarray of uint8, shape (N, 28, 28)
    """
    n = path.shape[2]
    pen = _uniform(rng, _PEN, n)
    low, high = path.min(axis=1), path.max(axis=1)
    scale = (_uniform(rng, _BOX, n) - 2 * pen) / (high - low).max(axis=0)
    centre = (path * length).sum(axis=1) / length.sum(axis=0)
    # The centre of mass near the middle, but the ink off the border (hence no further checks).
    middle = SIDE / 2 + _uniform(rng, _SHIFT, (2, n))
    border = 1 + pen
    middle = np.clip(
        middle, border - (low - centre) * scale, SIDE - border - (high - centre) * scale
    )
    path = (path - centre[:, None]) * scale + middle[:, None]
    ink = _deposit(path * _FINE, length * scale)
    # Spread by the pen's Gaussian profile exp(-d^2 / 2 pen^2), sampled at the pixels' centres.
    # Along a straight stroke it adds up to sqrt(2 pi) pen, which the last factor takes out.
    pixels = np.arange(SIDE, dtype=np.float32)[:, None] + 0.5
    cells = (np.arange(SIDE * _FINE, dtype=np.float32) + 0.5) / _FINE
    spread = np.exp(np.square(pixels - cells) / (-2 * np.square(pen))[:, None, None])
    grey = spread @ ink @ spread.transpose(0, 2, 1)
    grey *= (_uniform(rng, _DARKNESS, n) / (math.sqrt(2 * math.pi) * pen))[:, None, None]
    grey *= 1 + _normal(rng, _NOISE, grey.shape)
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _deposit(path: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share the weight of each point among the four cells nearest to it (bilinear).

    Parameters
    ----------
    path : ndarray of float32, shape (2, samples, N)
        Points (x, y) in cells, cell i reaching from i to i + 1; half a cell or more off the edge.
    weight : ndarray of float32, shape (samples, N)

    Returns
    -------
    ndarray of float32, shape (N, fine side, fine side)
        Rows are y, columns x.
    """
    n, side = path.shape[2], SIDE * _FINE
    place = path - 0.5
    cell = place.astype(np.int32)
    x, y = place - cell
    first = (np.arange(n) * side + cell[1]) * side + cell[0]
    indices = np.stack([first, first + 1, first + side, first + side + 1])
    shares = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]) * weight
    ink = np.bincount(indices.ravel(), shares.ravel(), minlength=n * side * side)
    return ink.astype(np.float32).reshape(n, side, side)


class _Skeleton(NamedTuple):
    """A way of writing a digit: path and steps are linear in the control points.

    Attributes
    ----------
    points : ndarray of float32, shape (K, 2)
        The distinct control points, about the middle of the box.
    path : ndarray of float32, shape (samples, K)
        ``path @ points`` are points along the strokes, at about equal distances.
    step : ndarray of float32, shape (samples, K)
        ``step @ points`` are the vectors between the ends of the piece of each.
    """

    points: np.ndarray
    path: np.ndarray
    step: np.ndarray


@cache
def _skeletons() -> tuple[_Skeleton, ...]:
    """Return all skeletons, those of 0 first."""
    return tuple(_prepare(strokes) for ways in _WAYS for strokes in ways)


def _prepare(strokes: tuple[Stroke, ...]) -> _Skeleton:
    points = sorted({point for stroke in strokes for point in stroke})
    distances = [
        np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
        for stroke in strokes
    ]
    lengths = np.cumsum([distance[-1] for distance in distances])
    samples = np.diff(np.rint(lengths / lengths[-1] * _SAMPLES).astype(int), prepend=0)
    path, step = [], []
    for stroke, distance, count in zip(strokes, distances, samples, strict=True):
        # Middles (odd rows) and ends (even rows) of `count` pieces of equal length.
        along = np.linspace(0.0, distance[-1], 2 * count + 1)
        t = np.interp(along, distance, np.arange(len(stroke)))
        rows = _catmull_rom(t, len(stroke), closed=stroke[0] == stroke[-1])
        rows = rows @ np.array([[point == other for other in points] for point in stroke], float)
        path.append(rows[1::2])
        step.append(np.diff(rows[::2], axis=0))
    return _Skeleton(
        np.array(points, dtype=np.float32) - np.array([35, 50], dtype=np.float32),
        np.concatenate(path).astype(np.float32),
        np.concatenate(step).astype(np.float32),
    )


def _catmull_rom(t: np.ndarray, n_points: int, *, closed: bool) -> np.ndarray:
    """Return the weights of the points in the Catmull-Rom spline through them.

    Between points i and i + 1, with u = t - i, the spline is the cubic through both whose slope
    at each is half the difference of its neighbours (Catmull and Rom, "A class of local
    interpolating splines", 1974).

    Parameters
    ----------
    t : ndarray of float64, shape (T,)
        Positions, from 0 (the first point) to n_points - 1 (the last).
    n_points : int
        Number of points.
    closed : bool
        Whether the last point is the first again, and the curve is to be smooth there. An open
        curve is continued beyond its ends by reflection.

    Returns
    -------
    ndarray of float64, shape (T, n_points)
    """
    identity = np.eye(n_points)
    before = identity[-2] if closed else 2 * identity[0] - identity[1]
    after = identity[1] if closed else 2 * identity[-1] - identity[-2]
    extended = np.vstack([before, identity, after])
    i = np.minimum(t.astype(int), n_points - 2)
    u = (t - i)[:, None]
    return 0.5 * (
        (-u + 2 * u**2 - u**3) * extended[i]
        + (2 - 5 * u**2 + 3 * u**3) * extended[i + 1]
        + (u + 4 * u**2 - 3 * u**3) * extended[i + 2]
        + (-(u**2) + u**3) * extended[i + 3]
    )


def _normal(rng: np.random.Generator, scale: float, shape: int | tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def _uniform(
    rng: np.random.Generator, bounds: tuple[float, float], shape: int | tuple[int, ...]
) -> np.ndarray:
    low, high = bounds
    return rng.random(shape, dtype=np.float32) * np.float32(high - low) + np.float32(low)
