"""Credit travels as one reward a token: what is read back is what was written, and advantages are OSPOTrainer's."""

import dataclasses

import numpy as np
import pytest

from ospo_agents import AgentError, CreditedCompletion
from ospo_agents.advantages import REDISTRIBUTIONS, make_redistribution
from ospo_agents.answers import TokenMap
from ospo_agents.integrations.token_rewards import (
    CARRIED,
    advantages_of_token_rewards,
    carried_redistribution,
    joined_segments,
    read_token_rewards,
    token_rewards,
)
from stored_rollouts import stored_rollouts

ONE = np.zeros(1, dtype=np.int64)


def completion(segment, credit, reward=None, separator=()):
    """A completion of tokens with these segments; ``separator`` names tokens."""
    segment, credit = np.array(segment, dtype=np.int64), np.array(credit, dtype=np.float64)
    flags = np.isin(np.arange(len(segment)), separator)
    return CreditedCompletion(
        reward=float(credit.sum() if reward is None else reward),
        credit=credit,
        phrases=[str(number) for number in range(len(credit))],
        token_ids=list(range(len(segment))),
        tokens=TokenMap(segment, np.zeros(len(segment), dtype=np.int64), flags),
        solution="shapley",
        unions_matter=False,
        calls=None,
    )


def rows(completions, width=None, left=False):
    """Rewards (B, T) with zeros behind each row, or before it."""
    written = [token_rewards(one) for one in completions]
    padded = np.zeros((len(written), width or max(map(len, written))), dtype=np.float32)
    for place, row in zip(padded, written, strict=True):
        place[len(place) - len(row) if left else 0 :][: len(row)] = row
    return padded


def read(one, **padding):
    rewards = rows([one], **padding)
    with pytest.warns(UserWarning, match="alone in their group"):
        return read_token_rewards(rewards, rewards != 0, ONE)


def test_rewards_lie_where_segments_end():
    written = token_rewards(completion([-1, 0, 0, -1, 1, -1], [0.25, 0.5], separator=[3, 5]))
    np.testing.assert_array_equal(written, [2.0**-122, 2.0**-62, 0.25, 2.0**-92, 0.5, 2.0**-92])
    assert written.dtype == np.float32
    assert written.sum() == 0.75


def test_a_credit_of_zero_keeps_its_boundary():
    """Rewards of 0 alone would make one segment of both."""
    rollouts = read(completion([0, 0, 1, 1, -1], [0.0, 0.5]))
    np.testing.assert_array_equal(rollouts.segment, [[0, 0, 1, 1, -1]])
    np.testing.assert_array_equal(rollouts.credit, [[0.0, 0.5]])


def test_a_separator_within_a_segment_stays_one():
    rollouts = read(completion([0, -1, 0, -1, 1, -1], [0.25, -0.5], separator=[1, 3]))
    np.testing.assert_array_equal(rollouts.segment, [[0, -1, 0, -1, 1, -1]])
    np.testing.assert_array_equal(rollouts.separator, [[False, True, False, True, False, False]])


@pytest.mark.parametrize("left", [False, True])
def test_a_reward_that_is_not_the_sum_is_told_too(left):
    rollouts = read(completion([-1, 0, 1, -1], [0.25, 0.5], reward=0.6), width=7, left=left)
    np.testing.assert_allclose(rollouts.rewards, [0.6], rtol=1e-7)
    np.testing.assert_array_equal(rollouts.credit, [[0.25, 0.5]])
    segment = [-1, 0, 1, -1]
    np.testing.assert_array_equal(rollouts.segment, [[-1] * 3 + segment if left else segment + [-1] * 3])


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_read(seed):
    """Random completions: any credit, separators anywhere, rewards that are no sums, several in one batch."""
    rng = np.random.default_rng(seed)
    completions = []
    for _ in range(6):
        lengths = rng.integers(1, 4, size=rng.integers(0, 6))
        segment = np.concatenate([[-1], np.repeat(np.arange(len(lengths)), lengths), [-1, -1]])
        inside = np.flatnonzero((segment[1:-1] == segment[:-2]) & (segment[1:-1] == segment[2:])) + 1
        segment[inside] = -1
        credit = rng.normal(size=len(lengths)) * 10.0 ** rng.integers(-6, 1, size=len(lengths))
        credit[rng.random(len(credit)) < 0.2] = 0.0
        reward = None if rng.random() < 0.5 else rng.random()
        completions.append(completion(segment, credit, reward, separator=np.flatnonzero(segment < 0)[1:]))
    group = np.array([0, 1, 0, 1, 0, 1])
    rewards = rows(completions)
    rollouts = read_token_rewards(rewards, rewards != 0, group)
    for one, place in zip(completions, range(6), strict=True):
        length, count = len(one.tokens.segment), len(one.credit)
        np.testing.assert_array_equal(rollouts.segment[place, :length], one.tokens.segment)
        np.testing.assert_array_equal(rollouts.separator[place, :length], one.tokens.separator)
        np.testing.assert_allclose(rollouts.credit[place, :count], one.credit, rtol=1e-7, atol=2.0**-30)
        assert np.isnan(rollouts.credit[place, count:]).all()
        np.testing.assert_allclose(rollouts.rewards[place], one.reward, rtol=0, atol=3e-7)
        assert joined_segments(one) == 0


def test_a_rewrite_without_a_word_keeps_its_segment():
    rollouts = read(completion([-1, -1, -1], [0.0], reward=0.5, separator=[1]))
    np.testing.assert_array_equal(rollouts.credit, [[0.0]])
    np.testing.assert_array_equal(rollouts.segment, [[-1, -1, -1]])
    np.testing.assert_allclose(rollouts.rewards, [0.5])


