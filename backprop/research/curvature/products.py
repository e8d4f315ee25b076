"""Exact products with the Hessian and the Gauss-Newton matrix, by the complex step.

The gradient is written by hand, and takes complex numbers; so its derivative along v is to be had
without a difference, and without a second derivative of any layer: ::

    H v = Im grad C(theta + i h v) / h,    J v = Im z(theta + i h v) / h,    h = 1e-20

The error is that of rounding alone, since nothing is subtracted and h^2 is 0 beside 1.

Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994; Squire and Trapp, "Using
Complex Variables to Estimate Derivatives of Real Functions", 1998.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from backprop.core.callers import stacklevel
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import as_tuple, each_array
from backprop.gradients.rewinding import rewinder
from backprop.layers.base import Layer
from backprop.layers.mode import KEEPING
from backprop.network import Network
from backprop.network.checks import outputs_like
from backprop.research.arguments import check_minibatch, check_network
from backprop.research.curvature.outer_products import Symmetric, by_columns, direction

STEP = 1e-20
ALIKE = 1e-6  # how far two derivatives of one thing may be apart


class ComplexTwin:
    """A copy of a network in complex numbers, which goes along directions in theta.

    Attributes
    ----------
    reason : str
        Why it cannot be had, or not be believed: the layers that are not analytic; else "".
    """

    def __init__(self, network: Network, x: Any) -> None:
        self.real = network.astype(np.float64)
        self.real.credit = None  # H is that of C, by whatever rule the network learns
        self.x = each_array(lambda one: one if one.dtype.kind in "iu" else one.astype(float), x)
        self.reason, self.foreign = "", _foreign_parts(self.real)
        self.learnt = np.zeros(network.n_parameters)
        for part, _ in network.root.learning_parts():
            self.learnt[part] = 1
        try:
            self.network = self.real.astype(np.complex128)
            self.rewind = rewinder(self.network.layers)
            along = self.forward_derivative(self.random(0))
            if self.foreign and not self._is_adjoint(along):
                self.reason = self.suspects
        except Exception as error:
            self.reason = " ".join(f"{self.culprits()} {error}".split())

    def random(self, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal(len(self.learnt)) * self.learnt

    def go_up(self, v: np.ndarray) -> float:
        """Go up at theta + i h v, and return h."""
        v = v * self.learnt
        h = STEP / (float(np.abs(v).max(initial=0)) or 1.0)
        self.rewind()
        self.network.theta[...] = self.real.theta + 1j * h * v
        x = each_array(lambda one: one if one.dtype.kind in "iu" else one.astype(complex), self.x)
        with warnings.catch_warnings():
            warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
            self.network.root.run(x, KEEPING)
        return h

    def forward_derivative(self, v: np.ndarray) -> Any:
        """Return J v: the derivative along v of z of a canonical pair, else of a, n x B."""
        h = self.go_up(v)
        root = self.network.root
        outputs = root.z if self.network.canonical else root.a
        _check_complex(outputs)
        return each_array(lambda one: one.imag / h, outputs)

    def gradient_derivative(self, v: np.ndarray, y: Any, w: Any = None) -> np.ndarray:
        """Return H v, (P,), w being weights as `Cost.normalized` makes them."""
        h = self.go_up(v)
        network = self.network
        with warnings.catch_warnings():
            warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
            cost = network.cost_per_example(y, w).mean()
            start = network.bp1(y, w)
            network.go_back(*start, input_gradient=False)
        _check_complex(start[0])
        along = float(network.nabla.real @ (v * self.learnt))
        size = np.abs(network.nabla.real) @ np.abs(v) + ALIKE * np.abs(v).max()
        if not abs(cost.imag / h - along) <= ALIKE * size:
            raise ArithmeticError("C is not analytic: its complex step is not its gradient")
        return network.nabla.imag / h * self.learnt  # type: ignore[no-any-return]

    def _is_adjoint(self, along: Any) -> bool:
        """Say whether u . J v, by the complex step, is J^T u . v, by the way back."""
        real = self.real
        real.root.run(self.x, KEEPING)
        rng = np.random.default_rng(1)
        u = each_array(lambda one: rng.standard_normal(one.shape), along)
        real.go_back(u, real.canonical, input_gradient=False)
        v = self.random(0)
        found = sum(float(np.sum(a * b)) for a, b in zip(as_tuple(u), as_tuple(along), strict=True))
        size = np.abs(real.nabla) @ np.abs(v)
        return bool(abs(found - real.nabla @ v) <= ALIKE * size)

    @property
    def suspects(self) -> str:
        """What of the network is not this package's own."""
        return f"what {' and '.join(map(str, self.foreign))} computes is not analytic"

    def culprits(self) -> str:
        """Name the layers that do not take complex numbers through."""
        self.real.root.run(self.x, KEEPING)
        found = [
            f"layer {name}, {layer},"
            for name, layer in self.real.walk()
            if not layer.children and not _is_analytic(layer)
        ]
        return " and ".join(found) + " is not analytic:" if found else ""


def _check_complex(arrays: Any) -> None:
    for array in as_tuple(arrays):
        if array.dtype.kind != "c":
            raise ArithmeticError("the imaginary part is lost on the way")


