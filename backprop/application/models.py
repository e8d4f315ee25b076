"""What a command is given as its model: the folder of a run, or a saved network."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from backprop import datasets
from backprop.application.arguments import DATA_HELP, MAXIMUM, MODEL_HELP, reading_of
from backprop.application.run_config import RunConfig
from backprop.application.run_folder import CONFIG, folder_of, read_config, read_model
from backprop.network import Network


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a model is named, and other data than those of its run."""
    parser.add_argument("model", type=Path, metavar="RUN", help=MODEL_HELP)
    parser.add_argument("--data", help=f"{DATA_HELP} (default: the run's own)")
    parser.add_argument("--maximum", **MAXIMUM)


def open_model(arguments: argparse.Namespace) -> tuple[Network, RunConfig]:
    """Return the network and its run's configuration, with the data that were asked for.

    Raises
    ------
    ValueError, OSError
        As `read_model`; if the network has no cost, or parameters that are not finite.
    """
    path = arguments.model
    network = read_model(path)
    config = with_data(config_of(path), arguments)
    if network.cost is None:
        raise ValueError(
            f"{path} holds a network without a cost: load it, assign network.cost, save it again"
        )
    if not np.isfinite(network.theta).all():
        raise ValueError(
            f"{path} holds a network whose parameters are not finite: train it anew, say with a "
            "smaller --eta"
        )
    return network, config


def with_data(config: RunConfig, arguments: argparse.Namespace) -> RunConfig:
    """Return a configuration with the data that were asked for, and how they are read."""
    if arguments.data is not None:
        data = absolute_data(arguments.data)
        config = replace(config, data=data, data_sha256=None, data_parts=None)
    if arguments.maximum is not None:
        config = replace(config, maximum=arguments.maximum)
    reading = reading_of(arguments)
    return replace(config, table={**config.table, **reading}) if reading else config


def config_of(model: Path) -> RunConfig:
    """Return the configuration of the run that a network is of; the default one of no run."""
    folder = folder_of(model)
    return read_config(folder) if (folder / CONFIG).exists() else RunConfig()


def absolute_data(name: str) -> str:
    """Return a folder's name as it will be understood from any other folder."""
    return name if name in datasets.NAMES else os.path.abspath(os.path.expanduser(name))
