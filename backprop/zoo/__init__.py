"""The bug zoo: twenty broken layers to find the fault in and mend, graded by `check_layer`.

``python -m backprop.zoo`` shows them. For teaching: each layer says at its head what it is meant to
compute, and has one fault, of a kind that happens.
"""

from backprop.zoo.exhibits import EXHIBITS, Exhibit
from backprop.zoo.grade import Grade, grade

__all__ = ["EXHIBITS", "Exhibit", "Grade", "grade"]
