"""Optimizers: how theta moves along the negative gradient of the cost.

An optimizer works in place on two flat vectors, the parameters theta and the gradient
nabla = dC/dtheta, block by block so that everything stays in the cache. What it remembers of
earlier steps is one or two vectors of theta's shape. Each class below is its update rule; ``<-``
assigns, and all products, quotients and roots of vectors are elementwise.
"""

from backprop.optimizers.adaptive import Adam, AdamW, RMSProp
from backprop.optimizers.base import Optimizer
from backprop.optimizers.clipping import clip_by_norm, clip_by_value
from backprop.optimizers.descent import SGD, Momentum, Nesterov

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "clip_by_norm",
    "clip_by_value",
]
