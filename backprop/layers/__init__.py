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
from backprop.layers.attention import MultiHeadAttention
from backprop.layers.base import Layer
from backprop.layers.containers.masked import Masked
from backprop.layers.containers.parallel import Parallel
from backprop.layers.containers.residual import Residual
from backprop.layers.containers.sequential import Sequential
from backprop.layers.containers.time_distributed import TimeDistributed
from backprop.layers.convolution import Conv1d, Conv2d
from backprop.layers.dense import Dense
from backprop.layers.dropout import ChannelDropout, Dropout, GaussianNoise
from backprop.layers.embedding import Embedding
from backprop.layers.neurons import Neurons
from backprop.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from backprop.layers.outputs import Outputs
from backprop.layers.parameters import Gradient, Parameter
from backprop.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)
from backprop.layers.positions import PositionalEncoding
from backprop.layers.recurrent.gru import GRU
from backprop.layers.recurrent.lstm import LSTM
from backprop.layers.recurrent.rnn import RNN
from backprop.layers.reshape import Flatten, Reshape, TimeStep, Transpose
from backprop.layers.transformer import TransformerBlock
from backprop.layers.transposed_convolution import ConvTranspose1d, ConvTranspose2d

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
    "Neurons",
    "Outputs",
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
