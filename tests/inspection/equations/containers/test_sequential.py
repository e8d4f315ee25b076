"""The equations of `Sequential`."""

from __future__ import annotations

import re

import numpy as np

from backprop import Residual, Sequential, Tanh
from tests.inspection.equations.support import (
    check_network,
    dense,
    each_network,
    lines_of,
    normal,
    sections,
    trace_of,
)

NETWORKS = {
    "nested": (
        lambda: [
            dense(2, 2),
            Sequential([Residual([Sequential([Residual([dense(2, 2)])]), Tanh()]), dense(2, 3)]),
        ],
        (2,),
    ),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_a_chain_inside_a_layer_reads_as_the_network_s():
    x, y = normal(2, 1), np.ones((1, 1))

    def layers():
        return [dense(2, 3), dense(3, 2, "relu"), dense(2, 1, "sigmoid")]

    flat = sections(trace_of(layers(), x, y, "cross_entropy").to_text())
    inside = sections(trace_of([Sequential(layers())], x, y, "cross_entropy").to_text())
    for name, layer in zip("012", layers(), strict=True):
        for way in ("forward", "backward"):
            expected = flat[f"layer {name}, {layer}: {way}"]
            found = inside[f"layer 0.{name}, {layer}: {way}"]
            assert lines_of(re.sub("¹·([¹²³])", r"\1", found)) == lines_of(expected)
    assert inside["layer 0, Sequential: forward"] == "A chain, layers 0.0 to 0.2; a¹ is a¹·³."
    assert inside["layer 0, Sequential: backward"] == "From layer 0.2 to layer 0.0."
