"""Credit rules: by what the error of the output comes to the layers below, in the place of BP2.

BP2 sends w^T delta down. A rule sends something else down in its place; all else stays: BP1,
sigma', BP3 and BP4, layers without weights, the optimizer.

>>> network = Network([Dense(784, 1000), Dense(1000, 10)], "cross_entropy",
...                   credit="feedback_alignment")
>>> network.credit = SignSymmetry("fixed", rng=3)
>>> network.credit = None  # the chain rule

In the equations B stands for an array of w's shape, fan_out for how many numbers of delta w^T delta
adds up (n_out of `Dense`, channels_out K K of a convolution), and N(0, v) for normal numbers of
variance v. Layers below which nothing learns, as the first, need no B, and keep w.
"""

from __future__ import annotations

import copy
import hashlib
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from backprop.core import config as configs
from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable, made_of
from backprop.core.randomness import generator
from backprop.layers.base import Seed
from backprop.layers.hooks import Feedback
from backprop.research.credit_in_c import SignTwin, WeightTwin
from backprop.research.senders import Sender, fan_out, senders

Arrays = dict[str, np.ndarray]


class CreditRule(Configurable, ABC):
    """Base of the credit rules: what a network sends errors down by.

    A rule belongs to one network, whose `credit` it is, and holds all arrays that it goes by. They
    are saved, copied and put into checkpoints with the network.

    Parameters
    ----------
    scale : float
        By which the size of the arrays is multiplied. With 1, sums of delta keep their size on the
        way down: the arrays' mean square is 1 / fan_out, as the rule says.
    rng : numpy.random.Generator, int or None
        Where its arrays are drawn from, or its seed; None: a stream that follows from the network's
        parameters, so that a seeded network has a seeded rule.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By the layer's name and that of its parameter: ``rule.arrays["1.w"]``.
    exact : bool
        Whether it goes back by the chain rule.
    """

    exact: ClassVar[bool] = False
    draws: ClassVar[bool] = False  # in every pass back
    twin: Any = None  # how it is written in C

    def __init__(self, scale: float = 1.0, rng: Seed = None) -> None:
        self.scale = check_number(f"{type(self).__name__}: scale", scale, "(0, inf)")
        self.seed = rng
        self.rng: np.random.Generator | None = None
        self.arrays: Arrays = {}
        self.sizes: dict[str, float] = {}
        self._network: Any = None
        self.start: Any = None
        self.targets: Any = None
        self.due = False

    # -- what a rule's author writes ---------------------------------------------------------

    @abstractmethod
    def prepare(self, network: Any, layers: list[Sender], rng: np.random.Generator) -> Arrays:
        """Return the arrays to go by, freshly drawn; raise if it cannot go through a layer."""

    def seen(self, layer: Any, weight: str, array: np.ndarray) -> np.ndarray:
        """Return what a layer sees in the place of a weight on the way back, of the rule's array.

        Only the weights of which there is an array are seen as another.
        """
        return array

    def downstream(self, layer: Any, delta: Any, sent: Sent) -> Any:
        """Return what goes down from a layer, in the place of w^T delta."""
        with layer.seen_with(**sent.weights(layer)):
            return layer.downstream(delta)

    def advance(self, network: Any) -> None:
        """Change the arrays, as the rule does in every pass back before they are used."""

    # -- what a network calls ----------------------------------------------------------------

    def redraw(self, network: Any) -> None:
        """Draw the arrays for a network, from the beginning."""
        rng = self._stream(network)
        self.arrays, self.rng = self.prepare(network, senders(network), rng), rng

    def size_of(self, layer: Any, weight: str) -> float:
        """Return scale / sqrt(fan_out)."""
        return self.scale / math.sqrt(fan_out(layer, weight))

    def _stream(self, network: Any) -> np.random.Generator:
        if self.seed is not None:
            return generator(type(self).__name__, self.seed)
        return np.random.default_rng(list(hashlib.sha256(network.theta.tobytes()).digest()))

    def join(self, network: Any) -> None:
        """Let the layers of a network send errors down by the rule."""
        self._network = weakref.ref(network)
        if self.exact:
            return
        for sender in senders(network):
            if sender.counts:
                sender.layer.feedback = Sent(self, sender)

    @property
    def network(self) -> Any:
        """The network whose rule it is, or None."""
        return None if self._network is None else self._network()

    def begin(self, network: Any, start: Any, targets: Any) -> None:
        """Note where a pass back starts, and with which (y, weights), None if with none."""
        self.start, self.targets, self.due = start, targets, True

    def catch_up(self) -> None:
        """Let the arrays be those of this pass back, when the first layer asks for them.

        A look that leaves hooks and rules out (`backprop.layers.looks`) asks for none.
        """
        if self.due:
            self.due = False
            self.advance(self.network)

    def state(self) -> Arrays:
        """Return copies of the arrays."""
        return {name: array.copy() for name, array in self.arrays.items()}

    def checked_state(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Return copies of what `state` returned, or raise a ValueError if it does not fit."""
        for name in arrays.keys() ^ self.arrays.keys():
            raise ValueError(f"{self}: the state and the network do not both have {name}")
        for name, array in self.arrays.items():
            found = arrays[name]
            if (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"{self}: {name} is {array.shape} of {array.dtype}, got {found.shape} of "
                    f"{found.dtype}"
                )
        return {name: array.copy() for name, array in arrays.items()}

    def take_state(self, arrays: Arrays) -> None:
        """Take over what `checked_state` returned."""
        for name, array in arrays.items():
            self.arrays[name][...] = array

    def astype(self, dtype: Any) -> None:
        """Let the arrays be of another dtype."""
        self.arrays = {name: array.astype(dtype) for name, array in self.arrays.items()}

    @property
    def rngs(self) -> list[Any]:
        """What it draws from in training."""
        return [self.rng] if self.draws else []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None, "start": None, "targets": None}


class Sent(Feedback):
    """The way back through one layer, by a rule.

    Attributes
    ----------
    rule : CreditRule
    name : str
        Under which the rule has arrays for the layer: ``"1"``, and ``"1.w"`` for its w.
    goes_down : bool
        Whether something learns below.
    """

    def __init__(self, rule: CreditRule, sender: Sender) -> None:
        self.rule, self.name, self.twin = rule, sender.name, twin_of(rule)
        self.goes_down = sender.something_learns_below
        keys = ((weight, f"{sender.name}.{weight}") for weight in sender.weights)
        self.keys = {weight: key for weight, key in keys if key in rule.arrays}

    def __repr__(self) -> str:
        return repr(self.rule)

    def weights(self, layer: Any) -> Arrays:
        """Return what the layer sees in the place of its weights."""
        rule = self.rule
        rule.catch_up()
        return {
            weight: rule.seen(layer, weight, rule.arrays[key]) for weight, key in self.keys.items()
        }

    def delta_of(self, layer: Any, nabla_a: Any) -> Any:
        with layer.seen_with(**self.weights(layer)):
            return layer.delta_of(nabla_a)

    def downstream(self, layer: Any, delta: Any) -> Any:
        if not self.goes_down:
            return layer.downstream(delta)
        return self.rule.downstream(layer, delta, self)


def twin_of(rule: CreditRule) -> Any:
    """Return how a rule is written in C: what its own class says, if nothing was replaced."""
    replaced = any(callable(getattr(type(rule), name, None)) for name in vars(rule))
    return None if replaced else vars(type(rule)).get("twin")


def rule_for(network: Any, credit: Any) -> CreditRule:
    """Return the rule, or that of this name, with its arrays drawn for the network.

    Raises
    ------
    TypeError, ValueError
        If it is none, or cannot go through the network; nothing has changed then.
    """
    rule: CreditRule = made_of(CreditRule, credit, "network", "credit")
    if rule.network not in (None, network):
        rule = copy.copy(rule)
    rule.redraw(network)
    return rule


def from_config(config: dict[str, Any], classes: Any = None) -> CreditRule:
    """Return the rule that a `config` described, which draws from a stream of its own."""
    rule: CreditRule = configs.from_config(config, classes)
    return rule


class Backpropagation(CreditRule):
    """The chain rule, BP2: w^T delta. The rule that does nothing, to the bit."""

    exact = True

    def __init__(self) -> None:
        super().__init__()

    def prepare(self, network: Any, layers: list[Sender], rng: np.random.Generator) -> Arrays:
        return {}


class WeightRule(CreditRule):
    """Base of the rules by which a layer sends down B^T delta, with B in the place of w.

    B stands in the place of w wherever BP2 has it: in a convolution it is the kernel, in a
    recurrent layer w and w_h are each replaced, so that the error goes back through time by B too.
    """

    def prepare(self, network: Any, layers: list[Sender], rng: np.random.Generator) -> Arrays:
        found: Arrays = {}
        for sender in layers:
            for weight in sender.weights * sender.counts:
                key = f"{sender.name}.{weight}"
                if key not in found:
                    self.sizes[key] = self.size_of(sender.layer, weight)
                    found[key] = self.drawn(getattr(sender.layer, weight), self.sizes[key], rng)
        return found

    @abstractmethod
    def drawn(self, w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        """Return the array for w, of this size: scale / sqrt(fan_out)."""


def normal(w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return normal numbers of this size, as an array like w."""
    return (size * rng.standard_normal(w.shape)).astype(w.dtype)


class FeedbackAlignment(WeightRule):
    """Feedback alignment: fixed random B in the place of w, B^T delta.

    B ~ N(0, scale^2 / fan_out), drawn once. For the ten outputs of a digit that is a standard
    deviation of 0.32; the paper's uniform numbers from -0.5 to 0.5 have 0.29.

    Source: Lillicrap, Cownden, Tweed and Akerman, "Random synaptic feedback weights support error
    backpropagation for deep learning", Nature Communications 7, 2016.
    """

    twin = WeightTwin()

    def drawn(self, w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        return normal(w, size, rng)


class SignSymmetry(WeightRule):
    """Sign symmetry: B has the signs that w has now, and other magnitudes.

    ===============  ==========================================================================
    ``"uniform"``    B = m sign(w), m = scale / sqrt(fan_out)
    ``"batchwise"``  B = M sign(w), M = |N(0, scale^2 / fan_out)|, drawn anew for every pass back
    ``"fixed"``      the same with M drawn once
    ===============  ==========================================================================

    All three have the mean square scale^2 / fan_out. Source: Liao, Leibo and Poggio, "How
    Important Is Weight Symmetry in Backpropagation?", AAAI 2016 (uSF, brSF, frSF), who also left
    out the size of the gradient; Moskovitz, Litwin-Kumar and Abbott, "Feedback alignment in deep
    convolutional networks", arXiv 1812.06488, 2018.

    Parameters
    ----------
    magnitudes : {"uniform", "batchwise", "fixed"}
    scale, rng
        See `CreditRule`.
    """

    twin = SignTwin()

    def __init__(self, magnitudes: str = "uniform", scale: float = 1.0, rng: Seed = None) -> None:
        super().__init__(scale, rng)
        if magnitudes not in ("uniform", "batchwise", "fixed"):
            raise ValueError(
                "SignSymmetry: magnitudes must be 'uniform', 'batchwise' or 'fixed', got "
                f"{magnitudes!r}"
            )
        self.magnitudes = magnitudes
        self.draws = magnitudes == "batchwise"  # type: ignore[misc]

    def drawn(self, w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        if self.magnitudes == "uniform":
            return np.full_like(w, size)
        return np.abs(normal(w, size, rng))

    def advance(self, network: Any) -> None:
        if not self.draws:
            return
        assert self.rng is not None
        for key, array in self.arrays.items():
            array[...] = np.abs(self.sizes[key] * self.rng.standard_normal(array.shape))

    def seen(self, layer: Any, weight: str, array: np.ndarray) -> np.ndarray:
        return array * np.sign(getattr(layer, weight).real)


class KolenPollack(WeightRule):
    """Kolen and Pollack: B learns as w does, and both decay, so that they become one.

    B begins as N(0, scale^2 / fan_out), and is given every step that w is; as both decay alike,
    the difference between them does::

        w <- (1 - decay) w + step,   B <- (1 - decay) B + step
        B - w <- (1 - decay) (B - w)

    What is kept is the difference, which is multiplied by (1 - decay) before every pass back. So it
    is theirs to the letter where the optimizer decays w by as much, as `SGD` with
    weight_decay = decay / eta, and goes with any other as well.

    Source: Kolen and Pollack, "Backpropagation without weight transport", ICNN 1994; Akrout,
    Wilson, Humphreys, Lillicrap and Tweed, "Deep Learning without Weight Transport", NeurIPS 2019.

    Parameters
    ----------
    decay : float
        In a minibatch.
    scale, rng
        See `CreditRule`.
    """

    def __init__(self, decay: float = 1e-3, scale: float = 1.0, rng: Seed = None) -> None:
        super().__init__(scale, rng)
        self.decay = check_number("KolenPollack: decay", decay, "[0, 1)")

    def drawn(self, w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        return normal(w, size, rng) - w

    def advance(self, network: Any) -> None:
        for array in self.arrays.values():
            array *= 1 - self.decay

    def seen(self, layer: Any, weight: str, array: np.ndarray) -> np.ndarray:
        return getattr(layer, weight) + array


class WeightMirror(WeightRule):
    """Weight mirrors: B learns w from what the layer answers to noise.

    Before every pass back each layer is given `samples` columns x of noise N(0, 1), and B takes on
    the correlation of its answers with them, of which the mean is w::

        B <- (1 - rate) B + rate (w x) x^T / samples

    The kernel of a convolution is given patches of noise. B begins as N(0, scale^2 / fan_out).

    Source: Akrout, Wilson, Humphreys, Lillicrap and Tweed, "Deep Learning without Weight
    Transport", NeurIPS 2019, in which phases of mirroring and of learning take turns.

    Parameters
    ----------
    rate : float
    samples : int
    scale, rng
        See `CreditRule`.
    """

    draws = True

    def __init__(
        self, rate: float = 0.01, samples: int = 64, scale: float = 1.0, rng: Seed = None
    ) -> None:
        super().__init__(scale, rng)
        self.rate = check_number("WeightMirror: rate", rate, "(0, 1]")
        self.samples = check_integer("WeightMirror: samples", samples)

    def drawn(self, w: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        return normal(w, size, rng)

    def advance(self, network: Any) -> None:
        assert self.rng is not None
        layers = dict(network.walk())
        for key, array in self.arrays.items():
            layer, _, weight = key.rpartition(".")
            w = getattr(layers[layer], weight).reshape(len(array), -1)
            noise = self.rng.standard_normal((w.shape[1], self.samples)).astype(w.dtype)
            array *= 1 - self.rate
            array += (self.rate / self.samples) * ((w @ noise) @ noise.T).reshape(array.shape)