def _is_analytic(layer: Layer) -> bool:
    """Say whether a layer takes a complex input, and parameters, up and back again."""
    if layer.a_prev is None or layer.a is None:
        return True
    try:
        twin = layer.astype(np.complex128)
        x = each_array(lambda one: one if one.dtype.kind in "iu" else one * (1 + 1j), layer.a_prev)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
            a = twin.run(x, KEEPING)
            _check_complex(a)
            back = twin.go_back(each_array(lambda one: one * (1 - 1j), a))
            if back is not None:
                _check_complex(back)
    except Exception:
        return False
    return True


class Hessian(Symmetric):
    """The Hessian of C by theta, of one minibatch, as products with it: ``Hessian(...) @ v``.

    C is the mean over the examples, of the network that predicts; penalties are not in it. Exact
    to rounding, by one pass up and one back in complex numbers for every product. What is linear
    by pieces (ReLU, max pooling) has the Hessian of the piece it is in. The network is copied, and
    stays as it is. Rows and columns of frozen layers are 0.

    Where a layer is not analytic (its forward or backward takes an absolute value, say) products
    are by central differences of the gradient, of a relative error of about 1e-7, and a warning
    says so. The layers and costs of this package all are; with some of your own one product is
    compared with central differences first.

    Parameters
    ----------
    network : Network
        With a cost.
    x, y : ndarray
        As `Network.forward` and `Network.backward` take them.
    sample_weight : ndarray, optional
        As in `Network.backward`; C is then the weighted mean.

    Attributes
    ----------
    shape : (P, P)
    exact : bool
        Whether products are by the complex step.

    Raises
    ------
    TypeError, ShapeError, ValueError
        If x and y are not data for the network.
    """

    def __init__(self, network: Network, x: Any, y: Any, *, sample_weight: Any = None) -> None:
        check_network("Hessian", network)
        network.need_cost()
        check_minibatch(network, x, y)
        self.weights: Any = None
        if sample_weight is not None:
            like = outputs_like(network, x)
            self.weights = network.need_cost().normalized(sample_weight, like, y)
        self.shape = (network.n_parameters, network.n_parameters)
        self.y = each_array(lambda one: one if one.dtype.kind in "iu" else one.astype(float), y)
        self.twin = ComplexTwin(network, x)
        self._rewind = rewinder(self.twin.real.layers)
        reason = self.twin.reason or self._why_not()
        self.exact = not reason
        if reason:
            warnings.warn(
                f"Hessian: {reason}; products are by central differences of the gradient",
                stacklevel=stacklevel(),
            )

    @underflow_is_0
    def __matmul__(self, v: Any) -> np.ndarray:
        """Return H v in float64, for v of shape (P,), or P x K.

        Raises
        ------
        ShapeError
            If v has another shape.
        """
        v = direction("Hessian", v, self.shape[0]).astype(np.float64)
        return by_columns(self._exactly if self.exact else self._by_differences, v)

    def matrix(self) -> np.ndarray:
        """Return H, P x P, by P products: for small networks."""
        return self @ np.eye(self.shape[0])

    def diagonal(self) -> np.ndarray:
        """Return the diagonal of H, (P,), by P products, one at a time."""
        n = self.shape[0]
        return np.array([(self @ np.eye(1, n, i)[0])[i] for i in range(n)])

    def _exactly(self, v: np.ndarray) -> np.ndarray:
        return self.twin.gradient_derivative(v, self.y, self.weights)

    def _by_differences(self, v: np.ndarray) -> np.ndarray:
        v = v * self.twin.learnt
        largest = np.abs(v).max(initial=0)
        if largest == 0:
            return np.zeros_like(v)
        step = np.cbrt(np.finfo(float).eps) / largest
        return (self._gradient(step * v) - self._gradient(-step * v)) / (2 * step)

    def _gradient(self, away: np.ndarray) -> np.ndarray:
        network = self.twin.real
        before = network.theta.copy()
        self._rewind()
        network.theta[...] = before + away
        network.root.run(self.twin.x, KEEPING)
        network.go_back(*network.bp1(self.y, self.weights), input_gradient=False)
        network.theta[...] = before
        return network.nabla * self.twin.learnt

    def _why_not(self) -> str:
        """Return why products by the complex step cannot be believed, "" if they can."""
        twin, v = self.twin, self.twin.random(1)
        try:
            found = self._exactly(v)
        except Exception as error:
            return " ".join(f"{twin.culprits()} {error}".split())
        if twin.foreign:  # which may lose an imaginary part, or some of it, without a word
            expected = self._by_differences(v)
            if not np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected):
                return twin.suspects
        return ""

    def __repr__(self) -> str:
        how = "complex step" if self.exact else "central differences"
        return f"<Hessian, {self.shape[0]} x {self.shape[1]}, by {how}>"


def _foreign_parts(network: Network) -> list[Any]:
    """Return the layers, activations and costs that are not this package's own."""
    layers = [layer for _, layer in network.walk()]
    parts = [*layers, *(layer.own_activation for layer in layers), network.cost]
    found = {id(part): part for part in parts if part is not None and not _is_own(part)}
    return list(found.values())


def _is_own(part: Any) -> bool:
    return type(part).__module__.split(".")[0] == __name__.split(".")[0]


def hessian_vector_product(
    network: Network, x: Any, y: Any, v: Any, *, sample_weight: Any = None
) -> np.ndarray:
    """Return H v, H the Hessian of C by theta, for v of shape (P,) or P x K: in float64.

    As ``Hessian(network, x, y, sample_weight=sample_weight) @ v``, which see; take that one for
    many products.
    """
    return Hessian(network, x, y, sample_weight=sample_weight) @ v
