"""Broken layers, and what is to be said of each: the property, and the equation."""

from tests.gradients.broken import derivatives, state

BROKEN = [*derivatives.BROKEN, *state.BROKEN]
