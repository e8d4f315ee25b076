"""Whether a network learns, layer by layer: gradients that fade or grow, units that are stuck."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.core.callers import stacklevel
from backprop.core.checks import check_array, check_integer, check_number
from backprop.core.extremes import norm
from backprop.core.shapes import count_examples
from backprop.graph.graph import Graph
from backprop.layers.activations import ReLU, Sigmoid, Tanh
from backprop.layers.base import Layer
from backprop.layers.chain import walk_order
from backprop.layers.flat import parts_of
from backprop.training.callback import Callback
from backprop.training.history import History

if TYPE_CHECKING:
    from backprop.training.trainer import Trainer

FLAT = 0.01  # of the largest slope: where a sigmoid or tanh counts as saturated
STEEPEST: dict[type, float] = {Sigmoid: 0.25, Tanh: 1.0}  # the largest slope, sigma'(0)

WORDS = {
    "vanishing": "its gradient delta is {} times smaller than the last layer's, so that it hardly "
    "learns: gradients vanish; try other initial weights (glorot_normal, or he_normal for ReLU), "
    "ReLU in the place of sigmoids, or fewer layers",
    "no gradient": "its gradient delta is 0, and the last layer's is not: it cannot learn",
    "exploding": "its gradient delta is {} times larger than the last layer's: gradients explode; "
    "try a smaller eta, or smaller initial weights, such as he_normal or nielsen",
    "dead": "{:.0%} of its ReLUs were 0 for each of the last {examples:,} examples looked at: "
    "units die; try a smaller eta or he_normal",
    "saturated": "{:.0%} of its activations are where the curve is flat (a slope below {flat:.0%} "
    "of the largest): units saturate; try smaller initial weights, such as nielsen or "
    "glorot_normal, or a smaller eta",
    "large update": "a step changes its weights by {:.2g} of their size, where about 0.001 is "
    "usual: updates are too large; try a smaller eta",
    "small update": "a step changes its weights by {:.2g} of their size, where about 0.001 is "
    "usual: updates are too small; try a larger eta",
}


class GradientHealthWarning(UserWarning):
    """A warning of `GradientHealth`: a layer does not learn as it should.

    ``warnings.simplefilter("error", GradientHealthWarning)`` lets it end the training.
    """


class GradientHealth(Callback):
    """Record how every layer learns, and warn in plain words where one does not.

    >>> health = GradientHealth()
    >>> Trainer(network, callbacks=[health]).fit(x, y, epochs=3)
    >>> plots.gradient_norms(health), plots.unit_health(health), health.messages

    Of the first step and of every so many after it, `history` gets a record: ``step``, as the
    optimizer counts it, and of every layer, l being its index, or "2.0" for the first layer inside
    layer 2 (a container has no record of its own, it has nothing beside the layers inside it),

    ``delta_<l>``
        How large the book's delta of one example is: the root of the mean over the minibatch of
        ||B delta[..., j]||^2, which is sqrt(B) ||delta||. It does not depend on the size of the
        minibatch, nor on penalty and clipping, which act on dC/dw alone.
    ``nabla_w_<l>``
        ||dC/dw|| as the optimizer was given it: with the gradient of the penalty, clipped.
    ``update_ratio_<l>``
        ||Delta w|| / ||w||, of the step that the optimizer really took.
    ``dead_<l>``
        The fraction of ReLU units (neurons, or whole feature maps, or neurons at all time steps)
        that were 0 for each of the last `examples` examples looked at; not known, and absent,
        before so many were.
    ``saturated_<l>``
        The fraction of a layer's sigmoid or tanh activations, over units and minibatch, whose
        slope sigma'(z) is below 1% of the largest: a sigmoid below 0.0025 or above 0.9975, a tanh
        beyond 0.995. Not of the output layer, whose values are meant to go there, nor of the gates
        of `LSTM` and `GRU`, which are meant to open and close.

    A sequence is one example: its delta is that of all time steps together (the layer's own
    `delta` has them one by one). What a layer has not (a dropout has no delta, a layer without
    weights no dC/dw), its records have not. All examples that are looked at are those of the
    recorded minibatches.

    A warning is given once per layer and kind. It rests on the last `window` records, on their
    median where nothing else is said, so that no single minibatch alarms; it is looked for after
    every `window` records, and at the end of the training in what there is.

    With the defaults it takes some 3% of the time of training 784-30-10 at batch size 10, and 1%
    of 784-512-512-10 at 128; a copy of theta is its memory.

    Parameters
    ----------
    every : int
        Steps from one record to the next; 1 for short runs on the whole of the data at once.
    window : int
        Records that a judgement rests on.
    examples : int
        For how many examples a ReLU must have been silent to be called dead. Units that look for
        something rare are silent often; one that fires for one example in a hundred is taken for
        dead once in 150 times.
    vanishing : float
        Warn where delta is so many times smaller than that of the last layer. In the net with
        which the book shows the vanishing gradient, of four hidden layers (chapter 5), the first
        has one that is 300 to 500 times smaller than that of the output; with three it is some 70
        times, and learns well.
    exploding : float
        Warn where delta is so many times larger than that of the last layer. Less is allowed
        than of `vanishing`: a layer that learns too slowly is wasted, one that learns too fast
        undoes the others.
    dead : float
        Warn where more than this fraction of a layer's ReLUs is dead. A dead unit has no gradient
        and so hardly ever comes back; with a large eta it may be 40% of a net (CS231n), and a few
        per cent are no harm.
    saturated : float
        Warn where more than this fraction of activations is saturated in the first `window`
        records: then the initial weights are too large, or eta is, and little gradient comes
        through (the book, chapter 3, "Weight initialization"). Later it is often what the network
        has learnt: in the book's 784-30-10, at 97% of the training digits, it is more than half.
    large_update, small_update : float
        Warn where ||Delta w|| / ||w|| is larger or smaller. It should be somewhere around 1e-3
        (CS231n, "Ratio of weights:updates"); these are two orders of magnitude away. Too large
        counts after the first `window` records, for weights that start small grow by large steps.
        Too small counts within them, if all the updates are and nothing else is wrong: later they
        may be so by design, when eta has been lowered or nothing is left to learn.

    Attributes
    ----------
    history : History
        The records, with `to_csv` and `to_json`.
    layers : dict of str to str
        The layers in the records, such as ``{"0": "Dense(784 -> 30, sigmoid)"}``; those inside a
        container have names such as "2.0".
    messages : list of str
        The warnings given.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its range; from `Trainer.fit`, if the records are already those of
        another network.

    Source: the book, chapter 5; CS231n, "Neural Networks Part 1" and "Part 3".
    """

    def __init__(
        self,
        every: int = 20,
        window: int = 10,
        examples: int = 500,
        vanishing: float = 200.0,
        exploding: float = 100.0,
        dead: float = 0.25,
        saturated: float = 0.4,
        large_update: float = 0.1,
        small_update: float = 1e-5,
    ) -> None:
        self.every = check_integer("GradientHealth: every", every)
        self.window = check_integer("GradientHealth: window", window)
        self.examples = check_integer("GradientHealth: examples", examples)
        self.vanishing = check_number("GradientHealth: vanishing", vanishing, "[1, inf]")
        self.exploding = check_number("GradientHealth: exploding", exploding, "[1, inf]")
        self.dead = check_number("GradientHealth: dead", dead, "[0, 1]")
        self.saturated = check_number("GradientHealth: saturated", saturated, "[0, 1]")
        self.large_update = check_number("GradientHealth: large_update", large_update, "(0, inf]")
        self.small_update = check_number("GradientHealth: small_update", small_update, "[0, inf)")
        self.history = History()
        self.layers: dict[str, str] = {}
        self.messages: list[str] = []
        self._told: set[tuple[str, str]] = set()
        self._network: Any = None
        # Of every layer its name, weights, and part of `_before`.
        self._parts: list[tuple[str, Layer, list[slice], np.ndarray]] = []
        self._silent: dict[str, np.ndarray] = {}  # for how many examples each ReLU has been
        self._seen = 0  # examples looked at

    # -- events ------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer) -> None:
        network = trainer.network
        if self._network not in (None, network):
            raise ValueError("GradientHealth: holds the records of another network: make a new one")
        if len(self.history) and trainer.optimizer.t < self.history["step"][-1]:
            raise ValueError("GradientHealth: holds the records of another run: make a new one")
        if self._network is None:
            self._network = network
            self._before = np.empty_like(network.theta)
            layers = [pair for pair in network.walk() if not pair[1].children]
            parts = parts_of([layer for _, layer in layers])
            for (name, layer), part in zip(layers, parts, strict=True):
                weights = [where for where, _ in layer.weight_parts()]
                self._parts.append((name, layer, weights, self._before[part]))
        self._prepare(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        if self._due:
            self._record(trainer)
            if len(self.history) % self.window == 0:
                self._judge()
        self._prepare(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if len(self.history):
            self._judge()

    def state(self) -> dict[str, Any]:
        """Return the records, and what is known of the units so far."""
        if not len(self.history):
            return {}
        return {
            "history": self.history.state(),
            "layers": dict(self.layers),
            "messages": list(self.messages),
            "told": sorted(map(list, self._told)),
            "seen": self._seen,
            **{f"silent/{index}": silent for index, silent in self._silent.items()},
        }

    def set_state(self, state: dict[str, Any], trainer: Any) -> None:
        """Take over what `state` returned; see `Callback`."""
        history = History.from_state(state["history"]) if state else History()
        history.check()
        told = {(str(kind), str(index)) for kind, index in state.get("told", ())}
        seen = check_integer("GradientHealth: seen", state.get("seen", 0), 0)
        silent = {}
        for name, array in state.items():
            if name.startswith("silent/"):
                check_array("GradientHealth", name, array, None, "real")
                silent[name.removeprefix("silent/")] = array
        self.layers = {str(k): str(v) for k, v in dict(state.get("layers", {})).items()}
        self.messages = [str(message) for message in state.get("messages", ())]
        self.history, self._told, self._seen, self._silent = history, told, seen, silent
        self._network, self._parts = None, []

    # -- records -----------------------------------------------------------------------------

    def _prepare(self, trainer: Trainer) -> None:
        """Keep theta as it is before the next step, if that is to be recorded."""
        self._due = trainer.optimizer.t % self.every == 0
        if self._due:
            np.copyto(self._before, trainer.network.theta)

    def _record(self, trainer: Trainer) -> None:
        network = trainer.network
        record: dict[str, Any] = {"step": trainer.optimizer.t}
        batch = count_examples(network.root.a)
        outputs = list(output_layers(network.root))
        self._seen += batch
        for name, layer, weights, before in self._parts:
            if layer.a is None:  # a container of the user's own may leave a layer out
                continue
            found = self._units(name, layer, batch, any(layer is output for output in outputs))
            if layer.delta is not None:
                found["delta"] = math.sqrt(batch) * _norm(layer.delta)
            if weights:
                found["nabla_w"] = _norm(layer.nabla, weights)
                size = _norm(before, weights)
                np.subtract(layer.theta, before, out=before)
                if size:  # weights that start at 0 have no ratio
                    found["update_ratio"] = _norm(before, weights) / size
            if found and name not in self.layers:
                self.layers[name] = repr(layer)
            for quantity, value in found.items():
                record[f"{quantity}_{name}"] = value
        self.history.append(record)

    def _units(self, index: str, layer: Layer, batch: int, is_output: bool) -> dict[str, float]:
        """Return the fraction of units that are dead or saturated, where there may be some."""
        sigma: Any = layer.own_activation
        a, kind = layer.a, type(sigma)
        if kind is ReLU:
            silent = self._silent.get(index, 0) + batch
            silent = np.where(a.reshape(len(a), -1).max(axis=1) > 0, 0, silent)
            self._silent[index] = silent
            if self._seen >= self.examples:
                return {"dead": float((silent >= self.examples).mean())}
        elif kind in STEEPEST and not is_output:
            flat = sigma.prime(layer.z, a) < FLAT * STEEPEST[kind]
            return {"saturated": float(flat.mean())}
        return {}

    # -- judgement ---------------------------------------------------------------------------

    def _judge(self) -> None:
        """Warn of what is new, and name the line that called `fit`."""
        records = self.history.records[-self.window :]
        found = [(index, *fault) for index in self.layers for fault in self._faults(index, records)]
        healthy_but_slow = not self.messages and {kind for _, kind, _ in found} == {"small update"}
        for index, kind, value in found:
            if (kind, index) in self._told or (kind == "small update" and not healthy_but_slow):
                continue
            self._told.add((kind, index))
            words = WORDS[kind].format(value, examples=self.examples, flat=FLAT)
            step = records[-1]["step"]
            self.messages.append(f"layer {index}, {self.layers[index]}, step {step}: {words}")
            warnings.warn(self.messages[-1], GradientHealthWarning, stacklevel=stacklevel())

    def _faults(self, index: str, records: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Yield what is wrong with a layer: the kind, and the figure that shows it."""

        def values(quantity: str) -> list[float]:
            name = f"{quantity}_{index}"
            return [record[name] for record in records if name in record]

        at_start = len(self.history) <= self.window
        shrunk = _median(list(self._shrunk(index, records)))
        if shrunk == math.inf:
            yield "no gradient", None
        elif shrunk > self.vanishing:
            yield "vanishing", _round(shrunk)
        elif 0 < shrunk < 1 / self.exploding:
            yield "exploding", _round(1 / shrunk)
        dead = values("dead")
        if dead and dead[-1] > self.dead:
            yield "dead", dead[-1]
        saturated = _median(values("saturated"))
        if at_start and saturated > self.saturated:
            yield "saturated", saturated
        updates = values("update_ratio")
        if not at_start and _median(updates) > self.large_update:
            yield "large update", _median(updates)
        elif at_start and updates and max(updates) < self.small_update:
            yield "small update", _median(updates)

    def _shrunk(self, index: str, records: list[dict[str, Any]]) -> Iterator[float]:
        """Yield how many times smaller than that of the last layer the layer's delta was."""
        with_delta = (i for i in self.layers if f"delta_{i}" in records[-1])
        last = max(with_delta, key=walk_order, default=index)
        for record in records:
            delta, reference = record.get(f"delta_{index}"), record.get(f"delta_{last}")
            if delta is not None and reference:
                yield reference / delta if delta else math.inf


def output_layers(layer: Layer) -> Iterator[Layer]:
    """Yield the layers whose activations the output is: of a chain that of its last one."""
    if layer.output_activation is None or not layer.children:
        yield layer
    elif isinstance(layer, Graph):
        for inner in layer.output_layers:
            yield from output_layers(inner)
    else:
        yield from output_layers(layer.children[-1])


def _norm(x: np.ndarray, parts: Sequence[slice] = (slice(None),)) -> float:
    """Return the root of the sum of squares over `parts` of x, also where x**2 has no place."""
    total = 0.0
    for part in parts:
        flat = x[part].ravel(order="K")
        with np.errstate(over="ignore", under="ignore"):
            square = float(np.dot(flat, flat))
        ordinary = 1e-30 < square < 1e30  # else the dtype may have lost it
        total = math.hypot(total, math.sqrt(square) if ordinary else norm(flat))
    return total


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else math.nan


def _round(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"
