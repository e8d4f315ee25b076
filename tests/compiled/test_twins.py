"""Every layer's twin in C does what the layer does."""

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import NoTwin
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
