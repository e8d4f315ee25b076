"""What stands in the zoo: twenty layers, each with one fault, and what mends it.

Whoever wants to find the faults reads the layers, and not this file.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.shapes import Shape
from backprop.layers import Layer

FOLDER = Path(__file__).parent / "layers"


@dataclass(frozen=True)
class Exhibit:
    """A broken layer.

    Attributes
    ----------
    name : str
        Of its file in `backprop.zoo.layers`.
    kind : str
        The class in it.
    about : str
        What it is, in a few words that give nothing away.
    arguments : tuple
        It is made with; a seed is given by name, where it takes one.
    shape : tuple of int
        Of an input, without the batch.
    mend : tuple of (str, str)
        The faulty text, and what has to stand there.
    hint : str
        Where to look, for who asks.
    """

    name: str
    kind: str
    about: str
    arguments: tuple[Any, ...]
    shape: Shape
    mend: tuple[str, str]
    hint: str

    @property
    def source(self) -> str:
        """The broken layer's text."""
        return (FOLDER / f"{self.name}.py").read_text(encoding="utf-8")

    @property
    def solution(self) -> str:
        """The text mended."""
        old, new = self.mend
        return self.source.replace(old, new)

    def layer_of(self, source: str, where: str) -> Layer:
        """Return the layer that a text makes; `where` is what the text is called in errors.

        Raises
        ------
        SyntaxError, AttributeError, and whatever else the text raises.
        """
        module = types.ModuleType(f"zoo_{self.name}")
        module.__file__ = where
        sys.modules[module.__name__] = module  # by which its classes are pickled
        exec(compile(source, where, "exec"), module.__dict__)
        make: Callable[..., Layer] = getattr(module, self.kind)
        seed = {"rng": 0} if "rng=None" in self.source.split("def initialize")[0] else {}
        return make(*self.arguments, **seed)

    def draw(self, batch: int = 3) -> np.ndarray:
        """Draw an input, always the same."""
        return np.random.default_rng(5).standard_normal((*self.shape, batch))


