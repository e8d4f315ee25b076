"""A row of the book's results: what is trained, how, and what the book says came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """A figure of the book, and how ours is read from a run.

    Parameters
    ----------
    measure : str
        ``"best test_accuracy"``, or ``last``, ``first``, ``least`` of a column of a run; ``"norm
        0"``, of a list that the run holds as a whole, its number 0; or the name of a single number
        of the run. ``"chosen test_accuracy"`` is that of the epoch of the best validation accuracy.
    value : float or None
        None where the book gives none.
    within : float or None
        By how much our median may differ without a remark; of a factor where `factor` is set.
    remark : str
        Why it differs, where it does, or what else there is to know.
    """

    measure: str
    value: float | None
    within: float | None = 0.005
    factor: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One configuration. What is not told is as in most of the book's programs.

    Parameters
    ----------
    name : str
        Of its files, and what `--rows` selects it by; its part before the first "-" is the chapter.
    what : str
        What RESULTS.md calls it.
    kind : str
        Which function makes a run of it: "train", or one of `experiments.book.others.KINDS`; "vote"
        has no run of its own, and is counted from those of the networks that vote.
    layers : tuple
        Numbers of neurons; of a convolutional net what `experiments.book.networks.BLOCKS` knows.
    init : str
        "large", w ~ N(0, 1), as in network.py; "new", w ~ N(0, 1/n_in), as in network2.py; biases
        are N(0, 1) in both. "network3": as in that program.
    images : int or None
        Train on the first so many images.
    validation : int
        On the first so many of the validation images.
    lmbda : float
        The book's lambda of network2.py, by which w decays as 1 - eta lambda / n.
    expanded : bool
        Train on every image and its copies shifted by a pixel in four directions.
    every : int
        Epochs from one evaluation to the next.
    seeds : int
        How many random starts; 1 where nothing is random.
    """

    name: str
    what: str
    published: tuple[Published, ...]
    kind: str = "train"
    layers: tuple[Any, ...] = (784, 30, 10)
    cost: str = "cross_entropy"
    init: str = "large"
    eta: float = 0.5
    lmbda: float = 0.0
    epochs: int = 30
    images: int | None = None
    validation: int | None = None
    expanded: bool = False
    shuffle: bool = True
    every: int = 1
    seeds: int = 5
    x: Any = None  # what other kinds are told

    @property
    def chapter(self) -> int:
        """The chapter of the book."""
        return int(self.name.split("-")[0])
