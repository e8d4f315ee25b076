"""The equations of the normalisations."""

from __future__ import annotations

import numpy as np

from backprop import BatchNorm, GroupNorm, LayerNorm, ReLU, RMSNorm
from backprop.inspection.typeset import Equation
from tests.inspection.equations.support import check_network, dense, each_network, normal, trace_of

NETWORKS = {
    "batch-norm": (lambda: [dense(2, 3, "identity"), BatchNorm(3, dtype="float64")], (2,)),
    "rms-norm": (lambda: [dense(2, 3, "identity"), RMSNorm(3, dtype="float64")], (2,)),
    "layer-norm": (lambda: [dense(2, 3, "identity"), LayerNorm(3, dtype="float64")], (2,)),
    "group-norm": (lambda: [dense(2, 4, "identity"), GroupNorm(2, 4, dtype="float64")], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_a_normalisation_has_its_mean_and_the_way_back_through_it():
    trace = trace_of([dense(2, 3, "identity"), BatchNorm(3, dtype="float64"), ReLU()], normal(2, 3))
    text = trace.to_text()
    for line in (
        "μ² = mean(a¹)",
        "deviation² = √(mean((a¹ − μ²)²) + ε)",
        "x_hat² = (a¹ − μ²) / deviation²",
        "a² = g² ⊙ x_hat² + b²",
        "u² = g² ⊙ ∂C/∂a²",
        "∂C/∂a¹ = (u² − mean(u²) − x_hat² ⊙ mean(u² ⊙ x_hat²)) / deviation²",
        "mean is over all places and examples of a feature",
    ):
        assert line in text
    equations = [e for part in trace.sections() for e in part.items if isinstance(e, Equation)]
    (u,) = [e.result for e in equations if e.left == "u^{2}"]
    layer = trace[1].layer
    by_hand = u - u.mean(1, keepdims=True)
    by_hand -= layer.x_hat * (u * layer.x_hat).mean(1, keepdims=True)
    np.testing.assert_allclose(trace[1].downstream, by_hand / layer.deviation, rtol=1e-12)
