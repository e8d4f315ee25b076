"""Curvature: Fisher and Gauss-Newton matrices, Hessian products, KFAC, whole-batch minimisers."""

from backprop.research.curvature.consolidation import ElasticWeightConsolidation
from backprop.research.curvature.kfac import KFAC
from backprop.research.curvature.kronecker import KroneckerFactors
from backprop.research.curvature.matrices import (
    EmpiricalFisher,
    Fisher,
    GaussNewton,
    MonteCarloFisher,
    gauss_newton_vector_product,
)
from backprop.research.curvature.outer_products import OuterProducts
from backprop.research.curvature.products import Hessian, hessian_vector_product
from backprop.research.curvature.spectrum import largest_eigenvalues
from backprop.research.curvature.whole_batch import WholeBatchTrainer

__all__ = [
    "KFAC",
    "ElasticWeightConsolidation",
    "EmpiricalFisher",
    "Fisher",
    "GaussNewton",
    "Hessian",
    "KroneckerFactors",
    "MonteCarloFisher",
    "OuterProducts",
    "WholeBatchTrainer",
    "gauss_newton_vector_product",
    "hessian_vector_product",
    "largest_eigenvalues",
]
