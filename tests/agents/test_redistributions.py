"""What each redistribution reduces to, and what it does to a segment of a good or a bad answer."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ospo_agents.advantages import (
    REDISTRIBUTIONS,
    CreditedRollouts,
    additive,
    group_relative,
    pool_twins,
    potential,
    rank,
    return_to_go,
    signed,
)
from rollout_cases import BLIND, FORMS, VARIED, grpo, rollouts

CLOSE = {"rtol": 0, "atol": 1e-12}
SHARES = ["prop", "rank", "oar"]
PAIRS = np.array([0, 0, 1, 1])
TO_GRPO_OUTSIDE = sorted(set(REDISTRIBUTIONS) - {"potential", *BLIND})

# Reductions to GRPO, form by form; the negative control of each is rollouts whose credit varies.
CONSTANT = rollouts([[0.2, 0.2, 0.2], [0.2, 0.2], [0.2], [0.2, 0.2, 0.2, 0.2]])
CONSTANT_WITHIN = rollouts([[0.2, 0.2, 0.2], [-0.1, -0.1], [0.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
ONE_SEGMENT = rollouts([[0.2], [0.7], [-0.1], [0.0]])
TO_GRPO = {
    "prop": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "prop, minmax": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "rank": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "oar": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "scar": [ONE_SEGMENT],
    "additive": [CONSTANT],
    "additive, rollout": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "additive, beta 0": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT, VARIED],
    "signed": [ONE_SEGMENT],
    "return_to_go": [ONE_SEGMENT],
}


@pytest.mark.parametrize(("name", "batch"), [(name, batch) for name, those in TO_GRPO.items() for batch in those])
def test_reductions_to_grpo(name, batch):
    np.testing.assert_allclose(FORMS[name](batch), grpo(batch), **CLOSE)


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"additive, beta 0"}))
def test_credit_that_varies_is_not_grpo(name):
    assert np.abs(FORMS[name](VARIED) - grpo(VARIED)).max() > 0.05


def test_other_reductions():
    scored = ONE_SEGMENT.segment >= 0
    doubled = additive(ONE_SEGMENT, beta=0.5)
    np.testing.assert_allclose(doubled, np.where(scored, 1.5, 1.0) * grpo(ONE_SEGMENT), **CLOSE)
    np.testing.assert_allclose(signed(CONSTANT)[CONSTANT.segment >= 0], 0, atol=1e-12)
    np.testing.assert_allclose(signed(ONE_SEGMENT, centring="rollout")[scored], 0, atol=1e-12)
    assert np.abs(signed(CONSTANT_WITHIN)[CONSTANT_WITHIN.segment >= 0]).max() > 0.05


def test_return_to_go_with_prefix_credit_is_the_potential():
    """At boundaries known in advance, without normalisation, inside the scored span."""
    counted = replace(VARIED, whole=np.maximum(VARIED.segment, 0))
    scored = VARIED.segment >= 0
    np.testing.assert_allclose(return_to_go(VARIED, normalise=False)[scored], potential(counted)[scored], **CLOSE)
    late = potential(VARIED)[scored]  # a segment counts as whole one token later
    assert np.abs(return_to_go(VARIED, normalise=False)[scored] - late).max() > 0.05


@pytest.mark.parametrize("name", TO_GRPO_OUTSIDE)
def test_tokens_outside_the_scored_span_get_the_group_advantage(name):
    outside = VARIED.segment < 0
    advantages = FORMS[name](VARIED)
    np.testing.assert_array_equal(advantages[outside], grpo(VARIED)[outside])
    assert np.abs(advantages - grpo(VARIED))[~outside].max() > 0.05


def test_the_potential_is_whole_around_the_span_too():
    """Before the span it is the raw return; after it, the return less the worth of what was whole."""
    advantages = potential(VARIED)
    np.testing.assert_allclose(advantages[:, 0], VARIED.rewards, **CLOSE)
    np.testing.assert_allclose(advantages[0, -1], VARIED.rewards[0] - (0.5 - 0.2), **CLOSE)


@pytest.mark.parametrize("name", FORMS)
def test_padding_changes_nothing(name):
    wider = CreditedRollouts(
        VARIED.advantages,
        VARIED.rewards,
        np.pad(VARIED.credit, ((0, 0), (0, 2)), constant_values=np.nan),
        np.pad(VARIED.segment, ((0, 0), (0, 3)), constant_values=-1),
        np.pad(VARIED.mask, ((0, 0), (0, 3))),
        VARIED.group,
        tokens=np.pad(VARIED.tokens, ((0, 0), (0, 3))),
        entropy=np.pad(VARIED.entropy, ((0, 0), (0, 3)), constant_values=9.0),
    )
    advantages = FORMS[name](wider)
    np.testing.assert_allclose(advantages[:, :7], FORMS[name](VARIED), **CLOSE)
    np.testing.assert_array_equal(advantages[:, 7:], 0)
    masked = replace(VARIED, mask=VARIED.mask & (np.arange(7) < 3))
    assert (FORMS[name](masked)[:, 3:] == 0).all()


@pytest.mark.parametrize("name", FORMS)
def test_groups_do_not_see_each_other(name):
    pairs = replace(VARIED, group=PAIRS, advantages=group_relative(VARIED.rewards, PAIRS))
    louder = replace(pairs, credit=np.where(np.arange(4)[:, None] < 2, pairs.credit, 5 * pairs.credit))
    np.testing.assert_allclose(FORMS[name](pairs)[:2], FORMS[name](louder)[:2], **CLOSE)
    alone = CreditedRollouts(
        pairs.advantages[:2],
        pairs.rewards[:2],
        pairs.credit[:2],
        pairs.segment[:2],
        pairs.mask[:2],
        PAIRS[:2],
        tokens=pairs.tokens[:2],
        entropy=pairs.entropy[:2],
    )
    np.testing.assert_allclose(FORMS[name](pairs)[:2], FORMS[name](alone), **CLOSE)


def test_groups_would_matter():
    """The negative control: in one group of four the second pair moves the first."""
    louder = replace(VARIED, credit=np.where(np.arange(4)[:, None] < 2, VARIED.credit, 5 * VARIED.credit))
    assert np.abs(additive(VARIED)[:2] - additive(louder)[:2]).max() > 0.05


@pytest.mark.parametrize("name", [*SHARES, "prop, minmax"])
def test_shares_keep_the_mean_and_the_sign_of_the_group_advantage(name):
    advantages = FORMS[name](VARIED)
    for row, segment in enumerate(VARIED.segment):
        np.testing.assert_allclose(advantages[row][segment >= 0].mean(), VARIED.advantages[row], **CLOSE)
        assert (advantages[row] * VARIED.advantages[row] >= 0).all()


def token_of(batch, row, segment):
    return int(np.argmax(batch.segment[row] == segment))


def test_published_forms_blame_the_best_segment_of_a_bad_answer_and_sign_aware_ones_do_not():
    batch = rollouts([[0.3, 0.0], [0.6, 0.3]])
    helpful, other = token_of(batch, 0, 0), token_of(batch, 0, 1)
    for name in (*SHARES, "prop, minmax"):
        advantages = FORMS[name](batch)[0]
        assert advantages[helpful] < advantages[other] <= 0
    for name in ("additive", "additive, rollout", "signed", "signed, rollout"):
        advantages = FORMS[name](batch)[0]
        assert advantages[helpful] > advantages[other]


def test_a_harmful_segment_of_a_good_answer_goes_negative_in_sign_aware_forms_only():
    batch = rollouts([[0.9, -0.4], [0.1, 0.1]])
    harmful = token_of(batch, 0, 1)
    assert batch.advantages[0] > 0
    assert additive(batch)[0, harmful] < 0
    assert signed(batch)[0, harmful] < 0
    for name in (*SHARES, "prop, minmax"):
        assert FORMS[name](batch)[0, harmful] >= 0


def test_a_group_of_equal_rewards_still_teaches_in_sign_aware_forms():
    batch = rollouts([[0.4, -0.4], [0.0, 0.0]])
    for name in (*SHARES, "prop, minmax"):
        np.testing.assert_array_equal(FORMS[name](batch), 0)
    assert np.abs(additive(batch)).max() > 0.5
    assert np.abs(signed(batch)).max() > 0.5
    nothing = rollouts([[0.0, 0.0], [0.0]])
    for name in FORMS:
        np.testing.assert_array_equal(FORMS[name](nothing), 0)


def test_the_best_segment_gets_the_largest_share():
    """Fault 3 of the published code is not repeated: ranks run upward, and padding takes no part."""
    batch = rollouts([[0.1, 0.7, 0.7, 0.2], [0.0]], tokens=6)
    advantages = rank(batch)[0][[token_of(batch, 0, segment) for segment in range(4)]]
    np.testing.assert_allclose(advantages / batch.advantages[0], np.array([1, 3.5, 3.5, 2]) / 2.5, **CLOSE)


@pytest.mark.parametrize("name", [*SHARES, "prop, minmax"])
def test_credit_equal_to_rounding_is_equal(name):
    """Solutions sum in different orders; noise of 1e-17 must not decide who gets all."""
    noisy = replace(CONSTANT, credit=CONSTANT.credit - 0.3 + np.random.default_rng(0).normal(size=(4, 4)) * 1e-17)
    np.testing.assert_allclose(FORMS[name](noisy), grpo(CONSTANT), **CLOSE)
    noisy = replace(CONSTANT, credit=CONSTANT.credit - 0.3 + np.random.default_rng(0).normal(size=(4, 4)) * 1e-5)
    assert np.abs(FORMS[name](noisy) - grpo(CONSTANT)).max() > 0.05


@pytest.mark.parametrize("name", FORMS)
def test_shuffled_rollouts_get_the_shuffled_advantages(name):
    """Groups of any size, in any order, whatever their numbers: bit for bit."""
    rng = np.random.default_rng(5)
    credit = [rng.normal(size=rng.integers(1, 5)).tolist() for _ in range(40)]
    group = np.repeat([9, 2, 5, 7], [2, 3, 15, 20])
    ordered = rollouts(credit, group=group)
    order = rng.permutation(40)
    shuffled = CreditedRollouts(
        group_relative(ordered.rewards[order], group[order]),
        ordered.rewards[order],
        ordered.credit[order],
        ordered.segment[order],
        ordered.mask[order],
        group[order],
        tokens=ordered.tokens[order],
        entropy=ordered.entropy[order],
    )
    np.testing.assert_array_equal(FORMS[name](shuffled), FORMS[name](ordered)[order])
    np.testing.assert_array_equal(shuffled.advantages, ordered.advantages[order])


def test_groups_are_told_by_number_and_not_by_place():
    """The negative control: rollouts that are shuffled without their groups get other advantages."""
    batch = replace(VARIED, group=PAIRS, advantages=group_relative(VARIED.rewards, PAIRS))
    order = np.array([0, 2, 1, 3])
    apart = replace(batch, credit=batch.credit[order], segment=batch.segment[order], rewards=batch.rewards[order])
    assert np.abs(additive(apart) - additive(batch)[order]).max() > 0.05


WORDS = VARIED.segment >= 0
SEPARATED = replace(
    VARIED,
    segment=np.where(np.arange(7) == 3, -1, VARIED.segment),
    separator=np.broadcast_to((np.arange(7) == 3) | (np.arange(7) == 6), (4, 7)),
)


def test_weights_of_the_group_advantage_on_words_and_on_separators():
    z = additive(SEPARATED) - grpo(SEPARATED)
    words = SEPARATED.segment >= 0
    expected = np.where(words, 0.2, np.where(SEPARATED.separator, 0.5, 1.0)) * grpo(SEPARATED) + z
    laid = additive(SEPARATED, word_weight=0.2, separator_weight=0.5)
    np.testing.assert_allclose(laid, expected, **CLOSE)
    np.testing.assert_array_equal(laid[:, 0], SEPARATED.advantages)  # text before the rewrite keeps A
    assert np.abs(laid - additive(SEPARATED, word_weight=0.5, separator_weight=0.2)).max() > 0.05
    np.testing.assert_array_equal(additive(SEPARATED), additive(replace(SEPARATED, separator=None)))
    np.testing.assert_array_equal(additive(VARIED, word_weight=0)[WORDS], signed(VARIED)[WORDS])


def test_credit_over_the_spread_of_rewards():
    credit = VARIED.credit
    spread = VARIED.rewards.std(ddof=1)
    for centring, mean in (
        ("group", np.nanmean(credit)),
        ("rollout", np.nanmean(credit, axis=1, keepdims=True)),
        ("none", 0),
    ):
        z = np.take_along_axis((credit - mean) * spread / (spread**2 + 1e-4), np.maximum(VARIED.segment, 0), axis=1)
        laid = additive(VARIED, divisor="reward", centring=centring)
        np.testing.assert_allclose(laid[WORDS], (grpo(VARIED) + z)[WORDS], **CLOSE)
        assert np.abs(laid - additive(VARIED, centring=centring)).max() > 0.05
    equal = rollouts([[0.4, -0.4], [0.0, 0.0]])  # a group of equal rewards teaches nothing
    np.testing.assert_array_equal(additive(equal, divisor="reward"), 0)
    assert np.abs(additive(equal)).max() > 0.5


@pytest.mark.parametrize("form", [additive, signed, return_to_go, partial(additive, divisor="reward")])
def test_credit_is_in_the_units_of_the_advantages(form):
    """Rewards of another scale, advantages that are not scaled: credit keeps its part in them, also in a batch."""
    scaled = form(VARIED)
    spread = VARIED.rewards.std(ddof=1) + 1e-4
    unscaled = replace(VARIED, advantages=VARIED.advantages * spread, per_reward=np.ones(4))
    np.testing.assert_allclose(form(unscaled), scaled * spread, rtol=0, atol=1e-12)
    told = replace(VARIED, per_reward=np.full(4, 1 / spread))
    np.testing.assert_allclose(form(told), scaled, rtol=0, atol=1e-12)
    swamped = form(replace(unscaled, per_reward=None))  # the negative control: as it was
    assert np.abs(swamped - scaled * spread)[WORDS].max() > 0.05


def test_twins_are_drawn_together_within_their_group_only():
    phrase = np.array([[1, 2, 3], [1, 4, -1], [5, 2, -1], [1, 6, 7]])
    batch = replace(VARIED, phrase=phrase, group=PAIRS)
    pooled = pool_twins(batch, 0.5)
    np.testing.assert_allclose(pooled, [[0.45, -0.2, 0.1], [0.35, 0.3, np.nan], [-0.1, 0.2, np.nan], [0.9, 0, 0.1]])
    together = pool_twins(replace(batch, group=VARIED.group), 1.0)  # .5, .3 and .9 in one group; -.2 and .2
    expected = [[17 / 30, 0, 0.1], [17 / 30, 0.3, np.nan], [-0.1, 0, np.nan], [17 / 30, 0, 0.1]]
    np.testing.assert_allclose(together, expected, **CLOSE)
    assert pool_twins(batch, 0.0) is batch.credit
    by_hand = additive(replace(batch, credit=pooled))
    np.testing.assert_array_equal(additive(batch, twin_weight=0.5), by_hand)
    assert np.abs(additive(batch) - by_hand).max() > 0.05


def test_mean_of_a_place_by_hand():
    """First segments are compared with first segments, second with second; a rollout without one takes no part."""
    credit = np.array([[1.0, 4.0], [3.0, np.nan], [5.0, 8.0]])
    rollouts = CreditedRollouts(
        advantages=np.zeros(3),
        rewards=np.array([0.0, 1.0, 2.0]),
        credit=credit,
        segment=np.array([[0, 1], [0, -1], [0, 1]]),
        mask=np.array([[True, True], [True, False], [True, True]]),
        group=np.array([0, 0, 0]),
    )
    laid = additive(rollouts, word_weight=0.0, centring="place", divisor="reward")
    scale = 1 / (1 + 0.01**2)  # the spread of 0, 1, 2 is 1
    np.testing.assert_allclose(laid, scale * np.array([[-2.0, -2.0], [0.0, 0.0], [2.0, 2.0]]))
