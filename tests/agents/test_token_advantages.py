"""The advantages that other trainers compute are those of OSPOTrainer, on the same rollouts."""

import dataclasses

import numpy as np
import pytest

from ospo_agents import AgentError, token_advantages
from ospo_agents.advantages import REDISTRIBUTIONS, make_redistribution
from ospo_agents.group_advantages import SCALES, group_advantages
from stored_rollouts import stored_rollouts

WITHOUT_ENTROPY = sorted(set(REDISTRIBUTIONS) - {"entropy_weights"})


@pytest.fixture(scope="module", params=SCALES)
def stored(request, tmp_path_factory):
    return request.param, stored_rollouts(tmp_path_factory.mktemp("run"), scale_rewards=request.param)


@pytest.mark.parametrize("name", WITHOUT_ENTROPY)
def test_they_are_those_of_the_trainer(stored, name):
    scale, rollouts = stored
    expected = rollouts.advantages(make_redistribution(name))
    turned = rollouts.reversed()
    for one, wanted in ((rollouts, expected), (turned, expected[::-1])):
        advantages = token_advantages(one.completions, one.group, redistribution=name, scale_rewards=scale)
        np.testing.assert_allclose(advantages, wanted, rtol=1e-6, atol=1e-6)
    assert np.abs(expected).max() > 0.1


def test_settings_reach_the_redistribution(stored):
    scale, rollouts = stored
    settings = {"beta": 0.5, "twin_weight": 0.5, "separator_weight": 0.25}
    expected = rollouts.advantages(make_redistribution("additive", **settings))
    advantages = token_advantages(
        rollouts.completions, rollouts.group, redistribution_settings=settings, scale_rewards=scale
    )
    np.testing.assert_allclose(advantages, expected, rtol=1e-6, atol=1e-6)
    plain = token_advantages(rollouts.completions, rollouts.group, scale_rewards=scale)
    assert np.abs(plain - advantages).max() > 0.01


def test_other_credit_gives_other_advantages(stored):
    """The negative control of the equalities above."""
    scale, rollouts = stored
    first, *rest = rollouts.completions
    other = [dataclasses.replace(first, credit=first.credit[::-1] + 0.01 * np.arange(len(first.credit))), *rest]
    expected = rollouts.advantages(make_redistribution("additive"))
    advantages = token_advantages(other, rollouts.group, scale_rewards=scale)
    assert np.abs(advantages - expected).max() > 1e-3


def test_scales_are_those_of_hand():
    rewards, group = np.array([0.0, 2.0, 1.0, 6.0]), np.array([7, 3, 7, 3])
    centred = np.array([-0.5, -2.0, 0.5, 2.0])
    spread = {"group": np.array([0.5**0.5, 8**0.5, 0.5**0.5, 8**0.5]), "none": 1 - 1e-4, "batch": (20.75 / 3) ** 0.5}
    for scale in SCALES:
        advantages, _ = group_advantages(rewards, group, scale)
        np.testing.assert_allclose(advantages, centred / (spread[scale] + 1e-4), rtol=1e-12)


def test_what_is_missing_or_unknown_is_refused(stored):
    _, rollouts = stored
    completions, group = rollouts.completions, rollouts.group
    with pytest.raises(AgentError, match="entropy_weights needs entropy of the rollouts"):
        token_advantages(completions, group, redistribution="entropy_weights")
    with pytest.raises(AgentError, match="unknown scale of rewards 'groups'; did you mean 'group'"):
        token_advantages(completions, group, scale_rewards="groups")
    with pytest.raises(AgentError, match="expected group as whole numbers"):
        token_advantages(completions, group[1:])
    assert token_advantages([], np.zeros(0, dtype=np.int64)).shape == (0, 0)
