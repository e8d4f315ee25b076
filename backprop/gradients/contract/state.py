"""What a pass keeps, how long, and for whom."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from backprop.gradients.contract.trial import (
    CLOSE,
    Trial,
    back,
    back_from,
    close_to,
    delta_of_last_pass,
    difference,
    equal,
    need,
    run,
    state_of,
)
from backprop.gradients.rewinding import rewinder
from backprop.layers.base import Layer
from backprop.layers.mode import INFERENCE, KEEPING, TRAINING


def parameters_untouched(trial: Trial) -> None:
    """No pass changes a parameter."""
    layer, x, u = trial.fresh(), trial.x.copy(), trial.u.copy()
    before = copy.deepcopy(layer.parameters)
    for what, passed in (
        ("forward(training=False)", lambda: layer.forward(x)),
        ("forward(training=True)", lambda: layer.forward(x, training=True)),
        ("backward", lambda: layer.backward(u)),
        ("forward(keep=True)", lambda: layer.forward(x, keep=True)),
        ("backward", lambda: layer.backward(u)),
    ):
        passed()
        for name, array in layer.parameters.items():
            need(equal(array, before[name]), f"{what} changes {name}")


def keeps_state(trial: Trial) -> None:
    """A training forward keeps a_prev, z and a; delta stays until the next such pass."""
    layer = trial.fresh()
    a = layer.forward(trial.x, training=True)
    for name, array in (("a_prev", trial.x), ("a", a)):
        kept = getattr(layer, name)
        need(kept is not None, f"{name} is None")
        need(equal(kept, array), f"{name} is not what it was")
    sigma = layer.output_activation
    if sigma is not None:
        need(layer.z is not None, "z is None")
        right = close_to(sigma.sigma(layer.z), a, CLOSE * np.abs(a).max(initial=0))
        if not trial.random and layer.independent_examples:  # else inference has another z
            z, _ = trial.fresh().z_and_a(trial.x, TRAINING)
            right = right and close_to(z, layer.z, CLOSE * np.abs(z).max(initial=0))
        need(right, "a is not sigma(z), or z is not weighted_input(a_prev)", "a = sigma(z)")
    layer.backward(trial.u)
    delta = None if layer.delta is None else layer.delta.copy()
    layer.forward(trial.others()[0])
    after = layer.delta
    stays = after is delta if after is None or delta is None else equal(after, delta)
    need(stays, "delta is another one after inference", "inference keeps nothing: that")
    layer.forward(trial.x, training=True)
    what = "delta is still there after another forward pass, to which it does not belong"
    need(layer.delta is None, what, "delta is that of the last backward: that")


def nothing_to_go_back_from(trial: Trial) -> None:
    """Without a whole forward pass that kept state, backward is a RuntimeError."""

    def refuses(layer: Layer, after: str) -> None:
        for name in ("backward", "backward_from"):
            try:
                getattr(layer, name)(trial.u)
            except RuntimeError:
                continue
            except Exception as error:
                need(False, f"{name} {after} gives {type(error).__name__}: {error}")
            need(False, f"{name} {after} goes back all the same")

    layer = trial.fresh()
    refuses(layer, "before any forward pass")
    layer.forward(trial.x)
    refuses(layer, "after inference alone")
    layer.forward(trial.x, training=True)
    layer.backward(trial.u)
    layer.__dict__["output"] = _fails
    try:
        layer.forward(trial.others()[1], training=True)
    except _HalfWay:
        pass
    else:
        need(False, "forward does without `output`", "forward(x) returns output(x): that")
    del layer.__dict__["output"]
    refuses(layer, "after a forward pass that failed half-way")
    moved = trial.fresh()
    moved.forward(trial.x, training=True)
    refuses(moved.astype(np.float64), "of a copy by `astype`, which has seen no pass,")


class _HalfWay(Exception):
    pass


def _fails(*arguments: Any) -> None:
    raise _HalfWay


def inference(trial: Trial) -> None:
    """Inference keeps nothing, changes nothing, and computes what training does."""
    layer = trial.fresh()
    for trained in (False, True):
        if trained:
            layer.forward(trial.x, training=True)
        before = _everything(layer)
        layer.forward(trial.others()[0])
        after = _everything(layer)
        changed = [k for k in {**before, **after} if before.get(k) != after.get(k)]
        need(not changed, f"it changes {', '.join(changed)}")
    first = layer.forward(trial.x).copy()
    need(equal(layer.forward(trial.x), first), "the same input gives another output")
    if not trial.random and layer.independent_examples:
        training = {"output": layer.forward(trial.x, training=True)}
        what = "in inference than in training (which rng or independent_examples has to tell)"
        trial.same({"output": first}, training, what)


def _everything(layer: Layer) -> dict[str, Any]:
    """Return what the layer holds, and what its own classes hold for all of their layers."""
    found = dict(state_of(layer))
    for kind in type(layer).__mro__:
        if kind is Layer:
            break
        for name, value in vars(kind).items():
            if isinstance(value, (np.ndarray, list, dict, set)):
                found[f"{kind.__name__}.{name}"] = state_of(value)
    return found


def latest_forward(trial: Trial) -> None:
    """Backward goes by the last forward pass that kept state, and by what x held then."""
    more, other = trial.others()
    for earlier in ([other], [more, other]):
        layer = trial.fresh()
        rewind = rewinder([layer])
        for x in earlier:
            layer.forward(x, training=True)
            layer.backward(trial.upstream(x))
        layer.forward(other, keep=True)
        rewind()
        layer.forward(trial.x, training=True)
        layer.forward(other)
        found = {**trial.result, **back(layer, trial.u)}
        trial.same(found, trial.result, "after other forward passes")
    layer = trial.fresh()
    rewind = rewinder([layer])
    run(layer, trial.x, trial.u)
    twin = trial.fresh()
    for one in (layer, twin):
        one.theta *= 0.75
    rewind()
    found, wanted = (run(one, trial.x, trial.u) for one in (layer, twin))
    trial.same(found, wanted, "when the parameters have changed since the pass before")
    layer, array = trial.fresh(), other.copy()
    rewind = rewinder([layer])
    for training in (False, True):
        layer.run(array, TRAINING if training else INFERENCE)
    array[...] = trial.x
    found = {"output": layer.run(array, INFERENCE)}
    expected = {"output": layer.forward(trial.x)}
    trial.same(found, expected, "when one array is filled anew")
    rewind()
    found = {"output": layer.run(array, TRAINING).copy(), **back(layer, trial.u, inside=True)}
    trial.same(found, trial.result, "when one array is filled anew")


def overwriting(trial: Trial) -> None:
    """Backward overwrites the gradients, and never adds to them."""
    layer = trial.fresh()
    layer.nabla[...] = 1e3
    found = run(layer, trial.x, trial.u)
    trial.same(found, trial.result, "when there were gradients before")
    layer.backward(5 * trial.u)
    again = {**found, **back(layer, trial.u)}
    trial.same(again, trial.result, "when backward is repeated")


def results_kept(trial: Trial) -> None:
    """Arrays handed out are never overwritten by a later call."""
    layer, (more, other) = trial.fresh(), trial.others()
    handed_out: dict[str, Any] = {}
    copies: dict[str, Any] = {}

    def hands_out(found: dict[str, Any]) -> None:
        for name, array in found.items():
            if isinstance(array, np.ndarray):
                handed_out[name], copies[name] = array, array.copy()

    def stays(when: str) -> None:
        for name, array in handed_out.items():
            need(equal(array, copies[name]), f"{name} is overwritten by {when}")

    x, u = trial.x.copy(), trial.u.copy()
    hands_out({"the output of inference": layer.run(x, INFERENCE)})
    hands_out({"the output": layer.run(x, TRAINING), "z": layer.z})
    hands_out({"the downstream gradient": layer.go_back(u), "delta": layer.delta})
    stays("the way back")
    layer.run(other, INFERENCE)
    stays("inference")
    layer.run(other, TRAINING)
    stays("the next pass")
    layer.go_back(-2 * trial.u)
    stays("the next pass")
    hands_out({"the output of keep=True": layer.run(x, KEEPING)})
    layer.run(other, KEEPING)
    stays("keep=True")
    layer.run(more, TRAINING)
    layer.go_back(trial.upstream(more))
    stays("the next pass")
    need(equal(x, trial.x) and equal(u, trial.u), "an argument of before is overwritten")


def no_input_gradient(trial: Trial) -> None:
    """`input_gradient=False` spares the downstream gradient, and nothing else."""
    layer = trial.fresh()
    run(layer, trial.x, trial.u)
    layer.nabla[...] = 0
    returned = layer.backward(trial.u, input_gradient=False)
    need(returned is None, "it returns the downstream gradient all the same")
    found = {**trial.result, **layer.gradients}
    trial.same(found, trial.result, "without the input gradient")


def from_delta(trial: Trial) -> None:
    """`backward_from`, entered below sigma, keeps delta and gives what `backward` gave."""
    layer = trial.fresh()
    run(layer, trial.x, trial.u)
    delta = delta_of_last_pass(layer, trial.u)
    layer.nabla[...] = 0
    found = {**trial.result, **back_from(layer, delta)}
    trial.same(found, trial.result, "when it starts from delta")
    if layer.z is not None:
        need(equal(layer.delta, delta), "backward_from does not keep the delta it was given")
    layer.nabla[...] = 0
    returned = layer.backward_from(delta, input_gradient=False)
    need(returned is None, "without the input gradient it returns one all the same")
    found = {**trial.result, **layer.gradients}
    trial.same(found, trial.result, "when it starts from delta, without the input gradient")


def delta_hook(trial: Trial) -> None:
    """What a "delta" hook makes of delta is what BP2, BP3 and BP4 go by."""
    layer = trial.fresh()
    run(layer, trial.x, trial.u)
    expected = back_from(layer, -2 * delta_of_last_pass(layer, trial.u))

    def change(layer: Layer) -> None:
        layer.delta *= -2

    with layer.add_hook("delta", change):
        found = back(layer, trial.u)
    trial.same(found, expected, "when a hook multiplies delta by -2", times=3)


def hooks(trial: Trial) -> None:
    """Hooks are called once, after the output and after the gradients; in inference none is."""
    layer = trial.fresh()
    rewind = rewinder([layer])
    seen: list[Any] = []

    def halve(layer: Layer) -> None:
        need(layer.a is not None, 'a "forward" hook finds no a')
        seen.append(layer.a.copy())
        layer.a = layer.a / 2

    with layer.add_hook("forward", halve):
        layer.forward(trial.x)
        need(not seen, "inference calls them", "inference calls no hooks: that")
        layer.forward(trial.x, keep=True)
        need(len(seen) == 1, f'keep=True calls a "forward" hook {len(seen)} times, not once')
        rewind()
        a = layer.forward(trial.x, training=True)
        need(len(seen) == 2, f'training calls a "forward" hook {len(seen) - 1} times, not once')
        trial.same({"output": seen[1]}, {"output": trial.result["output"]}, "for the hook")
        need(equal(a, seen[1] / 2), "forward does not return what the hook has left in a")
    rewind()
    layer.forward(trial.x, training=True)
    calls: list[Any] = []
    with layer.add_hook("backward", lambda layer: calls.append(copy.deepcopy(layer.gradients))):
        found = back(layer, trial.u)
    need(len(calls) == 1, f'backward calls a "backward" hook {len(calls)} times, not once')
    for name, array in calls[0].items():
        what = 'a "backward" hook is called before it is there' + difference(array, found[name])
        need(equal(array, found[name]), what, f"dC/d{name}")
