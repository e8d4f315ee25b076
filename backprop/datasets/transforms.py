"""From data as it is stored to data as a network takes it: the batch is the last axis."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from backprop.core.checks import check_array, check_finite, check_integer, check_number, is_finite
from backprop.core.quiet import underflow_is_0
from backprop.core.stored import pieces


def one_hot(labels: npt.ArrayLike, n_classes: int, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Return the targets y of class labels: y[c, i] is 1 where label i is c, and 0 elsewhere.

    Parameters
    ----------
    labels : array-like of int, shape (N,)
        Classes, 0 to n_classes - 1.
    n_classes : int
        Number of classes, 1 or more.
    dtype : dtype-like
        Of the result.

    Returns
    -------
    ndarray, shape (n_classes, N)
        The transposed view of N rows in C order.

    Raises
    ------
    TypeError
        If the labels or `n_classes` are not integers.
    ValueError
        If the labels have another rank, a label is out of range, or `n_classes` is below 1.
    """
    labels = np.asarray(labels)
    n_classes = check_integer("one_hot: n_classes", n_classes)
    turn = _turn_of_one_hot(labels, n_classes)
    if turn is not None:
        raise ValueError(
            f"one_hot: labels must have shape (N,), got {labels.shape}, which is one-hot already: "
            f"the targets are np.asarray(labels, np.{np.dtype(dtype)}){turn}"
        )
    if labels.dtype.kind not in "iu":
        way = ""
        if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and (labels % 1 == 0).all()):
            way = ": give np.asarray(labels).astype(int)"
        elif labels.dtype.kind in "SU" or all(isinstance(one, str) for one in labels.ravel()):
            way = ": give np.unique(labels, return_inverse=True)[1]"
        raise TypeError(f"one_hot: labels must be integers, got {labels.dtype}{way}")
    if labels.ndim != 1:
        way = ": give np.ravel(labels)" if labels.size == max(labels.shape, default=0) else ""
        raise ValueError(f"one_hot: labels must have shape (N,), got {labels.shape}{way}")
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        i, least, most = wrong[0], int(labels.min()), int(labels.max())
        if n_classes == 1 and {least, most} <= {0, 1}:
            way = ": of two classes give n_classes=2; for one output, labels[np.newaxis] as floats"
        elif least >= 1 and most - least < n_classes:
            way = f": they are counted from 0: give np.asarray(labels) - {least}"
        else:
            way = f": give n_classes={most + 1}" if least >= 0 else ""
        raise ValueError(
            f"one_hot: labels must be in 0..{n_classes - 1}, got {labels[i]} at index {i}{way}"
        )
    rows = np.zeros((len(labels), n_classes), dtype=dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows.T


def _turn_of_one_hot(labels: np.ndarray, n_classes: int) -> str | None:
    """Return what turns labels that are one-hot into targets, "" or ".T"; None if they are not."""
    if labels.ndim != 2 or n_classes < 2 or labels.dtype.kind not in "buif":
        return None
    if not ((labels == 0) | (labels == 1)).all():
        return None
    for axis, turn in ((0, ""), (1, ".T")):
        if labels.shape[axis] == n_classes and (labels.sum(axis=axis) == 1).all():
            return turn
    return None


def to_columns(
    images: npt.ArrayLike, dtype: npt.DTypeLike = np.float32, maximum: float | None = None
) -> np.ndarray:
    """Return examples as columns, each flattened in C order, scaled so that `maximum` becomes 1.

    Bytes (uint8) are grey levels from 0 to 255, so that they come to lie in [0, 1], unless they are
    0 and 1 alone: black and white, it seems. Of them, and of integers of any other type,
    nothing says what their white is (12-bit pixels come in uint16, and those of 8 bits in int64),
    so it must be stated; it is the same for training and test data. Values in floating-point are
    kept as they are, unless they are such grey levels themselves: whole numbers, none negative,
    that go beyond 127.

    Parameters
    ----------
    images : array-like, shape (N, ...)
        Examples, of integers or of floating-point numbers.
    dtype : dtype-like
        Of the result: a floating-point type.
    maximum : float, optional
        What all values are divided by, and none exceeds in size: 4095 for pixels of 12 bits, 1 to
        keep the values as they are.

    Returns
    -------
    ndarray, shape (n, N)
        The transposed view (Fortran order) of N rows in C order. The rows are those of `images`
        themselves, not a copy, where they need neither scaling nor converting.

    Raises
    ------
    TypeError
        If `images` holds anything but real numbers, or `dtype` is not a floating-point type.
    ValueError
        If `images` has fewer than two axes, or holds a number that is NaN or infinite, be it only
        in `dtype`; if the values need a `maximum`, or exceed the one that is given; if they are
        n x n bytes, which may be one image as well as n examples, and no `maximum` is given.
    """
    images = np.asarray(images)
    if images.ndim < 2:
        one = ": a single example is x[np.newaxis]" if images.ndim else ""
        raise ValueError(f"to_columns: images must have shape (N, ...), got {images.shape}{one}")
    h, w = images.shape[:2]
    square = images.ndim == 2 and h == w > 4
    if square and images.dtype == np.uint8 and maximum is None:
        raise ValueError(
            f"to_columns: is this {h} x {w} one image? Give to_columns(image[np.newaxis]); of "
            f"{h} examples of {w} numbers, to_columns(x, maximum=255)"
        )
    return _rows("to_columns", images, dtype, maximum).T


def to_images(
    images: npt.ArrayLike, dtype: npt.DTypeLike = np.float32, maximum: float | None = None
) -> np.ndarray:
    """Return images as a convolution takes them, channels x height x width x examples.

    Parameters
    ----------
    images : array-like, shape (N, H, W) or (N, C, H, W)
        Grey images have one channel, C = 1.
    dtype : dtype-like
        Of the result: a floating-point type.
    maximum : float, optional
        What becomes 1, as in `to_columns`.

    Returns
    -------
    ndarray, shape (C, H, W, N)
        A view of the N examples in C order, scaled as by `to_columns`.

    Raises
    ------
    TypeError, ValueError
        As `to_columns`; ValueError too for another number of axes.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4):
        raise ValueError(
            f"to_images: images must have shape (N, H, W) or (N, C, H, W), got {images.shape}"
            + (": one image is image[np.newaxis]" if images.ndim == 2 else "")
        )
    channels = (1, *images.shape[1:]) if images.ndim == 3 else images.shape[1:]
    rows = _rows("to_images", images, dtype, maximum)
    return np.moveaxis(rows.reshape(len(rows), *channels), 0, -1)


def check_scale(
    owner: str, images: np.ndarray, maximum: float | None, option: str = "maximum="
) -> float | None:
    """Return what the values of `images` are to be divided by; None where they stay as they are.

    Raises
    ------
    ValueError
        If they need a `maximum` (the message says how to give it, by `option`), or exceed it.
    """
    if images.size == 0:
        return maximum
    if maximum is None and images.dtype == np.uint8 and not _are_black_and_white(images):
        return 255.0
    if maximum is None and images.dtype.kind == "f" and not _are_grey_levels(images):
        return None
    ends = [(part.min().item(), part.max().item()) for part in pieces(images)]
    least, largest = min(least for least, _ in ends), max(largest for _, largest in ends)
    if maximum is None:
        white = int(max(largest, -least))
        if white > 16:  # the largest number of so many bits
            white = 2 ** max(8, white.bit_length()) - 1
        if images.dtype == np.int8 and least < 0:
            raise ValueError(
                f"{owner}: int8 images hold values from {least} to {largest}: bytes from 0 to 255 "
                f"are images.view(np.uint8); of others state which value becomes 1, such as "
                f"{option}128"
            )
        kind = "whole numbers" if images.dtype.kind == "f" else "values"
        keep = f", or {option}1 to keep them" if images.dtype.kind == "f" else ""
        raise ValueError(
            f"{owner}: {images.dtype} images hold {kind} from {least:.15g} to {largest:.15g}: "
            f"state which value becomes 1, such as {option}{white}{keep}"
        )
    if max(largest, -least) > maximum:
        raise ValueError(
            f"{owner}: {option.strip(' =-')} must not be less than any value, got {maximum:.15g} "
            f"for {images.dtype} images from {least:.15g} to {largest:.15g}"
        )
    return maximum


def _are_black_and_white(images: np.ndarray) -> bool:
    """Say whether bytes are 0 and 1 alone, and not all of them alike."""
    kinds: set[int] = set()
    for part in pieces(images):
        kinds |= {int(part.min()), int(part.max())}
        if not kinds <= {0, 1}:
            return False
    return kinds == {0, 1}


def _are_grey_levels(images: np.ndarray) -> bool:
    """Say whether floating-point images hold what only integers of 8 bits or more would."""
    largest = 0.0
    for some in itertools.chain([images[:1]], pieces(images)):  # the first most often tells
        with np.errstate(invalid="ignore"):
            if not (np.rint(some) == some).all() or some.min() < 0:
                return False
        largest = max(largest, some.max().item())
    return 127 < largest < math.inf  # what is infinite is told as such


def _rows(
    owner: str, images: np.ndarray, dtype: npt.DTypeLike, maximum: float | None
) -> np.ndarray:
    """Return one example a row, scaled and in `dtype` as `to_columns` says."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"{owner}: dtype must be floating-point, got {dtype}")
    if images.dtype.kind not in "iuf":
        remedy = "; convert them: images.astype(np.float32)" if images.dtype.kind == "b" else ""
        raise TypeError(
            f"{owner}: images must be integers or floating-point numbers, got {images.dtype}"
            f"{remedy}"
        )
    if maximum is not None:
        maximum = check_number(f"{owner}: maximum", maximum, "(0, inf)")
    images = np.ascontiguousarray(images)
    if images.dtype.kind == "f":  # before the scale, which could hide that one is infinite
        with np.errstate(over="ignore"):
            check_finite(f"{owner}: {dtype} images", images.astype(dtype, copy=False))
    maximum = check_scale(owner, images, maximum)
    if maximum is not None and maximum != 1:
        # in float32 at least: the largest integers are infinite in float16
        wide = np.result_type(dtype, np.float32)
        images = np.divide(images, maximum, dtype=wide)
    images = images.astype(dtype, copy=False)
    return images.reshape(len(images), math.prod(images.shape[1:]))


def split(
    x: np.ndarray, labels: np.ndarray, n_validation: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Split data into training and validation data: the last `n_validation` examples are these.

    Nielsen's book splits the 60,000 training examples of MNIST into 50,000 and 10,000 like this.

    Parameters
    ----------
    x : ndarray, shape (..., N)
        Examples, the batch last.
    labels : ndarray, shape (..., N)
        Labels or targets, the batch last.
    n_validation : int
        At least 0, and less than N.

    Returns
    -------
    (x_train, y_train), (x_validation, y_validation)
        Views, not copies.

    Raises
    ------
    TypeError
        If `n_validation` is not an integer.
    ValueError
        If the numbers of examples and labels differ, or `n_validation` is out of range.
    """
    n = x.shape[-1]
    if isinstance(n_validation, float) and 0 < n_validation < 1:
        raise TypeError(
            f"split: n_validation must be an integer, the number of examples, got {n_validation}: "
            f"give {round(n_validation * n)}"
        )
    n_validation = check_integer("split: n_validation", n_validation, least=0)
    if labels.shape[-1] != n:
        raise ValueError(
            f"split: x has {n} examples (its last axis) but there are {labels.shape[-1]} labels"
        )
    if n_validation >= n:
        raise ValueError(
            f"split: n_validation must be less than the {n} examples, got {n_validation}"
        )
    cut = n - n_validation
    return (x[..., :cut], labels[..., :cut]), (x[..., cut:], labels[..., cut:])


@underflow_is_0
def standardize(
    x: np.ndarray, mean: np.ndarray | None = None, std: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift and scale each feature to mean 0 and standard deviation 1 over the batch.

    (x - mean) / std, and 0 for a feature whose standard deviation is 0. Test data is to be given
    the statistics of the training data::

        x_train, mean, std = standardize(x_train)
        x_test, _, _ = standardize(x_test, mean, std)

    Parameters
    ----------
    x : ndarray of float, shape (..., N)
        Examples, the batch last.
    mean, std : ndarray of float, shape (..., 1), optional
        Statistics of each feature; by default those of `x`. Either both or neither.

    Returns
    -------
    x : ndarray, shape (..., N)
        A new array of the dtype of the given one.
    mean, std : ndarray, shape (..., 1)
        The statistics used, of the same dtype.

    Raises
    ------
    TypeError
        If `x` is not floating-point.
    ValueError
        If `x` has no examples to take statistics of or they are not finite; if only one of `mean`
        and `std` is given, or one is not finite or negative, or their shape does not fit `x`.
    """
    check_array("standardize", "array x", x, None, "real floating")
    if (mean is None) != (std is None):
        raise ValueError("standardize: mean and std must be given both or neither")
    if mean is None or std is None:
        mean, std = _statistics(x)
    for name, statistic in (("mean", mean), ("std", std)):
        if statistic.shape != (*x.shape[:-1], 1):
            expected = (*x.shape[:-1], 1)
            raise ValueError(
                f"standardize: {name} must have shape {expected}, got {statistic.shape}"
            )
        check_finite(f"standardize: {name}", statistic)
    if (std < 0).any():
        raise ValueError(f"standardize: std must not be negative, got {std.min()}")
    mean, std = mean.astype(x.dtype, copy=False), std.astype(x.dtype, copy=False)
    centred = x - mean
    varies = np.broadcast_to(std > 0, x.shape)
    return np.divide(centred, std, out=np.zeros_like(centred), where=varies), mean, std


def _statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.shape[-1] == 0:
        raise ValueError(f"standardize: x of shape {x.shape} has no examples to take the mean of")
    # Summed in float64: in float32 a constant feature would get a small spurious deviation.
    mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
    if not is_finite(mean):  # only then is it worth looking where
        check_finite("standardize: x", x)
        check_finite("standardize: the mean of x", mean)
    std = np.sqrt(
        np.square(x - mean.astype(x.dtype)).mean(axis=-1, keepdims=True, dtype=np.float64)
    )
    std[(x == x[..., :1]).all(axis=-1, keepdims=True)] = 0
    return mean, std
