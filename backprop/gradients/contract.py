"""The tests that a hand-written layer must pass, whoever wrote it.

`check_layer` tries a layer on random numbers: whether its gradients are the derivatives of its
forward pass, and whether it keeps the contract of `backprop.layers.base.Layer`, on which networks
and trainers count. The first property that does not hold is named, with the equation or the rule
that is broken; the properties come in such an order that it is the cause, not a consequence.

Sources: the estimator checks of scikit-learn, for the idea of one suite that every implementation
of a contract must pass; <J u, v> = <u, J^T v> is the dot-product test of geophysical inversion,
Claerbout, *Earth Soundings Analysis*, 1992.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer
from backprop.core.config import from_config
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import Shape, ShapeError, is_several
from backprop.gradients.check import check_gradients
from backprop.gradients.problems import another_input, rewinder
from backprop.layers.base import Layer, Seed
from backprop.layers.mode import TRAINING
from backprop.layers.places import described_places, restore_places


class ConformanceError(AssertionError):
    """A property that a layer does not have.

    Attributes
    ----------
    layer : str
    property : str
        Its name, one of `PROPERTIES`.
    equation : str
        The equation or rule that fails.
    """

    def __init__(self, layer: Layer, name: str, equation: str, what: str) -> None:
        self.layer, self.property, self.equation = _name(layer), name, equation
        super().__init__(f"{self.layer}: {name}: {equation} fails: {what}")


@underflow_is_0
def check_layer(
    layer: Layer,
    input_shape: Shape | None = None,
    *,
    x: np.ndarray | None = None,
    batch: int = 3,
    rng: Seed = 0,
    elements: int | None = None,
) -> tuple[str, ...]:
    """Raise unless `layer` computes its gradients rightly and keeps the contract of a layer.

    The properties, in the order they are tried; those that hold are returned:

    =====================  ===================================================================
    description            every constructor argument is kept in an attribute of its name
    output shape           `output_shape` says what `forward` returns, the batch last
    both passes            run, and give every gradient in the shape of its array: BP2, BP3, BP4
    finite                 the output and the gradients are finite numbers
    parameters untouched   neither pass changes a parameter
    dtype                  float32 and float64 come out as they went in, everywhere
    arguments              the input and the upstream gradient are only read
    state                  a training forward keeps a_prev and a, and z if there is one
    inference              keeps nothing, changes nothing, and computes the same
    latest forward         backward goes by the last training forward alone
    overwriting            backward overwrites the gradients, and never adds to them
    results kept           what was handed out is not overwritten by later calls
    no input gradient      ``input_gradient=False`` spares the downstream gradient, nothing else
    shapes                 an upstream gradient of another shape is refused, never broadcast
    linearity              backward is linear in the upstream gradient
    delta                  delta = nabla_a * sigma'(z): BP1 and BP2, down to z
    from delta             `backward_from`, entered below sigma, gives what `backward` gave
    delta hook             what a "delta" hook makes of delta is what BP2, BP3 and BP4 go by
    gradients              w^T delta, the sum of delta, delta a^T: BP2, BP3, BP4, against central
                           differences and the complex step
    kept inference         ``forward(x, keep=True)`` computes what inference computes, moves no
                           running statistic, draws nothing, and `backward` then gives its
                           gradients, against central differences and the complex step
    frozen                 with ``trainable = False`` there is no dC/db and dC/dw, and the same
                           downstream gradient
    adjointness            <J u, v> = <u, J^T v>, for all elements at once, unless at a kink
    precision              float32 gives what float64 gives, to 1e-4
    memory layout          an input in Fortran order, or a strided view, gives the same
    independent examples   the gradient of the batch is the sum over its examples
    permutation            the examples in another order give the same in that order
    save and load          after training forwards, too, it predicts the same bits when it is made
                           again from `config` and `state`
    copies                 a deep copy and a pickle compute the same, and are independent
    =====================  ===================================================================

    "inference" compares with training only, and "permutation" is tried at all only, where no
    random numbers are drawn; where they are, "precision" tries inference alone. "independent
    examples" is tried only where the class says so (`Layer.independent_examples`, True unless it
    says otherwise). "delta" needs an `output_activation`, "frozen" parameters.

    Parameters
    ----------
    layer : Layer
        Copies of it are tried, in float32 and float64, with parameters near its own (a weight of
        0 or 1 hides many a fault); itself it is left as it is.
    input_shape : tuple of int, optional
        Without the batch; needed where the layer takes several.
    x : ndarray, input shape x B, optional
        An input, if the layer does not take every number; finite, in float32 too. Default: drawn
        from N(0, 1).
    batch : int
        B, for drawing x; at least 2 for what has to do with several examples.
    rng : numpy.random.Generator, int or None
        Where numbers are drawn from.
    elements : int, optional
        For "gradients", check at most so many elements of every array.

    Returns
    -------
    tuple of str
        The properties, all of which hold.

    Raises
    ------
    ConformanceError
        An AssertionError that names the layer, the property, and the equation or rule.
    TypeError, ValueError
        For arguments that are of no use, or an input that the layer does not take.
    """
    trial = _Trial(layer, input_shape, x, batch, np.random.default_rng(rng), elements)
    held = []
    for name, (rule, test) in PROPERTIES.items():
        try:
            with np.errstate(all="ignore"):  # what is not finite is told by "finite"
                applies = test(trial)
        except _Failure as failure:
            what, equation = failure.args
            raise ConformanceError(layer, name, equation or rule, what) from None
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ConformanceError(layer, name, rule, what) from error
        if applies is not False:
            held.append(name)
    return tuple(held)


class _Failure(Exception):
    """What is wrong, and the equation that fails if it is known better than the property's."""

    def __init__(self, what: str, equation: str = "") -> None:
        super().__init__(what, equation)


