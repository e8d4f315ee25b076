"""KFAC: natural gradient descent with the Fisher matrix's blocks as Kronecker products."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.layers.passes import place_in
from backprop.network import Network
from backprop.optimizers import Optimizer
from backprop.research.arguments import check_network
from backprop.research.curvature.densities import densities_of
from backprop.research.curvature.kronecker import KroneckerFactors, kronecker_factors
from backprop.research.curvature.matrices import MonteCarloFisher

Part = slice | tuple[slice, float]


class KFAC(Optimizer):
    """Natural gradient descent, theta <- theta - eta F^-1 grad C, F by Kronecker factors.

    ::

        A, G   <- averages of the factors of every layer (see `KroneckerFactors`)
        d      =  (G + sqrt(damping) / pi)^-1  nabla  (A + pi sqrt(damping))^-1,
                      pi^2 = (tr A / (n_in + 1)) / (tr G / n_out)
        v      <- mu v - eta min(1, sqrt(trust / (eta^2 d . nabla))) d
        theta  <- theta + v

    nabla and d are here the layer's, n_out x (n_in + 1) with the bias as a last column. Layers of
    other kinds, and those that stand in several places, go by the diagonal: d = nabla / (f +
    damping), f the average of the diagonal of F. The `trust` keeps eta^2 d . F d, which is about
    twice the change of the outputs' density as KL divergence measures it, from being larger than
    that.

    The Fisher matrix is that of the model's own targets, one of which is drawn for every example of
    the minibatch: a pass up and one back on a copy of the network, besides those of training. The
    cost must be the logarithm of a density, as for `Fisher`, or a sum of such costs of several
    outputs. Weights that a `Trainer` gives to examples are in nabla, and not in F.

    A `Trainer` tells it the network; without one say ``kfac.attach(network)``.

    Parameters
    ----------
    eta : float
        The learning rate, at least 0.
    mu : float
        The momentum coefficient, in [0, 1).
    damping : float
        Positive. The smaller, the larger are the steps where F says that C is flat. A penalty
        (lambda/2) ||w||^2 adds its lambda.
    decay : float
        In [0, 1): what the averages keep of themselves, at most; of the first k minibatches they
        are the mean.
    trust : float
        Positive, infinity for none.
    every : int
        Steps from one look at the factors to the next, at which they are inverted.
    seed : int
        Of the targets that are drawn; those of a step depend on this and on `t` alone.

    Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature", arXiv 1503.05671, 2015, for the factors, their averages and damping; Ba, Grosse and
    Martens, "Distributed Second-Order Optimization using Kronecker-Factored Approximations", 2017,
    for the trust.
    """

    accumulator_names = ("v", "diagonal")

    _network: Network | None = None
    _inverses: dict[str, tuple[KroneckerFactors, np.ndarray, np.ndarray]]
    _inverted: Any = None  # the accumulators that these are of

    def __init__(
        self,
        eta: float,
        mu: float = 0.9,
        damping: float = 1e-2,
        decay: float = 0.95,
        trust: float = 1e-2,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(eta)
        self.mu = self._check_number("mu", mu, "[0, 1)")
        self.damping = self._check_number("damping", damping, "(0, inf)")
        self.decay = self._check_number("decay", decay, "[0, 1)")
        self.trust = trust if trust == math.inf else self._check_number("trust", trust, "(0, inf)")
        self.every = check_integer("KFAC: every", every)
        self.seed = check_integer("KFAC: seed", seed, 0)
        self._inverses = {}

    def attach(self, network: Network) -> None:
        """Take the network whose layers the factors are of.

        Raises
        ------
        TypeError
            If its cost is no logarithm of a density that is known.
        """
        check_network("KFAC", network)
        densities_of(network.need_cost(), "KFAC")
        self._network = network

    def update(
        self, eta: float, s: np.ndarray, theta: np.ndarray, nabla: np.ndarray, *more: np.ndarray
    ) -> None:
        (v,) = more  # nabla is d here
        v *= self.mu
        v -= eta * nabla
        theta += v

    def advance(
        self,
        theta: np.ndarray,
        nabla: np.ndarray,
        weights: Sequence[Part] | None = None,
        groups: Sequence[tuple[slice, float]] | None = None,
    ) -> None:
        """Take a step; the layers must still hold the minibatch that nabla is of."""
        self._check(theta, nabla)
        network = self._attached(theta)
        self._prepare(theta, nabla)
        if self.t % self.every == 0:
            self._look_at_factors(network)
        if self._inverted is not self.accumulators:
            self._invert(network)
        d = self._preconditioned(nabla)
        self.t += 1
        eta, v = self.eta, self.accumulators["v"]
        length = eta**2 * float(d @ nabla)
        if length > self.trust:
            eta *= math.sqrt(self.trust / length)
        self._update_groups(eta, groups, (theta, d, v))

    def _attached(self, theta: np.ndarray) -> Network:
        network = self._network
        if network is None:
            raise RuntimeError(
                "KFAC goes by the layers: give it to a Trainer, or say kfac.attach(network) first"
            )
        if place_in(theta, network.theta) != slice(0, network.n_parameters):
            raise ValueError(f"KFAC: theta must be that of the network attached, {network}")
        if network.root.a_prev is None:
            raise RuntimeError(
                "KFAC: the network has not gone forward: call forward(x, training=True) and "
                "backward(y) before the step"
            )
        return network

    def _look_at_factors(self, network: Network) -> None:
        """Let the averages take in the factors of the minibatch that the layers hold."""
        rng = np.random.default_rng([self.seed, self.t])
        fisher = MonteCarloFisher(network, network.root.a_prev, rng=rng)
        diagonal = np.zeros_like(network.theta)
        found = kronecker_factors(fisher.passes, fisher.gradients(), diagonal)
        new = {"diagonal": diagonal / diagonal.dtype.type(fisher.n_examples)}
        for name, factors in found.items():
            new[f"{name}.input"], new[f"{name}.output"] = factors.input, factors.output
        looks = self.t // self.every
        kept = min(looks / (looks + 1), self.decay)
        for name, array in new.items():
            if name in self.accumulators:
                array = kept * self.accumulators[name] + (1 - kept) * array
            self.accumulators[name] = array.astype(network.dtype)
        self._inverted = None

    def _invert(self, network: Network) -> None:
        self._inverses = {}
        for name, layer in network.walk():
            if f"{name}.input" in self.accumulators:
                w, b = (place_in(layer.parameters[p].reshape(-1), network.theta) for p in "wb")
                a, g = self.accumulators[f"{name}.input"], self.accumulators[f"{name}.output"]
                if w is not None and b is not None:
                    factors = KroneckerFactors(w, b, a, g)
                    self._inverses[name] = factors, *factors.damped_inverses(self.damping)
        self._inverted = self.accumulators

    def _preconditioned(self, nabla: np.ndarray) -> np.ndarray:
        d = nabla / (self.accumulators["diagonal"] + nabla.dtype.type(self.damping))
        for factors, a, g in self._inverses.values():
            factors.scatter(g @ factors.gathered(nabla) @ a, d)
        return d  # type: ignore[no-any-return]

    def set_state(self, state: Mapping[str, np.ndarray], theta: np.ndarray) -> None:
        """Copy in what `state` returned: the next step for `theta` goes on bit for bit.

        Raises
        ------
        ValueError
            If it is not the state of a `KFAC` for such a theta. Nothing is changed then.
        """
        of_layers = {name: np.array(state[name]) for name in state if name.endswith(OF_LAYERS)}
        others = {name: array for name, array in state.items() if name not in of_layers}
        for name, array in of_layers.items():
            square = array.ndim == 3 and array.shape[1] == array.shape[2]
            other = name.replace(*(OF_LAYERS if name.endswith(OF_LAYERS[0]) else OF_LAYERS[::-1]))
            if not square or array.dtype != theta.dtype or other not in of_layers:
                raise ValueError(f"KFAC: the state has no two factors of layers in {name}")
        super().set_state(others, theta)
        self.accumulators |= of_layers

    def __getstate__(self) -> dict[str, Any]:
        alone: dict[str, Any] = {"_network": None, "_inverses": {}, "_inverted": None}
        return {**super().__getstate__(), **alone}


OF_LAYERS = (".input", ".output")
