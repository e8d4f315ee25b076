"""The states of random generators as plain data."""

import copy
import json

import numpy as np
import pytest

from backprop.core.generators import generator_state, set_generator_state

BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


def draw(rng):
    return rng.random(3), rng.integers(2**32, size=3), rng.normal(), rng.permutation(7)


@pytest.mark.parametrize("bits", BITS)
def test_a_state_of_every_bit_generator_goes_through_json_and_on_to_the_bit(bits):
    rng = np.random.Generator(bits(5))
    rng.integers(2**32, size=3, dtype=np.uint32)  # leaves half of 64 bits over
    state = json.loads(json.dumps(generator_state(rng), allow_nan=False))
    expected = draw(rng)
    other = np.random.Generator(bits(6))
    set_generator_state(other, state)
    for one, two in zip(draw(other), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    assert generator_state(other) == generator_state(rng)


@pytest.mark.parametrize("bits", BITS)
def test_every_value_of_a_state_is_checked(bits):
    rng = np.random.Generator(bits(5))
    good = generator_state(rng)
    before = copy.deepcopy(good)

    def wrong(state):
        """Yield the state with one thing in it wrong, and then another."""
        for key in state:
            yield {k: v for k, v in state.items() if k != key}
            yield {**state, "more": 1}
            for value in (None, -1, 2**200, 10**400, 1.5, "x", [], {}, True, [None] * 700):
                yield {**state, key: value}
            if isinstance(state[key], dict):
                yield from ({**state, key: inner} for inner in wrong(state[key]))
            if isinstance(state[key], list):
                for value in (-1, 2**64, 0.5, None, [1], "1"):
                    yield {**state, key: [value, *state[key][1:]]}
                yield {**state, key: state[key][1:]}

    cases = [*wrong(good), None, [], 5, "PCG64"]
    if bits is np.random.MT19937:
        cases.append({**good, "state": {**good["state"], "pos": 625}})
    if bits is np.random.Philox:
        cases.append({**good, "buffer_pos": 5})
    for state in cases:
        with pytest.raises((TypeError, ValueError)):
            set_generator_state(rng, state)
        assert generator_state(rng) == before


def test_a_state_of_another_kind_names_both():
    with pytest.raises(ValueError, match="bit_generator must be 'PCG64', got 'PCG64DXSM'"):
        set_generator_state(
            np.random.Generator(np.random.PCG64(1)),
            generator_state(np.random.Generator(np.random.PCG64DXSM(1))),
        )
