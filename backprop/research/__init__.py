"""Quantities and interventions for research, each a short object on public names of the layers.

>>> from backprop.research import Zero, integrated_gradients, lrp
"""

from backprop.research.intervention import (
    Clamp,
    ClampNorm,
    Intervention,
    Noise,
    Project,
    Quantise,
    Replace,
    Reverse,
    Zero,
    project_conflicts,
)
from backprop.research.patching import Ablate, Patch, activations

__all__ = [
    "Ablate",
    "Clamp",
    "ClampNorm",
    "Intervention",
    "Noise",
    "Patch",
    "Project",
    "Quantise",
    "Replace",
    "Reverse",
    "Zero",
    "activations",
    "project_conflicts",
]