class _Trial:
    """A layer, an input and an upstream gradient in float64, and copies of the layer to try."""

    def __init__(
        self,
        layer: Layer,
        input_shape: Shape | None,
        x: np.ndarray | None,
        batch: int,
        rng: np.random.Generator,
        elements: int | None,
    ) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"check_layer: the layer must be an instance of Layer, got {layer!r}")
        if elements is not None:
            check_integer("check_layer: elements", elements)
        self.drawn = x is None
        if x is None and layer.integer_input:
            raise TypeError(f"check_layer: {_name(layer)} takes integers: give x")
        if x is None:
            shape = layer.input_shape if input_shape is None else _check_shape(input_shape)
            if shape is None:
                raise TypeError(
                    f"check_layer: {_name(layer)} takes several shapes: give input_shape"
                )
            _check_one_array(layer, shape)
            x = rng.standard_normal((*shape, check_integer("check_layer: batch", batch)))
        if layer.integer_input:
            layer.check_input(x)
        else:
            _check_x(x)
            _check_one_array(layer, layer.output_shape(x.shape[:-1]))
        self.layer, self.rng, self.elements = layer, rng, elements
        self.x = self.cast(x, np.float64)
        self.random = any(part.rng is not None for _, part in layer.walk())
        self.theta = _unlike(layer.theta.astype(np.float64), rng)

    @property
    def batch(self) -> int:
        return self.x.shape[-1]

    @functools.cached_property
    def u(self) -> np.ndarray:
        """The upstream gradient."""
        return self.rng.standard_normal(self.fresh().forward(self.x.copy(), training=True).shape)

    def fresh(self, dtype: Any = np.float64) -> Any:
        """Return a copy that has seen no forward pass, and draws what `layer` would draw next."""
        twin = self.layer.astype(dtype)
        twin.theta[...] = self.theta
        return twin

    def both(self) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Return a fresh layer, x and u in float32 and in float64."""
        return [(self.fresh(t), self.cast(self.x, t), self.u.astype(t)) for t in ("f4", "f8")]

    def cast(self, x: np.ndarray, dtype: Any) -> np.ndarray:
        """Return an input in another dtype, unless the layer takes integers."""
        return x.copy() if self.layer.integer_input else x.astype(dtype)

    def others(self) -> list[np.ndarray]:
        """Return two inputs that are not x, the first with an example more."""
        other = another_input(self.x)
        return [np.concatenate([other, self.x[..., :1]], axis=-1), other]


def _check_shape(shape: Any) -> Shape:
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"check_layer: input_shape must be a tuple of integers, got {shape!r}")
    return tuple(check_integer("check_layer: every size in input_shape", n) for n in shape)


def _check_x(x: np.ndarray) -> None:
    check_array("check_layer", "input x", x, None)
    if x.dtype.kind != "f":
        raise TypeError(f"check_layer: the input x must be real, got {x.dtype}")
    if x.ndim < 2 or not x.size:
        raise ShapeError(f"check_layer: the input x must be features x batch, got shape {x.shape}")
    with np.errstate(over="ignore"):
        wrong = _not_finite(x.astype(np.float32))
    if wrong:
        raise ValueError(f"check_layer: the input x must be finite in float32, it is {wrong}")


def _unlike(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return parameters near `theta` of the same signs: a weight of 0 or 1 hides its faults."""
    near = theta * rng.uniform(0.75, 1.25, theta.shape)
    return np.where(theta == 0, 0.1 * rng.standard_normal(theta.shape), near)


