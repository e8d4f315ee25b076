"""The layers: each a hand-written forward and backward, usable alone or in a network."""

from backprop.core.shapes import ShapeError
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
from backprop.layers.attention import MultiHeadAttention, PositionalEncoding
from backprop.layers.base import Gradient, Layer, Parameter
from backprop.layers.containers import Masked, Parallel, Residual, Sequential, TimeDistributed
from backprop.layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from backprop.layers.dense import Dense
from backprop.layers.dropout import ChannelDropout, Dropout, GaussianNoise
from backprop.layers.embedding import Embedding
from backprop.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from backprop.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)
from backprop.layers.recurrent.gru import GRU
from backprop.layers.recurrent.lstm import LSTM
from backprop.layers.recurrent.rnn import RNN
from backprop.layers.reshape import Flatten, Reshape, TimeStep, Transpose
from backprop.layers.transformer import TransformerBlock

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "ChannelDropout",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "GlobalAvgPool",
    "Gradient",
    "GroupNorm",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Masked",
    "MaxPool1d",
    "MaxPool2d",
    "MultiHeadAttention",
    "Parallel",
    "Parameter",
    "PositionalEncoding",
    "RMSNorm",
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
    "TimeStep",
    "TransformerBlock",
    "Transpose",
]
