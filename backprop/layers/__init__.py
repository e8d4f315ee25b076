"""The layers: each a hand-written forward and backward, usable alone or in a network."""

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
from backprop.layers.base import Gradient, Layer, Parameter, ShapeError
from backprop.layers.containers import Parallel, Residual, Sequential, TimeDistributed
from backprop.layers.dense import Dense
from backprop.layers.dropout import Dropout
from backprop.layers.reshape import Flatten, Reshape

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Gradient",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Parallel",
    "Parameter",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TimeDistributed",
]
