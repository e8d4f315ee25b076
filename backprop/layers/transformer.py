"""The block that transformers are stacked of, made of the other layers."""

from __future__ import annotations

from typing import Any

from backprop.core.checks import check_bool, check_integer, check_number
from backprop.core.randomness import generator
from backprop.core.shapes import Shape
from backprop.initializers import Initializer, as_initializer
from backprop.layers.activations import Activation, as_activation
from backprop.layers.attention import MultiHeadAttention
from backprop.layers.base import Layer, Seed
from backprop.layers.containers.residual import Residual
from backprop.layers.containers.sequential import Sequential
from backprop.layers.containers.time_distributed import TimeDistributed
from backprop.layers.dense import Dense
from backprop.layers.dropout import Dropout
from backprop.layers.normalization import LayerNorm


class TransformerBlock(Sequential):
    """A transformer block: attention, then two dense layers, each with a way past it.

    ::

        u = a_prev + Dropout(MultiHeadAttention(LayerNorm(a_prev)))
        a = u + Dropout(w_2 sigma(w_1 LayerNorm(u) + b_1) + b_2)

    Sequences d x T x B in and out. What is differentiated, and how, stands in these layers:
    the block is a `Sequential` of two `Residual`, and ``children[0].children[1]`` is the attention,
    ``children[1].children[1].layer`` the `Dense` layer of w_1. The normalisation comes before
    each part, not after the sum, so that the gradient has a way from top to bottom that nothing
    stands in; after the last block there should be one more `LayerNorm`.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.1; Xiong et al., "On Layer
    Normalization in the Transformer Architecture", 2020, for the normalisation before each part.

    Parameters
    ----------
    d : int
        Features of every step.
    heads : int
        Divides d.
    d_hidden : int
        Neurons between the two dense layers, often 4 d.
    causal : bool
        Let step t see only steps up to t.
    activation : Activation or str
        sigma.
    dropout : float
        The probability of leaving out an output of either part, 0 <= dropout < 1; with 0 there is
        no `Dropout`.
    w_init, b_init : Initializer or str
        How the parameters of the attention and the dense layers are drawn.
    dtype : dtype
        float32 for training, float64 for gradient checks.
    rng : numpy.random.Generator, int or None
        Where parameters and masks are drawn from, or its seed; with None masks are drawn as those
        of a `Dropout` without one are.

    Raises
    ------
    TypeError, ValueError
        For a size that is not a positive integer, heads that do not divide d, a dropout outside
        [0, 1), or an unknown name.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        d_hidden: int,
        causal: bool = False,
        activation: Activation | str = "gelu",
        dropout: float = 0.0,
        w_init: Initializer | str = "glorot_uniform",
        b_init: Initializer | str = "zeros",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.d = check_integer("TransformerBlock: d", d)
        self.heads = check_integer("TransformerBlock: heads", heads)
        self.d_hidden = check_integer("TransformerBlock: d_hidden", d_hidden)
        self.causal = check_bool(f"{type(self).__name__}: causal", causal)
        self.activation = as_activation(activation, type(self).__name__)
        self.dropout = check_number("TransformerBlock: dropout", dropout, "[0, 1)")
        self.w_init = as_initializer(w_init, type(self).__name__, "w_init")
        self.b_init = as_initializer(b_init, type(self).__name__, "b_init")
        given, rng = rng, generator(type(self).__name__, rng)
        init: dict[str, Any] = {
            "w_init": self.w_init,
            "b_init": self.b_init,
            "dtype": dtype,
            "rng": rng,
        }

        def dropped() -> list[Layer]:
            for_masks = None if given is None else rng  # else from what the block stands in
            return [Dropout(self.dropout, for_masks)] if self.dropout else []

        attention = Residual(
            [
                LayerNorm(self.d, dtype=dtype),
                MultiHeadAttention(self.d, self.heads, self.causal, **init),
                *dropped(),
            ]
        )
        dense = Residual(
            [
                LayerNorm(self.d, dtype=dtype),
                TimeDistributed(Dense(self.d, self.d_hidden, self.activation, **init)),
                TimeDistributed(Dense(self.d_hidden, self.d, "identity", **init)),
                *dropped(),
            ]
        )
        super().__init__([attention, dense])

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[0] != self.d:
            raise self.shape_error(f"({self.d}, T)", input_shape)
        return input_shape

    @property
    def title(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        causal = ", causal" if self.causal else ""
        dropout = f", dropout {self.dropout:g}" if self.dropout else ""
        return (
            f"{type(self).__name__}({self.d}, {self.heads} head{'s' * (self.heads > 1)}, "
            f"{self.d_hidden} {self.activation.name}{causal}{dropout})"
        )
