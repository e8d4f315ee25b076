"""The checkers are checked: every planted fault is found, and named for what it is."""

from __future__ import annotations

import pytest

from backprop.gradients import check_gradients
from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.layers import Layer
from tests.compiled.support import no_compiler
from tests.gradients.broken import BROKEN
from tests.gradients.faults import FAULTS

WRONG = [f for f in FAULTS if f[3] <= {"gradients", "delta"}]


@pytest.mark.parametrize(("name", "layer", "shape", "named"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_found_and_named(name, layer: Layer, shape, named):
    if named == {"twin"} and no_compiler:
        pytest.skip(no_compiler)
    with pytest.raises(ConformanceError) as error:
        check_layer(layer, shape)
    assert error.value.property in named, str(error.value)
    assert error.value.layer.startswith(name)
    assert str(error.value).startswith(f"{error.value.layer}: {error.value.property}: ")


@pytest.mark.parametrize(("name", "layer", "shape", "named"), WRONG, ids=[f[0] for f in WRONG])
def test_a_planted_wrong_gradient_is_wrong_to_check_gradients(name, layer: Layer, shape, named):
    report = check_gradients(layer, input_shape=shape)
    assert report.verdict == "wrong", str(report)


def test_there_are_faults_against_every_property_and_more_than_a_hundred():
    named = {name for _, name, _ in BROKEN}.union(*(f[3] for f in FAULTS))
    assert named == set(PROPERTIES)
    kinds = {type(b[0]).__name__ for b in BROKEN} | {f[0] for f in FAULTS}
    assert len(kinds) > 130
