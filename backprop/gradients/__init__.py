"""Gradients checked against central differences, the complex step and the contract."""
