"""The network: a root layer, a cost, one theta; its data checked, its outputs measured."""

from backprop.network.network import Network

__all__ = ["Network"]
