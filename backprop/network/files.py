"""Networks in files: the architecture as JSON, the numbers as arrays, never a pickle."""

from __future__ import annotations

import os
import warnings
from typing import Any, ClassVar

import numpy as np

from backprop.core.callers import stacklevel
from backprop.core.config import Classes, classes_by_name, from_config
from backprop.core.storage import check_format, read_archive, what_is_read, write_archive
from backprop.layers.parameters import room_for
from backprop.layers.places import described_places, restore_places
from backprop.layers.seeds import seed_by_parameters
from backprop.network.checks import as_lists
from backprop.network.credit import OF_RULE, Credited

EQUATIONS = {"output", "weighted_input", "delta_of", "parameter_gradients", "downstream"}


class Saved(Credited):
    """The part of a network that writes it down and makes it again; see `Network`."""

    format: ClassVar[str] = "backprop network 2"
    encoding: Any = None
    """How a table's rows become inputs, a `datasets.Encoding`: saved with the network."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and parameters to one file, whole or not at all; never a pickle.

        Raises
        ------
        OSError
            If the file cannot be written; an earlier file of that name is then untouched.
        RuntimeError
            If a layer has been built into another network since.

        Warns
        -----
        UserWarning
            If a method was assigned to one layer object, such as ``layer.downstream = f``: the
            network that is loaded has that of the class.
        """
        self.check_whole()
        for name, layer in self.root.walk():
            replaced = EQUATIONS & vars(layer).keys()
            if replaced:
                warnings.warn(
                    f"layer {name}, {layer}: the {' and '.join(sorted(replaced))} assigned to it "
                    "cannot be saved; write a class for it",
                    stacklevel=stacklevel(),
                )
        write_archive(path, self.state(), {"format": self.format, "network": self.config()})

    @classmethod
    def load(cls, path: str | os.PathLike[str], classes: Classes = None) -> Any:
        """Return the network that `save` wrote; it predicts the same bits.

        Parameters
        ----------
        path : path-like
        classes : sequence of classes, or dict of them by name, optional
            Of layers, costs, initializers of your own that the network is made of, where the
            module that defines them is not imported under the name that it had:
            ``Network.load("net.npz", classes=[MyLayer])``.

        Raises
        ------
        FileError
            If the file is damaged or not such a file, or names classes that are not known.
        OSError
            If it cannot be opened.
        TypeError
            If `classes` holds anything else.
        """
        known = classes_by_name(classes)
        arrays, meta = read_archive(path)
        check_format(path, meta, cls.format, "a saved network")
        with what_is_read(path, "does not describe a network"):
            return cls.described(meta["network"], arrays, known)

    @classmethod
    def described(
        cls, config: dict[str, Any], arrays: dict[str, np.ndarray], classes: Classes = None
    ) -> Any:
        """Return the network that `config` describes, with the numbers of `state`.

        However large it says that its layers are, they take no more memory than their numbers do.
        """
        network = cls.of_size(config, sum(array.size for array in arrays.values()), classes)
        network.set_state(arrays)
        seed_by_parameters(network.root)
        return network

    @classmethod
    def of_size(cls, config: dict[str, Any], size: int, classes: Classes = None) -> Any:
        """Return the network that `config` describes if it is no larger than so many numbers."""
        shared = len(config.get("ties", ())) + len(config.get("places", ()))
        with room_for(max((2 + shared) * size, 10_000)):  # a little is none, and says more
            return cls.from_config(config, classes)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all numbers that make up the network: theta, and what training moves.

        The running mean of layer 2 is called ``2.running_mean``; what a credit rule sends errors
        back by begins with ``credit.``.
        """
        if self.credit is None:
            return self.root.state()
        of_rule = {OF_RULE + name: array for name, array in self.credit.state().items()}
        return self.root.state() | of_rule

    def set_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError, TypeError
            If it belongs to another architecture; nothing has changed then.
        """
        arrays, of_rule = self.of_rule(arrays)
        self.root.set_state(arrays)
        if self.credit is not None:
            self.credit.take_state(of_rule)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description of layers, cost and shapes, without the numbers."""
        return {
            "root": self.root.config(),
            "cost": None if self.cost is None else self.cost.config(),
            "input_shape": as_lists(self.input_shape),
            "dtype": self.dtype.name,
            **described_places(self.root),
            **({} if self.credit is None else {"credit": self.credit.config()}),
            **({} if self.encoding is None else {"encoding": self.encoding.config()}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], classes: Classes = None) -> Any:
        """Make a network from `config`, its parameters freshly drawn; `classes` as in `load`."""
        root = restore_places(from_config(config["root"], classes), config)
        cost = None if config["cost"] is None else from_config(config["cost"], classes)
        make: Any = cls
        network = make(root, cost, config["input_shape"])
        network = network if network.dtype == config["dtype"] else network.astype(config["dtype"])
        network.credit_from(config.get("credit"), classes)
        if "encoding" in config:
            from backprop.datasets.encoding import Encoding  # which few networks have

            network.encoding = from_config(config["encoding"], classes)
            if not isinstance(network.encoding, Encoding):
                raise TypeError(f"its encoding must be an Encoding, got {network.encoding!r:.80}")
        return network
