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

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import Shape
from backprop.gradients.contract import (
    derivatives,
    examples,
    making,
    memory,
    numbers,
    sequences,
    shapes,
    state,
)
from backprop.gradients.contract.trial import Failure, Trial, name_of
from backprop.layers.base import Layer, Seed


def _twin(trial: Trial) -> bool:
    from backprop.gradients.contract.compiled import twin  # which few programs need

    return twin(trial)


PROPERTIES: dict[str, tuple[str, Callable[[Trial], Any]]] = {
    "description": ("config says how to make the layer again: it", making.description),
    "output shape": ("forward(x).shape = output_shape + (B,)", shapes.output_shape),
    "both passes": ("forward and backward run, one after the other: that", shapes.both_passes),
    "finite": ("finite numbers give finite numbers: that", numbers.finite),
    "parameters untouched": (
        "only an optimizer changes the parameters: that",
        state.parameters_untouched,
    ),
    "dtype": ("float32 stays float32, and float64 float64,", numbers.dtype),
    "arguments": ("forward and backward only read their arguments: that", memory.arguments),
    "random numbers": ("random numbers come from the layer's rng: that", numbers.random_numbers),
    "own memory": ("what is handed out has a memory of its own: that", memory.own_memory),
    "initialization": (
        "initialize(rng) draws all parameters, from rng alone: that",
        making.initialization,
    ),
    "state": ("a training forward keeps a_prev, z and a: it", state.keeps_state),
    "inference": ("forward(x, training=False) keeps nothing, and", state.inference),
    "overwriting": ("backward overwrites the gradients: that", state.overwriting),
    "latest forward": ("backward goes by the last training forward: that", state.latest_forward),
    "results kept": ("what was handed out stays: that", state.results_kept),
    "no input gradient": (
        "backward(u, input_gradient=False) only spares dC/da_prev: that",
        state.no_input_gradient,
    ),
    "shapes": ("nabla_a has the shape of a: that", shapes.upstream_shape),
    "no state": (
        "backward without a pass that kept state is a RuntimeError: that",
        state.nothing_to_go_back_from,
    ),
    "linearity": ("J^T (2u - 3v) = 2 J^T u - 3 J^T v", derivatives.linearity),
    "delta": ("BP1 and BP2, delta = nabla_a * sigma'(z),", derivatives.delta),
    "sigma prime": ("prime(z, a) = sigma'(z)", derivatives.sigma_prime),
    "from delta": ("backward_from(delta) goes on as backward does: that", state.from_delta),
    "delta hook": (
        'BP2, BP3 and BP4 go by what a "delta" hook makes of delta: that',
        state.delta_hook,
    ),
    "hooks": ("hooks are called at their moments, once: that", state.hooks),
    "gradients": ("BP2, BP3, BP4", derivatives.gradients),
    "kept inference": (
        "forward(x, keep=True) is inference that can go back: that",
        derivatives.kept_inference,
    ),
    "frozen": ("a frozen layer has no dC/dw, and sends down the same: that", derivatives.frozen),
    "adjointness": ("<J u, v> = <u, J^T v>", derivatives.adjointness),
    "batch sizes": ("BP2, BP3, BP4", derivatives.batch_sizes),
    "other sizes": ("BP2, BP3, BP4", derivatives.other_sizes),
    "magnitudes": ("BP2, BP3, BP4", derivatives.magnitudes),
    "other parameters": ("BP2, BP3, BP4", derivatives.other_parameters),
    "precision": ("float32 gives what float64 gives, to 1e-4: that", numbers.precision),
    "memory layout": (
        "where the numbers lie in memory does not matter: that",
        memory.memory_layout,
    ),
    "independent examples": (
        "the batch gradient is the sum over the examples: that",
        examples.independent_examples,
    ),
    "permutation": ("the order of the examples does not matter: that", examples.permutation),
    "masks": ("steps that only fill a sequence up change nothing: that", sequences.masks),
    "save and load": ("config and state are the whole layer: that", making.save_and_load),
    "copies": ("a copy is a layer of its own: that", making.copies),
    "twin": ("the layer's twin in C computes the same: that", _twin),
}
"""The rule and the test of every property, by name, in the order they are tried."""


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
        self.layer, self.property, self.equation = name_of(layer), name, equation
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
    compiled: bool = True,
) -> tuple[str, ...]:
    """Raise unless `layer` computes its gradients rightly and keeps the contract of a layer.

    The properties, in the order they are tried; those that hold are returned:

    =====================  ===================================================================
    description            every constructor argument is kept in an attribute of its name, and
                           `repr` and `config` say the same of the layer made again
    output shape           `output_shape` and `input_shape` say what `forward` returns and takes
    both passes            run, and give every gradient in the shape of its array: BP2, BP3, BP4
    finite                 the output and the gradients are finite numbers
    parameters untouched   no pass changes a parameter
    dtype                  float32 and float64 come out as they went in, everywhere
    arguments              the input and the upstream gradient are only read; backward changes
                           neither the output handed out, nor a_prev, z and a
    random numbers         come from the layer's `rng`: no generator that all share is drawn from,
                           and the same passes give the same numbers
    own memory             what is handed out shares none with theta, nabla and the statistics
    initialization         ``initialize(rng)`` draws every parameter, from `rng` alone: equal
                           generators give equal parameters, others give others
    state                  a training forward keeps a_prev and a, and z if there is one; delta is
                           there until the next forward pass that keeps state
    inference              keeps nothing, changes nothing, and computes the same
    overwriting            backward overwrites the gradients, and never adds to them
    latest forward         backward goes by the last training forward alone
    results kept           what was handed out is not overwritten by any later call
    no input gradient      ``input_gradient=False`` spares the downstream gradient, nothing else
    shapes                 an upstream gradient of another shape is refused, never broadcast
    no state               backward without a whole pass that kept state is a RuntimeError
    linearity              backward is linear in the upstream gradient, small and large
    delta                  delta = nabla_a * sigma'(z): BP1 and BP2, down to z
    sigma prime            `prime`, which a trace prints, and `times_prime` are both sigma', and
                           sigma stays in its `range`
    from delta             `backward_from`, entered below sigma, gives what `backward` gave
    delta hook             what a "delta" hook makes of delta is what BP2, BP3 and BP4 go by
    hooks                  are called once, after the output and after the gradients, and what
                           they make of a is the output; in inference none is called
    gradients              w^T delta, the sum of delta, delta a^T: BP2, BP3, BP4, against central
                           differences and the complex step
    kept inference         ``forward(x, keep=True)`` computes what inference computes, moves no
                           running statistic, draws nothing, and `backward` then gives its
                           gradients, against central differences and the complex step
    frozen                 with ``trainable = False`` there is no dC/db and dC/dw, the same
                           downstream gradient, and no statistic moves
    adjointness            <J u, v> = <u, J^T v>, for all elements at once, unless at a kink
    batch sizes            adjointness and some gradients for batches of 1, 2, 5, 17 and 130
    other sizes            the same for inputs that are longer or shorter along an axis
    magnitudes             the same for inputs of the order 1e-6, 1e-3, 30 and 1000, and for one
                           of which half is 0
    other parameters       the same for parameters of other signs and sizes, and for some that are 0
    precision              float32 gives what float64 gives, to 1e-4, and float64 is computed in
                           float64: it does not go in steps of float32
    memory layout          C or Fortran order, strided, backwards, a part of something, broadcast
                           or read-only: the same numbers give the same
    independent examples   the gradient of the batch is the sum over its examples
    permutation            the examples in another order give the same in that order
    masks                  what only fills sequences up, and how much of it there is, changes
                           nothing; a layer that takes no mask refuses it
    save and load          after training forwards, too, it predicts the same bits when it is made
                           again from `config` and `state`
    copies                 a deep copy and a pickle compute the same, have no hooks, and are
                           independent (a class made inside a function is not pickled)
    twin                   the layer's twin in C, built by this machine's compiler, makes the same
                           of both passes
    =====================  ===================================================================

    Two ways to compute one array are the same if they differ by no more than 1e-10 of it, and the
    rounding that there is: it is measured, see `backprop.gradients.rounding`.

    "inference" compares with training only, and "permutation" is tried at all only, where no
    random numbers are drawn; where they are, "precision" tries inference alone. "independent
    examples" is tried only where the class says so (`Layer.independent_examples`, True unless it
    says otherwise). "delta" needs an `output_activation`, "sigma prime" a sigma inside, "frozen"
    and "other parameters" parameters, "masks" a layer that takes them, "other sizes" one that takes
    such inputs, "magnitudes" an x that is not given: there may be no other, and "twin" a twin and
    a compiler (see `backprop.compiled`).

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
    compiled : bool
        False leaves "twin" out, for which a program has to be built.

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
    trial = Trial(layer, input_shape, x, batch, np.random.default_rng(rng), elements)
    held = []
    for name, (rule, test) in PROPERTIES.items():
        if name == "twin" and not compiled:
            continue
        try:
            with np.errstate(all="ignore"):  # what is not finite is told by "finite"
                applies = test(trial)
        except Failure as failure:
            what, equation = failure.args
            raise ConformanceError(layer, name, equation or rule, what) from None
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ConformanceError(layer, name, rule, what) from error
        if applies is not False:
            held.append(name)
    return tuple(held)
