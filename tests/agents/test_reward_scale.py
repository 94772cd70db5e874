"""By how much TRL's advantages rise with a reward: put together, the factors give TRL's own advantages."""

import numpy as np
import pytest

from ospo_agents.advantages import group_relative
from ospo_agents.reward_scale import advantage_per_reward

RNG = np.random.default_rng(0)
GROUP = np.repeat([0, 1, 2], 4)
REWARDS = np.stack([RNG.random(12), 5 * RNG.normal(size=12), RNG.random(12) < 0.5], axis=1)
WEIGHTS = np.array([1.0, 0.5, 2.0])


def mean_and_spread(values):
    grouped = values.reshape(3, 4)
    return grouped.mean(axis=1).repeat(4), grouped.std(axis=1, ddof=1).repeat(4)


def by_formula(scale, aggregation):
    """TRL's advantages as its documentation defines them."""
    if aggregation == "normalize_then_sum":
        total = np.zeros(12)
        for column, weight in zip(REWARDS.T, WEIGHTS, strict=True):
            mean, spread = mean_and_spread(column)
            total += weight * (column - mean) / (spread + 1e-4)
        return (total - total.mean()) / (total.std(ddof=1) + 1e-4)
    total = REWARDS @ WEIGHTS
    mean, spread = mean_and_spread(total)
    return (total - mean) / {"group": spread + 1e-4, "batch": total.std(ddof=1) + 1e-4, "none": 1.0}[scale]


@pytest.mark.parametrize(
    ("scale", "aggregation"),
    [*((scale, "sum_then_normalize") for scale in ("group", "batch", "none")), ("group", "normalize_then_sum")],
)
def test_the_parts_of_all_functions_sum_to_the_advantage(scale, aggregation):
    parts = np.zeros(12)
    for place in range(3):
        first = np.roll(REWARDS, -place, axis=1), np.roll(WEIGHTS, -place)
        per_reward = advantage_per_reward(*first, GROUP, scale, aggregation)
        parts += per_reward * group_relative(REWARDS[:, place], GROUP, scale=False)
    np.testing.assert_allclose(parts, by_formula(scale, aggregation), rtol=0, atol=1e-12)
    other = advantage_per_reward(REWARDS, WEIGHTS, GROUP % 2, scale, aggregation)
    assert scale != "group" or np.abs(other - per_reward).max() > 1e-3


def test_one_function_of_weight_one_is_grpo():
    rewards = REWARDS[:, :1]
    per_reward = advantage_per_reward(rewards, np.ones(1), GROUP, "group")
    centred = group_relative(rewards[:, 0], GROUP, scale=False)
    np.testing.assert_allclose(per_reward * centred, group_relative(rewards[:, 0], GROUP), rtol=0, atol=1e-12)


def test_a_function_that_gave_no_reward_counts_as_trl_counts_it():
    some = REWARDS.copy()
    some[3, 1] = np.nan
    zero = np.where(np.isnan(some), 0.0, some)
    np.testing.assert_array_equal(
        advantage_per_reward(some, WEIGHTS, GROUP, "group"), advantage_per_reward(zero, WEIGHTS, GROUP, "group")
    )
    assert np.isfinite(advantage_per_reward(some, WEIGHTS, GROUP, "group", "normalize_then_sum")).all()
