"""The largest eigenvalues of a curvature matrix, by products with it alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_integer, kind_of
from backprop.core.quiet import underflow_is_0
from backprop.core.randomness import generator
from backprop.layers.base import Seed


@underflow_is_0
def largest_eigenvalues(
    matrix: Any, k: int = 1, rng: Seed = 0, tolerance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues of a symmetric matrix, and their eigenvectors.

    By Lanczos iterations (`scipy.sparse.linalg.eigsh`), some dozens of products and more, from a
    random vector. The largest of the Hessian is the sharpness: gradient descent with a larger eta
    than 2 over it does not stay in the valley it is in.

    Parameters
    ----------
    matrix : Hessian, GaussNewton, Fisher, or anything with a `shape` that has ``matrix @ v``
    k : int
        Less than P.
    rng : numpy.random.Generator, int or None
        Where the first vector is drawn from, or its seed.
    tolerance : float
        Relative, of the eigenvalues; 0 is what float64 can do.

    Returns
    -------
    values : ndarray of shape (k,)
        The largest first, with their signs: a Hessian may have larger ones below 0.
    vectors : ndarray, P x k
        Of length 1, one a column.

    Raises
    ------
    TypeError
        If it is no matrix of as many rows as columns.
    ValueError
        If k is not less than P.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh  # not before it is needed

    shape = getattr(matrix, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[0] != shape[1]:
        raise TypeError(
            f"largest_eigenvalues: expected a symmetric matrix, such as Hessian(network, x, y), "
            f"got {kind_of(matrix)}"
        )
    n = shape[0]
    k = check_integer("largest_eigenvalues: k", k)
    if k >= n:
        raise ValueError(f"largest_eigenvalues: k must be less than the {n} parameters, got {k}")
    start = generator("largest_eigenvalues", rng).standard_normal(n)
    operator = LinearOperator((n, n), matvec=lambda v: matrix @ v.ravel(), dtype=np.float64)
    values, vectors = eigsh(operator, k, which="LA", v0=start, tol=tolerance)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]
