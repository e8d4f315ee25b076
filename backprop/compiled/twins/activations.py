"""The activations in C: one function for sigma, one for what multiplies by sigma'."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins.base import HEADERS, NoTwin, Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.activations import (
    ELU,
    GELU,
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

# sigma in C, the name of an argument that goes before z, and which of z and a sigma' is of
FUNCTIONS: dict[type, tuple[str, str, str]] = {
    Sigmoid: ("sigmoid", "", "a"),
    Tanh: ("tanh_", "", "a"),
    ReLU: ("relu", "", "z"),
    LeakyReLU: ("leaky_relu", "slope", "z"),
    ELU: ("elu", "alpha", "z"),
    GELU: ("gelu", "", "z"),
    SiLU: ("silu", "", "z"),
    Softplus: ("softplus", "", "z"),
    Softmax: ("softmax", "", "a"),
}


def write_sigma(w: Writer, sigma: Activation, z: Buffer, a: Buffer) -> None:
    """Write a = sigma(z)."""
    w.header(HEADERS / "activations.h")
    note = f"a = {sigma.name}(z)"
    if type(sigma) is Identity:
        w.call("identity", z.size, z, a, note="a = z")
        return
    function, sizes, numbers, _ = _function(sigma, z)
    w.call(function, *sizes, *numbers, z, a, note=note)


def write_times_prime(w: Writer, sigma: Activation, z: Buffer, a: Buffer, delta: Buffer) -> None:
    """Write delta = dC/da * sigma'(z), in place."""
    if type(sigma) is Identity:
        return
    function, sizes, numbers, of = _function(sigma, z)
    name = f"{function.rstrip('_')}_times_prime"
    w.call(name, *sizes, *numbers, z if of == "z" else a, delta, note="delta = dC/da * sigma'(z)")


def _function(sigma: Activation, z: Buffer) -> tuple[str, list[int], list[float], str]:
    if type(sigma) not in FUNCTIONS:
        raise NoTwin(f"the activation {sigma} has no twin in C")
    function, argument, of = FUNCTIONS[type(sigma)]
    if type(sigma) is GELU and sigma.tanh:
        function = "gelu_tanh"
    if type(sigma) in (LeakyReLU, ELU) and not getattr(sigma, argument):
        function, argument = "relu", ""  # where 0 times NaN is NaN, whatever gcc makes of it
    sizes = [z.size]
    if type(sigma) is Softmax:
        sizes = [z.shape[0], math.prod(z.shape[1:])]
    return function, sizes, [getattr(sigma, argument)] if argument else [], of


class NeuronsTwin(Twin):
    """A layer that ends in an activation writes `weighted_input`, BP3, BP4 and BP2."""

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        """Write z."""
        raise NotImplementedError

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        z = self.weighted_input(w, layer, a_prev)
        a = z if type(layer.activation) is Identity else w.like("a", z, layer)
        w.keep(layer, a_prev=a_prev, z=z, a=a)
        if a is not z:
            write_sigma(w, layer.activation, z, a)
        return a

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        z, a = w.of(layer, "z"), w.of(layer, "a")
        write_times_prime(w, layer.activation, z, a, nabla_a)
        return nabla_a


@twin_for(*FUNCTIONS, Identity)
class ActivationTwin(NeuronsTwin):
    """An activation that is a layer of its own: z is its input."""

    header = "activations.h"

    def weighted_input(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        return w.columns(a_prev)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        below = w.like("nabla_a_below", delta, layer)
        w.call("identity", delta.size, delta, below)
        return below