EXHIBITS = {
    exhibit.name: exhibit
    for exhibit in (
        Exhibit(
            "sigmoid_neurons", "SigmoidNeurons", "sigmoid neurons, the book's layer", (4, 3), (4,),
            ("return nabla_a.copy()", "return nabla_a * self.a * (1 - self.a)"),
            "Which of the four equations has a sigma' in it, and where is it in the code?",
        ),
        Exhibit(
            "square", "Square", "as many linear neurons as below", (4,), (4,),
            ("return self.w @ delta", "return self.w.T @ delta"),
            "With as many neurons above as below, every shape fits, also that of a wrong product.",
        ),
        Exhibit(
            "linear", "Linear", "linear neurons", (4, 3), (4,),
            (
                "        batch = delta.shape[-1]\n"
                "        self.nabla_b = delta.sum(axis=1, keepdims=True) / batch\n"
                "        self.nabla_w = delta @ self.a_prev.T / batch\n",
                "        self.nabla_b = delta.sum(axis=1, keepdims=True)\n"
                "        self.nabla_w = delta @ self.a_prev.T\n",
            ),
            "Look at the ratio in the report. How often is the mean over the batch taken?",
        ),
        Exhibit(
            "scale", "Scale", "a factor for every neuron", (4,), (4,),
            ("self.nabla_g += ", "self.nabla_g = "),
            "It is right the first time. What is left of the pass before?",
        ),
        Exhibit(
            "tanh_square", "TanhSquare", "as many tanh neurons as below", (4,), (4,),
            ("delta @ self.a.T", "delta @ self.a_prev.T"),
            "BP4 is of the activation that comes in. Which one is that?",
        ),
        Exhibit(
            "sigmoid", "Sigmoid", "the sigmoid as a layer", (), (4,),
            ("logistic(a) * (1 - logistic(a))", "a * (1 - a)"),
            "sigma' is taken at z. What is a already?",
        ),
        Exhibit(
            "relu", "ReLU", "a ReLU as a layer", (), (4,),
            ("delta * (delta > 0)", "delta * (self.a_prev > 0)"),
            "The way back is linear in nabla_a: what passes is decided on the way up.",
        ),
        Exhibit(
            "softmax", "Softmax", "the softmax as a layer", (), (4,),
            (
                "return delta * self.a * (1 - self.a)",
                "return self.a * (delta - (delta * self.a).sum(axis=0, keepdims=True))",
            ),
            "Every a_j depends on every z_k. What is off the diagonal of the Jacobian?",
        ),
        Exhibit(
            "square_root", "SignedRoot", "a root that takes every sign", (), (4,),
            (
                "        delta *= (1 + size / 2) / (1 + size) ** 1.5\n        return delta\n",
                "        return delta * (1 + size / 2) / (1 + size) ** 1.5\n",
            ),
            "The numbers are right. Whose array is delta?",
        ),
        Exhibit(
            "square_features", "Squares", "the square of every number", (), (4,),
            (
                "        if mode.keep and self.x is None:\n",
                "        if mode.keep:\n",
            ),
            "It is right for the first batch. Which x does the second one go back with?",
        ),
        Exhibit(
            "softplus", "Softplus", "softplus as a layer", (), (4,),
            (
                "np.log(1 + np.exp(z))",
                "np.where(z.real > 0, z, 0) + np.log1p(np.exp(-np.where(z.real < 0, -z, z)))",
            ),
            "What is exp(1000)? Write ln(1 + exp z) as max(z, 0) + ln(1 + exp(-|z|)).",
        ),
        Exhibit(
            "circulant", "Circulant", "neurons that share their weights", (5,), (5,),
            ("nabla_w[self.shifts == shift][0]", "nabla_w[self.shifts == shift].sum()"),
            "A weight that occurs in n places has n contributions to its gradient.",
        ),
        Exhibit(
            "dropout", "Dropout", "dropout", (), (6,),
            ("self.draw(delta) * delta", "self.mask * delta"),
            "Which activations were left out on the way up, and which on the way back?",
        ),
        Exhibit(
            "noise", "Noise", "noise in training", (), (4,),
            (
                "np.random.standard_normal(a_prev.shape)",
                "self.rng.standard_normal(a_prev.shape)",
            ),
            "Its derivative is right. Can a network with it be made again from its seed?",
        ),
        Exhibit(
            "layer_norm", "LayerNorm", "layer normalisation", (), (5,),
            (
                "(delta - self.a * (delta * self.a)",
                "(delta - delta.mean(axis=0, keepdims=True) - self.a * (delta * self.a)",
            ),
            "x_i moves a_i directly, and all a_j in two more ways. One of them is missing.",
        ),
        Exhibit(
            "moving_average", "MovingAverage", "the mean of three neighbours", (), (6,),
            (
                "nabla[start : start + len(delta)] = delta / 3",
                "nabla[start : start + len(delta)] += delta / 3",
            ),
            "A number in the middle is part of three means. How many of them reach it?",
        ),
        Exhibit(
            "convolution", "Convolution", "a convolution of a signal", (), (6,),
            ("enumerate(self.w[::-1])", "enumerate(self.w)"),
            "x_{l+i} came in with w_i. With which weight does its gradient go back?",
        ),
        Exhibit(
            "residual", "Residual", "a residual block", (4,), (4,),
            ("return self.w.T @ self.through(delta)",
             "return delta + self.w.T @ self.through(delta)"),
            "x goes up by two ways. By how many does the gradient come down?",
        ),
        Exhibit(
            "recurrent", "Recurrent", "a recurrent neuron for every feature", (3,), (3, 5),
            ("later = self.u * nabla_a[:, t]", "later = self.u * deltas[:, t]"),
            "What does step t hand to step t - 1: what it was given, or what it made of it?",
        ),
        Exhibit(
            "pick", "Pick", "some of the features, some twice", ((0, 2, 2, 1),), (4,),
            ("nabla[list(self.index)] += delta", "np.add.at(nabla, list(self.index), delta)"),
            "What does NumPy's x[[2, 2]] += 1 add to x[2]?",
        ),
    )
}  # fmt: skip
