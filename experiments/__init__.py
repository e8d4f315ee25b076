"""Experiments: what the library is for, each run by `python -m experiments.<folder>.<name>`."""