@pytest.mark.parametrize(
    ("one", "credit", "reward"),
    [
        (completion([0, 2, -1], [0.25, 0.5, 0.125]), [0.75, 0.125], 0.875),  # no token of its own
        (completion([1, 2, -1], [0.25, 0.5, 0.125]), [0.75, 0.125], 0.875),  # and it is the first
        (completion([0, 1, 2], [0.25, 0.5, 0.125], reward=0.5), [0.25, 0.625], 0.5),  # no token for the reward
        (completion([0], [0.25], reward=0.5), [0.5], 0.5),
        (completion([-1], [0.25]), [], 0.25),  # a segment of separators that earns something
    ],
)
def test_what_does_not_fit_is_joined_and_counted(one, credit, reward):
    rollouts = read(one)
    np.testing.assert_array_equal(rollouts.credit, [credit])
    np.testing.assert_allclose(rollouts.rewards, [reward])
    assert joined_segments(one) == 1


def test_a_row_of_zeros_has_no_reward_and_no_segment():
    """A trainer writes it for a completion that was cut off."""
    rewards = rows([completion([0, 1, -1], [0.25, 0.5]), completion([0, -1, -1], [0.5])])
    rewards[1] = 0
    rollouts = read_token_rewards(rewards, np.ones((2, 3), dtype=bool), np.zeros(2, dtype=np.int64))
    np.testing.assert_array_equal(rollouts.rewards, [0.75, 0])
    assert np.isnan(rollouts.credit[1]).all()
    assert rollouts.mask.all()


@pytest.mark.parametrize("seed", range(3))
def test_changed_rewards_are_found(seed):
    """Half precision and rewards without credit; a number in between is no code."""
    one = completion([-1, 0, 0, 1, -1], [0.25, 0.5])
    mask, group = np.ones((2, 5), dtype=bool), np.zeros(2, dtype=np.int64)
    right = rows([one, one])
    read_token_rewards(right, mask, group)
    plain = np.zeros((2, 5), dtype=np.float32)
    plain[:, -1] = 0.75
    tiny = right.copy()
    tiny[1, 1] = 1e-38
    for wrong in (right.astype(np.float16), plain, tiny)[seed : seed + 1]:
        with pytest.raises(AgentError, match=r"expected a credit or a code at each token, but token \d of rollout \d"):
            read_token_rewards(wrong, mask, group)


def test_wrong_shapes_and_numbers_are_refused():
    one = completion([0, -1], [0.25])
    with pytest.raises(AgentError, match=r"expected rewards and a mask \(B, T\)"):
        read_token_rewards(rows([one]), np.ones((1, 3), dtype=bool), ONE)
    with pytest.raises(AgentError, match="expected finite credit and reward"):
        token_rewards(dataclasses.replace(one, credit=np.array([np.nan])))
    with pytest.raises(AgentError, match="expected a reward within 15 of the sum of credits"):
        token_rewards(dataclasses.replace(one, reward=16.0))


def test_a_text_of_thousands_of_segments_is_written_and_read():
    segment = np.append(np.repeat(np.arange(5000), 2), -1)
    rollouts = read(completion(segment, np.full(5000, 2e-4)))
    assert rollouts.credit.shape == (1, 5000)


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"scale_rewards": "none"},
        {"append": True},
        {"append": True, "solution": "leave_one_out"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "default",
)
def stored(request, tmp_path_factory):
    return request.param, stored_rollouts(tmp_path_factory.mktemp("run"), **request.param)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in CARRIED),
        ("additive", {"centring": "place", "separator_weight": 0.5}),
        ("additive", {"divisor": "reward", "word_weight": 0.5}),
        ("prop", {"scaling": "minmax"}),
    ],
)
def test_advantages_are_those_of_the_trainer(stored, name, settings):
    arguments, rollouts = stored
    expected = rollouts.advantages(make_redistribution(name, **settings))
    scale = arguments.get("scale_rewards", "group")
    for one, wanted in ((rollouts, expected), (rollouts.reversed(), expected[::-1])):
        advantages = advantages_of_token_rewards(
            rows(one.completions, one.mask.shape[1]),
            one.mask,
            one.prompt_ids,
            carried_redistribution(name, settings),
            scale_rewards=scale,
        )
        np.testing.assert_allclose(advantages, wanted, rtol=1e-6, atol=1e-6)
    assert all(joined_segments(one) == 0 for one in rollouts.completions)


def test_a_reward_added_on_the_way_changes_advantages(stored):
    """The negative control: the equality above is not one of any rewards."""
    arguments, rollouts = stored
    rewards = rows(rollouts.completions, rollouts.mask.shape[1])
    rewards[0, np.flatnonzero(rewards[0] > 0.01)[0]] += 0.05
    advantages = advantages_of_token_rewards(
        rewards,
        rollouts.mask,
        rollouts.prompt_ids,
        carried_redistribution("additive"),
        scale_rewards=arguments.get("scale_rewards", "group"),
    )
    assert np.abs(advantages - rollouts.advantages(make_redistribution("additive"))).max() > 1e-3


def test_what_does_not_travel_is_refused_by_name():
    refused = set(REDISTRIBUTIONS) - set(CARRIED)
    assert refused == {"potential", "tempo", "entropy_weights"}
    for name in refused:
        with pytest.raises(AgentError, match=f"redistribution {name} reads what rewards of tokens do not carry"):
            carried_redistribution(name)
    with pytest.raises(AgentError, match="twin_weight of additive reads the words of segments"):
        carried_redistribution("additive", {"twin_weight": 0.5})
    with pytest.raises(AgentError, match="unknown redistribution 'aditive'; did you mean 'additive'"):
        carried_redistribution("aditive")
