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
from backprop.research.curvature import (
    KFAC,
    ElasticWeightConsolidation,
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    Hessian,
    KroneckerFactors,
    MonteCarloFisher,
    OuterProducts,
    WholeBatchTrainer,
    gauss_newton_vector_product,
    hessian_vector_product,
    largest_eigenvalues,
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
    "ElasticWeightConsolidation",
    "EmpiricalFisher",
    "ExampleGradients",
    "FeedbackAlignment",
    "Fisher",
    "GaussNewton",
    "Hessian",
    "Intervention",
    "KFAC",
    "KolenPollack",
    "KroneckerFactors",
    "LRP0",
    "LRPAlphaBeta",
    "LRPBox",
    "LRPEpsilon",
    "LRPGamma",
    "MonteCarloFisher",
    "Noise",
    "OuterProducts",
    "Patch",
    "Project",
    "Quantise",
    "Replace",
    "Reverse",
    "Rule",
    "SignSymmetry",
    "WeightMirror",
    "WholeBatchTrainer",
    "Zero",
    "activations",
    "alignment_angles",
    "gauss_newton_vector_product",
    "gradient",
    "gradient_gram",
    "gradient_times_input",
    "guided_backpropagation",
    "hessian_vector_product",
    "integrated_gradients",
    "largest_eigenvalues",
    "lrp",
    "ntk",
    "project_conflicts",
    "saliency",
]
