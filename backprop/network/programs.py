"""A network as a compiled program: shown, and asked for predictions."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from backprop.core.checks import check_bool, check_integer, check_number
from backprop.core.config import made_of
from backprop.core.shapes import count_examples, each_array
from backprop.core.upstairs import upstairs
from backprop.layers.base import Layer
from backprop.network.checked import Checked
from backprop.optimizers import Optimizer
from backprop.regularizers import check_regularizer

PRODUCTS_A_SECOND = 2e10  # about what NumPy does, for whether it is worth while to build a program
WORTH_WHILE = 1.0  # seconds


class Programmed(Checked):
    """The part of a network that is written down as C; see `Network` and `backprop.compiled`."""

    def program(self, batch_size: int = 10, optimizer: Any = None, **settings: Any) -> Any:
        """Return the network's step on a minibatch, or its prediction, written down as C.

        ``print(network.program(batch_size=10, optimizer=SGD(3.0)))`` shows it: a call a line,
        with the equation beside it.

        Parameters
        ----------
        batch_size : int
        optimizer : Optimizer or str, optional
            For a step of training; without it, the program predicts.
        **settings
            `regularizer`, `clip_norm` and `clip_value`, as of a `Trainer`, and `labels`: whether
            targets are integer labels.

        Returns
        -------
        Program

        Raises
        ------
        NoTwin
            If something in the network has no twin in C.
        RuntimeError
            If a network without a cost is to be trained.
        """
        batch_size = check_integer("program: batch_size", batch_size)
        kind = upstairs("backprop.compiled.program").Program
        optimizer = _checked("program", self, optimizer, settings)
        if optimizer is not None:
            self.need_cost()
        return kind(self, batch_size, optimizer, **settings)

    def to_c(
        self,
        path: str | os.PathLike[str],
        training: bool = False,
        batch_size: int = 10,
        optimizer: Any = None,
        labels: Any = None,
        name: str | None = None,
        header: bool = False,
        **settings: Any,
    ) -> Path:
        """Write the network with its weights as one file of C99, for use without Python.

        ``network.to_c("net.c")`` makes a file that needs a compiler such as gcc or clang, -lm, and
        nothing else: its arrays are static. What its functions are called by is the file's name::

            void net_predict(const float *x, float *outputs);            /* one example */
            int net_train(const float *x, const int32_t *y, double eta); /* a minibatch */

        An example is its numbers in the order of ``x[..., j].ravel()``, and its outputs are those
        of ``a[..., j].ravel()``; the file says how many. Compiled with ``-DBACKPROP_MAIN`` it is a
        program that reads examples from its standard input, as plain numbers one after another,
        and prints the outputs of one a line; of a file that trains, one that is given a learning
        rate learns them too, each with its target after it. Where there are several inputs,
        outputs or targets, each is an argument, and the program reads or prints them one after
        another. A few million parameters take the compiler half a minute.

        Several such files make one program: all else in them is static, and a `name`, or that of
        the file, tells their functions apart.

        Parameters
        ----------
        path : str or path-like
            It is written whole, or not at all.
        training : bool
            Whether it can be trained as well. It goes on from the optimizer's state; what layers
            draw is drawn by a generator of its own, so not to the bit as in NumPy.
        batch_size : int
            The examples of a step of training.
        optimizer : Optimizer or str, optional
            `SGD` unless told. Its learning rate is given with every step.
        labels : bool, or tuple of bool, optional
            Whether targets are integer labels, of every output if there are several; those of
            `SoftmaxCrossEntropy` are unless told.
        name : str, optional
            What its functions are called by, ``name_predict``; unless told, the file's name.
        header : bool
            Whether to write a header for other programs, in C and C++, beside it: net.h.
        **settings
            `regularizer`, `clip_norm` and `clip_value`, as of a `Trainer`; and `input_shape`, for
            a network that takes several.

        Returns
        -------
        Path

        Raises
        ------
        NoTwin
            If something in the network has no twin in C.
        ValueError
            If a network without a cost is to be trained, or `name` is none.
        """
        to_c = upstairs("backprop.compiled.export").to_c
        training = check_bool("to_c: training", training)
        batch_size = check_integer("to_c: batch_size", batch_size)
        header = check_bool("to_c: header", header)
        if "weights" in settings:
            raise TypeError("to_c: there is no setting 'weights'")
        optimizer = _checked("to_c", self, optimizer, settings)
        settings.update(optimizer=optimizer, labels=labels, name=name, header=header)
        return Path(to_c(self, path, training, batch_size, **settings))

    def prediction_for(self, x: Any, compiled: bool | None) -> Any:
        """Return a built program that predicts for inputs like x, or None: by the layers.

        Raises
        ------
        NoTwin, NotBuilt
            If it must be `compiled`, and cannot be.
        """
        n = count_examples(x)
        if compiled is None:
            if not self.worth_compiling(n):
                return None
        elif not check_bool("compiled", compiled):
            return None
        prediction = upstairs("backprop.compiled.prediction")
        shape = each_array(lambda one: one.shape[:-1], x)
        block = 1 if n == 1 else prediction.BLOCK
        return prediction.prediction_for(self, x, shape, bool(compiled), block)

    def worth_compiling(self, n: int) -> bool:
        """Say whether NumPy would predict n examples for long, by the sizes alone."""
        return n * products_of(self.root, self.input_shape) / PRODUCTS_A_SECOND >= WORTH_WHILE


_SETTINGS = {"regularizer", "clip_norm", "clip_value", "labels", "weights", "input_shape"}


def _checked(owner: str, network: Any, optimizer: Any, settings: dict[str, Any]) -> Any:
    """Return an optimizer, which may be given by its name, if it and the settings are such."""
    unknown = sorted(settings.keys() - _SETTINGS)
    if unknown:
        raise TypeError(f"{owner}: there is no setting {unknown[0]!r}")
    check_regularizer(owner, settings.get("regularizer"))
    for name in ("clip_norm", "clip_value"):
        if settings.get(name) is not None:
            settings[name] = check_number(f"{owner}: {name}", settings[name], "(0, inf)")
    if settings.get("input_shape") is not None:
        network.root.output_shape(settings["input_shape"])
    return None if optimizer is None else made_of(Optimizer, optimizer, owner, "optimizer")


def products_of(layer: Layer, input_shape: Any) -> int:
    """Return about how many products an example takes: each weight at all its places."""
    if layer.children:
        shapes = layer.inner_shapes(input_shape)  # type: ignore[attr-defined]
        pairs = zip(layer.children, shapes, strict=True)
        return sum(products_of(child, shape) for child, (shape, _) in pairs)
    if not layer.parameter_names:
        return 0
    weights = sum(getattr(layer, name).size for name in layer.parameter_names)
    return weights * math.prod(n or 1 for n in layer.output_shape(input_shape)[1:])
