"""From data as it is stored to data as a network takes it: the batch is the last axis."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from backprop.core.checks import check_array, check_finite, check_integer, is_finite


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
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: labels must be integers, got {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"one_hot: labels must have shape (N,), got {labels.shape}")
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        i = wrong[0]
        raise ValueError(
            f"one_hot: labels must be in 0..{n_classes - 1}, got {labels[i]} at index {i}"
        )
    rows = np.zeros((len(labels), n_classes), dtype=dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows.T


def to_columns(images: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Return examples as columns, each flattened in C order.

    Integers are divided by the largest value of their type, so that uint8 grey levels come to lie
    in [0, 1]. Floating-point values are kept as they are.

    Parameters
    ----------
    images : array-like, shape (N, ...)
        Examples, of integers or of floating-point numbers.
    dtype : dtype-like
        Of the result: a floating-point type.

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
        in `dtype`.
    """
    images = np.asarray(images)
    if images.ndim < 2:
        raise ValueError(f"to_columns: images must have shape (N, ...), got {images.shape}")
    return _rows("to_columns", images, dtype).T


def to_images(images: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Return images as a convolution takes them, channels x height x width x examples.

    Parameters
    ----------
    images : array-like, shape (N, H, W) or (N, C, H, W)
        Grey images have one channel, C = 1.
    dtype : dtype-like
        Of the result: a floating-point type.

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
        )
    channels = (1, *images.shape[1:]) if images.ndim == 3 else images.shape[1:]
    rows = _rows("to_images", images, dtype)
    return np.moveaxis(rows.reshape(len(rows), *channels), 0, -1)


def _rows(owner: str, images: np.ndarray, dtype: npt.DTypeLike) -> np.ndarray:
    """Return one example a row, scaled and in `dtype` as `to_columns` says."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"{owner}: dtype must be floating-point, got {dtype}")
    if images.dtype.kind not in "iuf":
        raise TypeError(
            f"{owner}: images must be integers or floating-point numbers, got {images.dtype}"
        )
    images = np.ascontiguousarray(images)
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):
            images = images.astype(dtype, copy=False)
        check_finite(f"{owner}: {dtype} images", images)
    else:  # in float32 at least: the largest integers are infinite in float16
        wide = np.result_type(dtype, np.float32)
        images = np.divide(images, np.iinfo(images.dtype).max, dtype=wide)
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
    n_validation = check_integer("split: n_validation", n_validation, least=0)
    n = x.shape[-1]
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
