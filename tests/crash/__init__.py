"""Trainings that are killed, and go on: ``python -m tests.crash``, which is `make crash-test`."""