def _name(layer: Layer) -> str:
    kind = type(layer).__name__
    try:
        text = repr(layer)
    except Exception:  # a constructor argument is not kept, or cannot be compared
        return kind
    return text if text.startswith(kind) else f"{kind}, {text}"


def _run(layer: Layer, x: np.ndarray, u: np.ndarray) -> dict[str, np.ndarray]:
    """Return copies of what both passes give: the output and every gradient, by their names."""
    a = layer.forward(x, training=True).copy()
    return {"output": a, **_back(layer, u)}


def _back(layer: Layer, u: np.ndarray) -> dict[str, np.ndarray]:
    return _gradients_of(layer, layer.backward(u))


def _back_from(layer: Layer, delta: np.ndarray) -> dict[str, np.ndarray]:
    return _gradients_of(layer, layer.backward_from(delta))


def _gradients_of(layer: Layer, downstream: np.ndarray | None) -> dict[str, np.ndarray]:
    gradients = copy.deepcopy(layer.gradients)
    if layer.integer_input:
        _need(downstream is None, "there is a gradient by integers", "BP2, dC/da_prev,")
        return gradients
    if downstream is None:
        raise _Failure("backward returns None", "BP2, dC/da_prev,")
    return {"input": downstream.copy(), **gradients}


def _equation(layer: Layer, name: str) -> str:
    """Name the equation that gives an array of `_run`."""
    if name == "output":
        return "a = f(a_prev)"
    if name == "input":
        return "BP2, dC/da_prev,"
    *path, last = name.split(".")
    for index in path:
        layer = layer.children[int(index)]
    number = "BP4" if getattr(type(layer), last).regularized else "BP3"
    return f"{number}, dC/d{name},"


def _need(held: bool, what: str, equation: str = "") -> None:
    if not held:
        raise _Failure(what, equation)


def _not_finite(array: np.ndarray) -> str:
    """Say what is not finite in the array, and where; nothing if all of it is."""
    wrong = np.argwhere(~np.isfinite(array))
    return f"{array[tuple(wrong[0])]} at [{', '.join(map(str, wrong[0]))}]" if len(wrong) else ""


def _same(
    layer: Layer, found: dict, expected: dict, when: str, rounding: float | None = None
) -> None:
    """Raise unless two results of `_run` are equal, or almost if `rounding` is given."""
    for name, right in expected.items():
        _need(
            _close(found[name], right, rounding or 0.0),
            f"it is another one {when}" + _difference(found[name], right),
            _equation(layer, name),
        )


