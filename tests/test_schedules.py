import math
from fractions import Fraction

import pytest

from backprop.core.config import from_config
from backprop.schedules import (
    ConstantRate,
    CosineDecay,
    ExponentialDecay,
    Schedule,
    StepDecay,
    Warmup,
)
from tests.support import name_of


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (ConstantRate(0.5), {0: 0.5, 3.7: 0.5, 1000: 0.5}),
        (StepDecay(0.8, 0.5, 10), {0: 0.8, 9.99: 0.8, 10: 0.4, 19.5: 0.4, 20: 0.2, 35: 0.1}),
        (StepDecay(1.0), {0: 1.0, 9: 1.0, 10: 0.1, 25.5: 0.01}),
        (ExponentialDecay(2.0, math.log(2)), {0: 2.0, 0.5: math.sqrt(2), 1: 1.0, 3: 0.25}),
        (CosineDecay(1.0, 12), {0: 1.0, 4: 0.75, 6: 0.5, 8: 0.25, 12: 0.0, 13: 0.0}),
        (CosineDecay(1.0, 12, final=0.2), {0: 1.0, 6: 0.6, 12: 0.2, 99: 0.2}),
        (Warmup(2, ConstantRate(0.4)), {0: 0.0, 0.5: 0.1, 1: 0.2, 2: 0.4, 7: 0.4}),
        (Warmup(2, StepDecay(1.0, 0.5, 3)), {0: 0.0, 1: 0.5, 2: 1.0, 4.9: 1.0, 5: 0.5, 8: 0.25}),
        (Warmup(0.5, CosineDecay(1.0, 2)), {0.25: 0.5, 0.5: 1.0, 1.5: 0.5, 2.5: 0.0}),
    ],
    ids=name_of,
)
def test_numbers(schedule, values):
    for epoch, eta in values.items():
        found = schedule(epoch)
        assert type(found) is float
        assert found == pytest.approx(eta, rel=1e-14, abs=1e-15)
    again = from_config(schedule.config())
    assert repr(again) == repr(schedule)
    assert [again(epoch) for epoch in values] == [schedule(epoch) for epoch in values]


def test_far_away_epochs():
    assert StepDecay(1.0)(1e9) == 0.0
    assert ExponentialDecay(1.0, 1.0)(1e9) == 0.0


@pytest.mark.parametrize("warmup", ["0.1", "0.3", "0.7", "1.1", "2.3", "3"])
@pytest.mark.parametrize("steps", [1, 3, 7, 10, 30, 1000])
def test_a_step_decay_after_a_warm_up_drops_at_the_exact_minibatch(warmup, steps):
    schedule = Warmup(float(warmup), StepDecay(8.0, factor=0.5, every=2))
    for step in range(9 * steps):
        epoch = step // steps + (step % steps) / steps  # as the trainer has it
        after = Fraction(step, steps) - Fraction(warmup)
        expected = 8 * epoch / float(warmup) if after < 0 else 8 * 0.5 ** (after // 2)
        assert schedule(epoch) == pytest.approx(expected, rel=1e-12, abs=0), (step, epoch)


def test_a_schedule_after_a_warm_up_ends_where_it_should():
    for tenths in range(1, 40):
        schedule = Warmup(tenths / 10, CosineDecay(1.0, 0.7, final=0.25))
        assert schedule((tenths + 7) / 10) == pytest.approx(0.25, rel=1e-15)
        assert schedule(tenths / 10) == pytest.approx(1, rel=1e-15)


def test_repr():
    assert repr(Warmup(5, CosineDecay(0.1, 30))) == (
        "Warmup(epochs=5.0, then=CosineDecay(eta=0.1, epochs=30.0))"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: ConstantRate(-0.1),
            ValueError,
            r"^ConstantRate: eta must be in \[0, inf\), got -0.1",
        ),
        (lambda: ConstantRate(None), TypeError, r"^ConstantRate: eta must be a number, got None"),
        (
            lambda: StepDecay(math.inf),
            ValueError,
            r"^StepDecay: eta must be in \[0, inf\), got inf",
        ),
        (
            lambda: StepDecay(0.1, factor=0.0),
            ValueError,
            r"^StepDecay: factor must be in \(0, 1\], got 0.0",
        ),
        (
            lambda: StepDecay(0.1, factor=1.5),
            ValueError,
            r"^StepDecay: factor must be in \(0, 1\], got 1.5",
        ),
        (
            lambda: StepDecay(0.1, every=0),
            ValueError,
            r"^StepDecay: every must be at least 1, got 0",
        ),
        (
            lambda: StepDecay(0.1, every=2.5),
            TypeError,
            r"^StepDecay: every must be an integer, got 2.5",
        ),
        (
            lambda: ExponentialDecay(0.1, -1),
            ValueError,
            r"^ExponentialDecay: rate must be in \[0, inf\), got -1",
        ),
        (
            lambda: CosineDecay(0.1, 0),
            ValueError,
            r"^CosineDecay: epochs must be in \(0, inf\), got 0",
        ),
        (
            lambda: CosineDecay(0.1, 5, -1),
            ValueError,
            r"^CosineDecay: final must be in \[0, inf\), got -1",
        ),
        (
            lambda: Warmup(0, ConstantRate(1)),
            ValueError,
            r"^Warmup: epochs must be in \(0, inf\), got 0",
        ),
        (lambda: Warmup(5, 0.1), TypeError, r"^Warmup: then must be a Schedule, got 0.1"),
        (
            lambda: ConstantRate(0.1)(-1),
            ValueError,
            r"^ConstantRate: epoch must be in \[0, inf\), got -1",
        ),
        (
            lambda: ConstantRate(0.1)("1"),
            TypeError,
            r"^ConstantRate: epoch must be a number, got '1'",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match=r"abstract class Schedule .*eta_at"):
        Schedule()
