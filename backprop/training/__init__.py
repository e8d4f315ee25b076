"""Minibatch descent, its record, its checkpoints, and what can be hung on it."""
