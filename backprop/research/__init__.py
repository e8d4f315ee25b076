"""Quantities and interventions for research, each a short object on public names of the layers.

>>> from backprop.research import Zero, integrated_gradients, lrp
"""

from backprop.research.alignment import AlignmentAngle, alignment_angles
from backprop.research.attribution import (
    gradient,
    gradient_times_input,
    guided_backpropagation,
    integrated_gradients,
    saliency,
)
from backprop.research.credit import (
    Backpropagation,
    CreditRule,
    FeedbackAlignment,
    KolenPollack,
    SignSymmetry,
    WeightMirror,
)
from backprop.research.direct import DRTP, DirectFeedbackAlignment
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
from backprop.research.kernel import gradient_gram, ntk
from backprop.research.lrp import lrp
from backprop.research.lrp_rules import (
    LRP0,
    LRPAlphaBeta,
    LRPBox,
    LRPEpsilon,
    LRPGamma,
    Rule,
)
from backprop.research.patching import Ablate, Patch, activations
from backprop.research.per_example import ExampleGradients

__all__ = [
    "Ablate",
    "AlignmentAngle",
    "Backpropagation",
    "Clamp",
    "ClampNorm",
    "CreditRule",
    "DRTP",
    "DirectFeedbackAlignment",
    "ExampleGradients",
    "FeedbackAlignment",
    "Intervention",
    "KolenPollack",
    "LRP0",
    "LRPAlphaBeta",
    "LRPBox",
    "LRPEpsilon",
    "LRPGamma",
    "Noise",
    "Patch",
    "Project",
    "Quantise",
    "Replace",
    "Reverse",
    "Rule",
    "SignSymmetry",
    "WeightMirror",
    "Zero",
    "activations",
    "alignment_angles",
    "gradient",
    "gradient_gram",
    "gradient_times_input",
    "guided_backpropagation",
    "integrated_gradients",
    "lrp",
    "ntk",
    "project_conflicts",
    "saliency",
]
