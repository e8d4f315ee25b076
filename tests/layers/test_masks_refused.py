"""Layers that say nothing of steps are refused where there is a mask."""

import copy

import numpy as np
import pytest

import backprop.graph
import backprop.layers
from backprop import ShapeError
from backprop.datasets.sequences import pad
from backprop.graph.operations import Operation
from backprop.layers import (
    GRU,
    Activation,
    BatchNorm,
    Conv1d,
    Dense,
    Embedding,
    GlobalAvgPool,
    Identity,
    Layer,
    Masked,
    Neurons,
    Parallel,
    Sequential,
    TimeDistributed,
    TimeStep,
)
from tests.layers.padded import CLOSE, F8, IMAGES, R8, REFUSED, TAKEN, OwnScale, graph


def concrete_layers():
    """Return all classes of layers and operations that can be made."""
    found, todo = set(), [Layer]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("backprop.") and not kind.__abstractmethods__:
            found.add(kind)
    return {
        kind
        for kind in found
        if hasattr(backprop.layers, kind.__name__) or issubclass(kind, Operation)
    }


def test_every_layer_takes_a_mask_or_refuses_inside_masked():
    """No layer is left out of the tables of padded.py; a new one must be put into one of them."""
    made = [make() for make in (*TAKEN.values(), *IMAGES.values(), graph)]
    made += [make() for make, _ in REFUSED.values()]
    seen = {type(inner) for layer in made for _, inner in layer.walk()} | {Embedding}
    plain = {kind for kind in concrete_layers() if issubclass(kind, (Activation, Operation))}
    assert concrete_layers() - plain <= seen
    for kind in plain:  # elementwise, or the softmax, or refused where it does not say
        if issubclass(kind, Activation):
            assert not kind().why_unmasked()
        else:
            assert kind.independent_steps or kind.__name__ in ("Sum", "MatMul", "Variable")


@pytest.mark.parametrize(("make", "advice"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_heed_a_mask_is_refused_and_let_go(make, advice):
    layer = make()
    with pytest.raises(ValueError, match=advice):
        Masked([GRU(4, 4), layer])
    with pytest.raises(TypeError, match=r": takes no mask: .*" + advice.removeprefix("^Masked: ")):
        layer.forward(np.ones((4, 6, 2), "f4"), mask=np.ones((6, 2), bool))
    assert layer.owner is None
    Masked([GRU(4, 4), GlobalAvgPool(), layer])  # above which there are no steps any more


def test_dense_layers_and_uneven_branches_are_refused_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"TimeDistributed\(Dense\(...\)\) applies it to every step"
    ):
        Masked([GRU(4, 4), Dense(4, 2)])
    with pytest.raises(ValueError, match="only some branches keep the steps"):
        Masked([Parallel([GRU(4, 2), TimeStep()])])


def test_tokens_may_be_padded_below_layers_that_need_no_mask():
    words = [np.array([3, 1]), np.array([0, 2, 4, 1])]
    steps = Masked([Embedding(5, 3, **R8), TimeDistributed(Dense(3, 2, **R8))])
    a = steps.forward(pad(words, 7))
    alone = Sequential(copy.deepcopy(steps.children)).forward(words[0][:, None])
    np.testing.assert_allclose(a[:, :2, :1], alone, **CLOSE)


def test_masks_of_arrays_without_steps_are_refused():
    with pytest.raises(ShapeError, match="a mask is for sequences d x T x B"):
        BatchNorm(4).forward(np.ones((4, 2), "f4"), mask=np.ones((4, 2), bool))


def test_a_layer_that_lies_about_its_steps_is_found():
    class Last(OwnScale):
        independent_steps = True

        def output_shape(self, input_shape):
            return (input_shape[0], 1)

        def output(self, a_prev, mode):
            return a_prev[:, -1:]

    with pytest.raises(ShapeError, match="a layer below does not keep the steps as it says"):
        Masked([Last(), GRU(2, 2, **F8)]).forward(np.ones((3, 4, 2)))


class _Running(Identity):
    def output(self, a_prev, mode):
        return a_prev.cumsum(axis=1)


class _PlainMean(GlobalAvgPool):
    def output(self, a_prev, mode):
        return a_prev.mean(axis=1)


class _NextStep(Conv1d):
    def weighted_input(self, a_prev):
        return np.roll(a_prev, -1, axis=1)


@pytest.mark.parametrize("kind", [_Running, _PlainMean, _NextStep])
def test_what_was_said_of_another_output_is_not_inherited(kind):
    arguments = (4, 4, 3) if kind is _NextStep else ()
    with pytest.raises(ValueError, match=r"does not say what it does .* takes_mask = True"):
        Masked([GRU(4, 4), kind(*arguments)])

    class Saying(kind):
        independent_steps = True

    class Renamed(Saying):
        """Its output is that of which it was said."""

    for said in (Saying, Renamed):
        Masked([GRU(4, 4), said(*arguments)])


def test_neurons_of_ones_own_say_what_they_do_with_steps():
    class Own(Neurons):
        activation = Identity()

        def weighted_input(self, a_prev):
            return a_prev + 0

        def downstream(self, delta):
            return delta + 0

    with pytest.raises(ValueError, match="independent_steps = True"):
        Masked([GRU(2, 2), Own()])
