"""Every layer's twin in C does what the layer does."""

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import NoTwin
from backprop.compiled.passes import both_passes
from backprop.layers import Dense
from tests.cases import CASES
from tests.compiled.support import assert_one, needs_compiler, train_both

pytestmark = needs_compiler


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_training_is_the_same(case):
    layer = case.make(np.float64)
    network = Network(layer, "quadratic", input_shape=case.input_shape).astype(np.float64)
    _, x, y = case.problem(8)
    try:
        both = train_both(network, x, y, epochs=2)
    except NoTwin as error:
        pytest.skip(str(error))
    assert_one(*both)


@pytest.mark.parametrize("flags", ["-O1", "-O2"])
def test_a_softmax_of_few_keeps_all_its_stores(flags, monkeypatch):
    """A compiler that vectorizes short loops and straight lines both may lose some of them."""
    monkeypatch.setenv("BACKPROP_CFLAGS", flags)
    layer = Dense(4, 6, "softmax", dtype="f8", rng=1)
    x = np.random.default_rng(0).normal(size=(4, 5))
    a = layer.forward(x, training=True)
    found = both_passes(layer, x, np.ones_like(a))
    np.testing.assert_allclose(found["output"], a, rtol=1e-12)
