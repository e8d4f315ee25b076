"""What draws anew at each call is said not to be deterministic, and is not judged."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network, Quadratic
from backprop.gradients.check import check_gradients
from backprop.layers import Dense, Dropout, Layer, Sequential

X = np.array([0.3, -1.2, 2.1, 0.7])


class HiddenDropout(Layer):
    """A dropout whose generator nobody can wind back: it is not called rng."""

    def __init__(self, p: float = 0.5, fixed: bool = False) -> None:
        self.p, self.fixed = p, fixed
        self.generator = np.random.default_rng(0)

    def output_shape(self, input_shape):
        return input_shape

    def output(self, a_prev, mode):
        drawn = np.random.default_rng(3) if self.fixed else self.generator
        self.mask = (drawn.random(a_prev.shape) >= self.p) / (1 - self.p)
        return self.mask * a_prev

    def downstream(self, delta):
        return self.mask * delta


class Noisy(Quadratic):
    def cost_of_each(self, a, y):
        noise = 1e-6 * np.random.default_rng().standard_normal(a.shape[-1])
        return super().cost_of_each(a, y) + noise


def noisy_function(x):
    return (x**2).sum() + 1e-9 * np.random.default_rng().random()


def targets():
    yield HiddenDropout(), {"input_shape": (4,)}
    yield HiddenDropout(0.01), {"input_shape": (40,)}
    yield Sequential([Dense(4, 4, rng=0), HiddenDropout()]), {}
    yield Network([Dense(4, 5, rng=0), HiddenDropout(), Dense(5, 2, rng=1)], "quadratic"), {}
    yield Noisy(), {"input_shape": (3,)}
    yield Network([Dense(4, 2, "identity", rng=0)], Noisy()), {}
    yield noisy_function, {"x": X, "gradient": 2 * X}


@pytest.mark.parametrize(("target", "options"), list(targets()), ids=lambda one: type(one).__name__)
def test_what_draws_at_each_call_is_not_judged(target, options: dict):
    report = check_gradients(target, **options)
    assert report.verdict == "not judged"
    assert not report.passed
    assert all(array.not_judged.all() for array in report.arrays)
    assert "not deterministic: two evaluations differ by " in str(report)
    assert "WRONG" not in str(report)


def test_what_draws_from_a_generator_that_is_wound_back_is_judged():
    assert check_gradients(HiddenDropout(fixed=True), input_shape=(4,)).passed
    assert check_gradients(Dropout(0.5), input_shape=(4,)).passed
    assert check_gradients(lambda x: (x**2).sum() + 3.0, X, gradient=2 * X).passed


@pytest.mark.parametrize("calls", [3, 12, 25])
def test_what_changes_after_some_calls_is_not_judged(calls: int):
    called = []

    def f(x):
        called.append(1)
        return (x**2).sum() + (len(called) > calls)

    report = check_gradients(f, X, gradient=2 * X)
    assert report.verdict == "not judged"
    assert "not deterministic: " in str(report)


class Adding(Dense):
    def parameter_gradients(self, delta):
        self.nabla_w += delta @ self.a_prev.T
        self.nabla_b += delta.sum(axis=1, keepdims=True)


class NoisyBackward(Dense):
    def downstream(self, delta):
        return super().downstream(delta) * (1 + 1e-9 * np.random.default_rng().random())


class Moving(Dense):
    def downstream(self, delta):
        downstream = super().downstream(delta)
        self.w += 1e-3
        return downstream


class NoisySlope(Quadratic):
    def gradient(self, a, y):
        return super().gradient(a, y) * (1 + 1e-9 * np.random.default_rng().random())


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (Adding(3, 2, rng=0), "w: two backward passes in the same state differ by "),
        (NoisyBackward(3, 2, rng=0), "input: two backward passes in the same state differ by "),
        (Moving(3, 2, rng=0), "backward changes what forward computes, by "),
        (NoisySlope(), "a: two backward passes in the same state differ by "),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_backward_that_gives_another_gradient_the_second_time_is_wrong(target, line: str):
    report = check_gradients(target, input_shape=(3,))
    assert report.verdict == "wrong"
    assert any(found.startswith(line) for found in report.disagreements)
    assert line in str(report)