def _close(a: np.ndarray, b: np.ndarray, rounding: float) -> bool:
    """Whether the arrays are the same, but for a share of the largest element."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    limit = rounding * max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return bool((np.abs(a - b) <= limit).all())


def _difference(found: np.ndarray, right: np.ndarray) -> str:
    if found.shape != right.shape or found.dtype != right.dtype:
        return f": {found.dtype} of shape {found.shape}, not {right.dtype} of {right.shape}"
    index = np.unravel_index(int(np.argmax(np.abs(found - right))), found.shape)
    place = ", ".join(map(str, index))
    return f": {found[index]:.8g} at [{place}], not {right[index]:.8g}"


def _state(value: Any) -> Any:
    """Return what can be compared: everything an object holds, arrays bit by bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Layer):
        return {
            name: _state(v) for name, v in vars(value).items() if name not in ("_owner", "_lost")
        }
    if isinstance(value, dict):
        return {key: _state(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_state(v) for v in value]
    return repr(value)


# -- the properties --------------------------------------------------------------------------

ROUNDING = 1e-10
PROPERTIES: dict[str, tuple[str, Callable[[_Trial], Any]]] = {}
"""The rule and the test of every property, by name, in the order they are tried."""


def _property(name: str, rule: str) -> Callable[[Callable], Callable]:
    def add(test: Callable[[_Trial], Any]) -> Callable[[_Trial], Any]:
        PROPERTIES[name] = rule, test
        return test

    return add


@_property("description", "config says how to make the layer again: it")
def _description(trial: _Trial) -> None:
    for dtype in (np.float32, np.float64):
        layer = trial.fresh(dtype)
        own = hasattr(layer, "from_description")  # its config is no list of arguments
        arguments = () if own else inspect.signature(type(layer)).parameters
        for name in arguments:
            array = name != "rng" and isinstance(getattr(layer, name), np.ndarray)
            _need(not array, f"{name} is an array, not a number, a string or a tuple of them")
        repr(layer)
        config, twin = layer.config(), _made_again(layer)
        _need(type(twin) is type(layer), f"it comes back as {type(twin).__name__}")
        _need(twin.config() == layer.config(), f"from {config} comes {twin.config()}")
        _need(twin.dtype == layer.dtype, f"{layer.dtype} comes back as {twin.dtype}")
        sizes = twin.n_parameters, layer.n_parameters
        _need(sizes[0] == sizes[1], "it comes back with {} parameters, not {}".format(*sizes))


def _check_one_array(layer: Layer, shape: Any) -> None:
    if is_several(shape):
        raise TypeError(
            f"check_layer: {_name(layer)} takes or gives several arrays, which only "
            "check_gradients tries"
        )


def _made_again(layer: Layer) -> Layer:
    """Return the layer that its description says, its parameters freshly drawn."""
    written = json.dumps({"layer": layer.config(), **described_places(layer)})
    config = json.loads(written)
    return restore_places(from_config(config["layer"]), config)


@_property("output shape", "forward(x).shape = output_shape + (B,)")
def _output_shape(trial: _Trial) -> None:
    *features, batch = trial.x.shape
    layer = trial.fresh()
    shapes = [trial.x.shape, (*features, 1), (*features, batch + 1)]
    for axis, n in enumerate(features):  # sizes that broadcast, or do not fit
        shapes += [(*features[:axis], m, *features[axis + 1 :], batch) for m in (1, n + 1)]
    for shape in shapes:
        try:
            said = layer.output_shape(shape[:-1])
        except ShapeError:
            _need(shape[:-1] != tuple(features), f"it refuses {shape[:-1]}")
            continue
        got = layer.forward(np.resize(trial.x, shape), training=True).shape
        expected = (*said, shape[-1])
        _need(got == expected, f"for an input {shape} it says {expected}, forward gives {got}")


@_property("both passes", "forward and backward run, one after the other: that")
def _both_passes(trial: _Trial) -> None:
    layer = trial.fresh()
    layer.forward(trial.x.copy(), training=True)
    _need(layer.a is not None, "a is None", "forward(x, training=True) keeps a: that")
    try:
        downstream = _back(layer, trial.u.copy()).get("input")
    except ShapeError as error:
        for name in layer.parameters:
            _need(f": nabla_{name} " not in str(error), str(error), _equation(layer, name))
        raise
    if downstream is None:
        return
    what = f"backward returns shape {downstream.shape} for an input {trial.x.shape}"
    _need(downstream.shape == trial.x.shape, what, _equation(layer, "input"))


@_property("finite", "finite numbers give finite numbers: that")
def _finite(trial: _Trial) -> None:
    layer = trial.fresh()
    for name, array in _run(layer, trial.x.copy(), trial.u.copy()).items():
        what, advice = f"the gradient by {name}", ""
        if name == "output":
            what, advice = "the output", "; give x, if the layer does not take every number"
        wrong = _not_finite(array)
        _need(not wrong, f"{what} is {wrong}{advice * trial.drawn}", _equation(layer, name))


@_property("parameters untouched", "only an optimizer changes the parameters: that")
def _parameters_untouched(trial: _Trial) -> None:
    layer, x, u = trial.fresh(), trial.x.copy(), trial.u.copy()
    before = copy.deepcopy(layer.parameters)
    for what, run in (
        ("forward(training=False)", lambda: layer.forward(x)),
        ("forward(training=True)", lambda: layer.forward(x, training=True)),
        ("backward", lambda: layer.backward(u)),
    ):
        run()
        for name, array in layer.parameters.items():
            _need(_close(array, before[name], 0), f"{what} changes {name}")


@_property("dtype", "float32 stays float32, and float64 float64,")
def _dtype(trial: _Trial) -> None:
    for layer, x, u in trial.both():
        found = {"inference": layer.forward(x), **_run(layer, x, u)}
        found |= {"z": layer.z, "delta": layer.delta}
        for name, array in found.items():
            if array is not None:
                _need(array.dtype == u.dtype, f"{name} is {array.dtype} where x is {u.dtype}")


@_property("arguments", "forward and backward only read their arguments: that")
def _arguments(trial: _Trial) -> None:
    layer, x, u = trial.fresh(), trial.x.copy(), trial.u.copy()
    for training in (False, True):
        layer.forward(x, training)
        _need(_close(x, trial.x, 0), f"forward(training={training}) changes the input")
    layer.backward(u)
    _need(_close(x, trial.x, 0), "backward changes the input")
    _need(_close(u, trial.u, 0), "backward changes the upstream gradient")


@_property("state", "a training forward keeps a_prev, z and a: it")
def _keeps_state(trial: _Trial) -> None:
    layer = trial.fresh()
    a = layer.forward(trial.x, training=True)
    for name, array in (("a_prev", trial.x), ("a", a)):
        kept = getattr(layer, name)
        _need(kept is not None, f"{name} is None")
        _need(_close(kept, array, 0), f"{name} is not what it was")
    sigma = layer.output_activation
    if sigma is not None:
        _need(layer.z is not None, "z is None")
        right = _close(sigma.sigma(layer.z), a, 0)
        if not trial.random and layer.independent_examples:  # else inference has another z
            z, _ = trial.fresh().z_and_a(trial.x, TRAINING)
            right = right and _close(z, layer.z, ROUNDING)
        _need(right, "a is not sigma(z), or z is not weighted_input(a_prev)", "a = sigma(z)")


@_property("inference", "forward(x, training=False) keeps nothing, and")
def _inference(trial: _Trial) -> None:
    layer = trial.fresh()
    for trained in (False, True):
        if trained:
            layer.forward(trial.x, training=True)
        before = _state(layer)
        layer.forward(trial.others()[0])
        after = _state(layer)
        changed = [k for k in {**before, **after} if before.get(k) != after.get(k)]
        _need(not changed, f"it changes {', '.join(changed)}")
    if not trial.random and layer.independent_examples:
        a = layer.forward(trial.x)
        same = _close(a, layer.forward(trial.x, training=True), ROUNDING)
        what = "training computes something else (which rng or independent_examples has to tell)"
        _need(same, what, "a = f(a_prev)")


@_property("latest forward", "backward goes by the last training forward: that")
def _latest_forward(trial: _Trial) -> None:
    expected = _run(trial.fresh(), trial.x, trial.u)
    more, other = trial.others()
    for earlier in ([other], [more, other]):
        layer = trial.fresh()
        rewind = rewinder([layer])
        for x in earlier:
            layer.forward(x, training=True)
        rewind()
        layer.forward(trial.x, training=True)
        layer.forward(other)
        found = {**expected, **_back(layer, trial.u)}
        _same(layer, found, expected, "after other forward passes")


@_property("overwriting", "backward overwrites the gradients: that")
def _overwriting(trial: _Trial) -> None:
    expected = _run(trial.fresh(), trial.x, trial.u)
    layer = trial.fresh()
    layer.nabla[...] = 1e3
    found = _run(layer, trial.x, trial.u)
    _same(layer, found, expected, "when there were gradients before")
    layer.backward(5 * trial.u)
    _same(layer, {**found, **_back(layer, trial.u)}, expected, "when backward is repeated")


@_property("results kept", "what was handed out stays: that")
def _results_kept(trial: _Trial) -> None:
    layer, other = trial.fresh(), trial.others()[1]

    def both_passes(x: np.ndarray, u: np.ndarray) -> dict[str, Any]:
        found = {"the output of inference": layer.forward(x)}
        found["the output"] = layer.forward(x, training=True)
        found["the downstream gradient"] = layer.backward(u)
        return {**found, "z": layer.z, "delta": layer.delta}

    handed_out = both_passes(trial.x.copy(), trial.u.copy())
    copies = copy.deepcopy(handed_out)
    both_passes(other, -2 * trial.u)
    for name, array in handed_out.items():
        if array is not None:
            _need(_close(array, copies[name], 0), f"{name} is overwritten by the next pass")


@_property("no input gradient", "backward(u, input_gradient=False) only spares dC/da_prev: that")
def _no_input_gradient(trial: _Trial) -> None:
    layer = trial.fresh()
    expected = _run(layer, trial.x, trial.u)
    layer.nabla[...] = 0
    returned = layer.backward(trial.u, input_gradient=False)
    _need(returned is None, "it returns the downstream gradient all the same")
    found = {**expected, **layer.gradients}
    _same(layer, found, expected, "without the input gradient")


@_property("shapes", "nabla_a has the shape of a: that")
def _shapes(trial: _Trial) -> None:
    layer, u = trial.fresh(), trial.u
    layer.forward(trial.x, training=True)
    for wrong in (u[..., :1], u[:1], u[:1, ..., :1], u[None], u[..., 0], u.T, u.reshape(-1, 1)):
        if wrong.shape == u.shape:
            continue
        try:
            layer.backward(wrong)
        except ValueError:
            continue
        raise _Failure(f"a is {u.shape}, and an upstream gradient {wrong.shape} is taken")


@_property("linearity", "J^T (2u - 3v) = 2 J^T u - 3 J^T v")
def _linearity(trial: _Trial) -> None:
    layer, u = trial.fresh(), trial.u
    v = trial.rng.standard_normal(u.shape)
    layer.forward(trial.x, training=True)
    of_u, of_v, mixed = _back(layer, u), _back(layer, v), _back(layer, 2 * u - 3 * v)
    for name, array in mixed.items():
        expected = 2 * of_u[name] - 3 * of_v[name]
        _need(
            _close(array, expected, ROUNDING),
            f"backward is not linear in the upstream gradient, by {name}"
            + _difference(array, expected),
        )


@_property("delta", "BP1 and BP2, delta = nabla_a * sigma'(z),")
def _delta(trial: _Trial) -> bool:
    layer = trial.fresh()
    sigma = layer.output_activation
    if sigma is None:
        return False
    sigma = copy.deepcopy(sigma)  # which may be the layer itself
    _run(layer, trial.x, trial.u)
    _need(layer.delta is not None, "backward leaves delta None")
    delta = layer.delta.copy()

    def cost(z: np.ndarray) -> Any:
        return (trial.u * sigma.sigma(z)).sum()

    report = check_gradients(cost, layer.z, gradient=delta, elements=trial.elements)
    _need(report.verdict != "wrong", str(report))
    return True


@_property("from delta", "backward_from(delta) goes on as backward does: that")
def _from_delta(trial: _Trial) -> None:
    layer = trial.fresh()
    expected = _run(layer, trial.x, trial.u)
    delta = _delta_of_last_pass(layer, trial.u)
    layer.nabla[...] = 0
    found = {**expected, **_back_from(layer, delta)}
    _same(layer, found, expected, "when it starts from delta")


@_property("delta hook", 'BP2, BP3 and BP4 go by what a "delta" hook makes of delta: that')
def _delta_hook(trial: _Trial) -> None:
    layer = trial.fresh()
    _run(layer, trial.x, trial.u)
    expected = _back_from(layer, -2 * _delta_of_last_pass(layer, trial.u))

    def change(layer: Layer) -> None:
        layer.delta *= -2

    with layer.add_hook("delta", change):
        _same(layer, _back(layer, trial.u), expected, "when a hook multiplies delta by -2")


def _delta_of_last_pass(layer: Layer, u: np.ndarray) -> np.ndarray:
    """Return delta as `backward` left it; of a layer without a z the upstream gradient."""
    _need(layer.z is None or layer.delta is not None, "backward leaves delta None")
    return u.copy() if layer.delta is None else layer.delta.copy()


@_property("gradients", "BP2, BP3, BP4")
def _gradients(trial: _Trial) -> None:
    layer = trial.fresh()
    report = check_gradients(
        layer, trial.x, nabla_a=trial.u, rng=trial.rng, elements=trial.elements
    )
    for array in report.arrays:
        failed = array.wrong.any() or bool(array.reason)
        _need(not failed, str(report), _equation(layer, array.name))


@_property("kept inference", "forward(x, keep=True) is inference that can go back: that")
def _kept_inference(trial: _Trial) -> None:
    layer = trial.fresh()
    for x in trial.others():  # what training has moved is what inference goes by
        layer.forward(x, training=True)
    untrained = layer.astype(np.float64)  # of the same statistics, and no pass behind it
    statistics, generators = _moved(layer)
    expected = {"output": layer.forward(trial.x)}
    found = {"output": layer.forward(trial.x, keep=True)}
    _same(layer, found, expected, "than that of inference")
    _need(layer.a is not None, "it keeps no a")
    found |= _back(layer, trial.u)
    after = _moved(layer)
    _need(after[0] == statistics, "it moves what only training may: running statistics")
    _need(after[1] == generators, "it draws random numbers")
    untrained.forward(trial.x, keep=True)
    expected |= _back(untrained, trial.u)
    _same(layer, found, expected, "after a training forward")
    report = check_gradients(
        untrained, trial.x, nabla_a=trial.u, training=False, rng=trial.rng, elements=trial.elements
    )
    for array in report.arrays:
        failed = array.wrong.any() or bool(array.reason)
        _need(not failed, str(report), _equation(layer, array.name))


def _moved(layer: Layer) -> tuple[Any, Any]:
    """Return what training moves besides the parameters, and the states of all generators."""
    state = {name: array for name, array in layer.state().items() if name != "theta"}
    return _state(state), _state([part.rng for _, part in layer.walk()])


@_property("frozen", "a frozen layer has no dC/dw, and sends down the same: that")
def _frozen(trial: _Trial) -> bool:
    layer = trial.fresh()
    if not layer.n_parameters:
        return False
    layer.forward(trial.x, keep=True)  # in training it may then go by other statistics
    expected = _back(layer, trial.u)
    layer.trainable = False
    found = _back(layer, trial.u)
    for name, nabla in layer.gradients.items():
        _need(not nabla.any(), "it is filled all the same", _equation(layer, name))
    if "input" in expected:
        sent = {"input": expected["input"]}
        _same(layer, found, sent, "when it is frozen", ROUNDING)
    return True


@_property("adjointness", "<J u, v> = <u, J^T v>")
def _adjointness(trial: _Trial) -> None:
    layer = trial.fresh()
    gradients = _run(layer, trial.x, trial.u)
    gradients.pop("output")

    @functools.cache
    def twin_of(dtype: np.dtype) -> tuple[Any, Callable[[], None]]:
        twin = trial.fresh().astype(dtype)
        return twin, rewinder([twin])

    for name, nabla in gradients.items():
        direction = trial.rng.standard_normal(nabla.shape)

        def along(t: np.ndarray, name: str = name, direction: np.ndarray = direction) -> Any:
            """Return <a, u> when the array has gone t along the direction."""
            twin, rewind = twin_of(t.dtype)  # made here: a layer may refuse complex numbers
            rewind()
            twin.theta[...] = trial.theta
            x = trial.cast(trial.x, t.dtype)
            (x if name == "input" else twin.parameters[name])[...] += t * direction
            return (trial.u * twin.forward(x, training=True)).sum()

        product = np.array([(direction * nabla).sum()])
        # Of one number the rounding in its terms is not seen, and they may cancel: be less strict.
        report = check_gradients(along, np.zeros(1), gradient=product, tolerance=1e-6)
        one = report.arrays[0]
        _need(
            bool(one.kink[0]) or not one.wrong[0],  # of many elements some are at a corner
            f"by {name}, {one.describe(0)}",
            f"<J u, v> = <u, J^T v> ({_equation(layer, name).rstrip(',')})",
        )


@_property("precision", "float32 gives what float64 gives, to 1e-4: that")
def _precision(trial: _Trial) -> None:
    """Only what shows at two inputs is a fault: at one, numbers nearly equal may cancel."""
    near = trial.x
    if not trial.layer.integer_input:
        near = near * trial.rng.uniform(0.75, 1.25, near.shape)
    if _lost_in_float32(trial, near):
        for name, what in _lost_in_float32(trial, trial.x).items():
            raise _Failure(f"it is another one in float32{what}", _equation(trial.layer, name))


def _lost_in_float32(trial: _Trial, x: np.ndarray) -> dict[str, str]:
    """Return what is too far off in float32, by name, and how far.

    1e-4 of the array is 1000 roundings of float32, and less than the last digit of float16. Where
    terms cancel, the rounding is that of the terms: 1e-5 of what goes in is allowed for.
    """
    theta, u32 = trial.theta.astype(np.float32), trial.u.astype(np.float32)
    x32 = trial.cast(x, np.float32)
    results = []
    for dtype in (np.float32, np.float64):  # which starts from the same numbers
        layer = trial.fresh(dtype)
        layer.theta[...] = theta
        x, u = trial.cast(x32, dtype), u32.astype(dtype)
        results.append({"output": layer.forward(x)} if trial.random else _run(layer, x, u))
    single, double = results
    size = max(1.0, np.abs(x32).max(), np.abs(theta).max(initial=0))
    lost = {}
    for name, right in double.items():
        found = single[name].astype(np.float64)
        terms = size if name == "output" else size * np.abs(u32).max()
        limit = 1e-4 * np.abs(right).max() + 1e-5 * terms
        if not (np.abs(found - right) <= limit).all():
            lost[name] = _difference(found, right)
    return lost


@_property("memory layout", "where the numbers lie in memory does not matter: that")
def _memory_layout(trial: _Trial) -> None:
    expected = _run(trial.fresh(), trial.x, trial.u)
    layouts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "in Fortran order": np.asfortranarray,
        "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    }
    for layout, laid_out in layouts.items():
        found = _run(trial.fresh(), laid_out(trial.x), laid_out(trial.u))
        _same(trial.layer, found, expected, f"when the arrays are {layout}", ROUNDING)


@_property("independent examples", "the batch gradient is the sum over the examples: that")
def _independent_examples(trial: _Trial) -> bool:
    if not trial.layer.independent_examples:
        return False
    whole = _run(trial.fresh(), trial.x, trial.u)
    total = {name: np.zeros_like(array) for name, array in whole.items()}
    for j in range(trial.batch):
        if not trial.random:
            one = slice(j, j + 1)
            alone = _run(trial.fresh(), trial.x[..., one], trial.u[..., one])
            part = slice(None)
        else:  # the same random numbers for example j, and zeros upstream for the others
            x, u = trial.others()[1].copy(), np.zeros_like(trial.u)
            x[..., j], u[..., j] = trial.x[..., j], trial.u[..., j]
            alone = _run(trial.fresh(), x, u)
            part = slice(j, j + 1)
        for name, array in alone.items():
            if name in ("output", "input"):
                total[name][..., j : j + 1] = array[..., part]
            else:
                total[name] += array
    declare = "when every example goes alone (or else declare independent_examples = False)"
    _same(trial.layer, total, whole, declare, ROUNDING)
    return True


@_property("permutation", "the order of the examples does not matter: that")
def _permutation(trial: _Trial) -> bool:
    if trial.random:
        return False
    order = np.roll(np.arange(trial.batch), 1)
    expected = _run(trial.fresh(), trial.x, trial.u)
    for name in expected.keys() & {"output", "input"}:  # there is no gradient by integers
        expected[name] = expected[name][..., order]
    found = _run(trial.fresh(), trial.x[..., order], trial.u[..., order])
    _same(trial.layer, found, expected, "when the examples are in another order", ROUNDING)
    return True


@_property("save and load", "config and state are the whole layer: that")
def _save_and_load(trial: _Trial) -> None:
    for layer, x, u in trial.both():
        for seen in (*trial.others(), trial.x):  # what training leaves must not be lost
            layer.forward(trial.cast(seen, x.dtype), training=True)
        layer.backward(u)
        twin = _made_again(layer)
        twin.set_state(layer.state())
        a, expected = twin.forward(x), layer.forward(x)
        _need(_close(a, expected, 0), "it predicts something else" + _difference(a, expected))


@_property("copies", "a copy is a layer of its own: that")
def _copies(trial: _Trial) -> None:
    for duplicate in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        layer = trial.fresh()
        layer.forward(trial.x, training=True)
        expected, before = _back(layer, trial.u), layer.forward(trial.x)
        twin = duplicate(layer)
        found = _back(twin, trial.u)
        for name, array in expected.items():
            _need(_close(found[name], array, 0), f"the copy computes another gradient by {name}")
        for name, array in twin.parameters.items():
            _need(np.shares_memory(array, twin.theta), f"the copy's {name} is no view of theta")
        twin.theta += 1
        twin.nabla += 1
        twin.forward(trial.others()[0], training=True)
        _need(_close(layer.forward(trial.x), before, 0), "the copy's parameters are shared")
        for name, array in layer.gradients.items():
            _need(_close(array, expected[name], 0), "the copy's gradients are shared")
        found = _back(layer, trial.u)
        for name, array in expected.items():
            _need(_close(found[name], array, 0), f"the copy's state is shared, seen by {name}")
