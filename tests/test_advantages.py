"""Advantages of rollouts and tokens: by hand, in their reductions to GRPO, and in what each form does to a segment."""

from dataclasses import replace

import numpy as np
import pytest

from agents.advantages import (
    PAPER,
    REDISTRIBUTIONS,
    CreditedRollouts,
    additive,
    group_relative,
    make_redistribution,
    potential,
    prop,
    rank,
    return_to_go,
    signed,
)
from agents.credit import make_solution
from agents.errors import AgentError
from agents.segments import SEGMENTERS

NAN = np.nan
CLOSE = {"rtol": 0, "atol": 1e-12}
UP = 0.2 / (0.2 * np.sqrt(2) + 1e-4)  # the advantage of a reward of 0.6 beside one of 0.2
SPREAD = np.sqrt(0.14 / 3) + 1e-4  # sample deviation of the credit 0.4, 0.2, 0.3, -0.1

# Two rollouts of one prompt. The first thinks for a token, then writes two segments; the second is a token shorter.
EXAMPLE = CreditedRollouts(
    advantages=np.array([UP, -UP]),
    rewards=np.array([0.6, 0.2]),
    credit=np.array([[0.4, 0.2], [0.3, -0.1]]),
    segment=np.array([[-1, 0, 0, 1, -1], [0, 1, 1, 1, -1]]),
    mask=np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], dtype=bool),
    group_size=2,
)
SHARED = {
    "additive": np.array(
        [[UP, UP + 0.2 / SPREAD, UP + 0.2 / SPREAD, UP, UP], [-UP + 0.1 / SPREAD, *[-UP - 0.3 / SPREAD] * 3, 0]]
    ),
    "signed": np.array([[UP, 0.2 / SPREAD, 0.2 / SPREAD, 0, UP], [0.1 / SPREAD, *[-0.3 / SPREAD] * 3, 0]]),
    "prop": np.array([[UP, 1.2 * UP, 1.2 * UP, 0.6 * UP, UP], [-4 * UP, 0, 0, 0, 0]]),
    "rank": np.array([[UP, 1.2 * UP, 1.2 * UP, 0.6 * UP, UP], [-1.6 * UP, *[-0.8 * UP] * 3, 0]]),
    "potential": np.array([[0.6, 0.6, 0.6, 0.6, 0.2], [0.2, 0.2, -0.1, -0.1, 0]]),
}
TO_GO = np.array([0.375, -0.025, -0.025, -0.325])  # 0.6, 0.2, 0.2, -0.1 less their mean
TO_GO = TO_GO / (np.sqrt((TO_GO**2).sum() / 3) + 1e-4)
SHARED["return_to_go"] = np.array([[UP, TO_GO[0], TO_GO[0], TO_GO[1], UP], [TO_GO[2], *[TO_GO[3]] * 3, 0]])
SHARES = ["prop", "rank"]
TO_GRPO_OUTSIDE = sorted(set(REDISTRIBUTIONS) - {"potential"})


def rollouts(credit, group_size=None, seed=0, tokens=7):
    """Rollouts with that credit (a list of lists), efficient rewards, and tokens laid on segments at random."""
    rng = np.random.default_rng(seed)
    counts = [len(row) for row in credit]
    padded = np.full((len(credit), max(counts)), NAN)
    segment = np.full((len(credit), tokens), -1)
    for row, values in enumerate(credit):
        padded[row, : counts[row]] = values
        if values:
            lengths = rng.multinomial(tokens - 2 - counts[row], np.full(counts[row], 1 / counts[row])) + 1
            segment[row, 1:-1] = np.repeat(np.arange(counts[row]), lengths)
    rewards = np.array([sum(values) for values in credit], dtype=float)
    size = group_size or len(credit)
    return CreditedRollouts(
        group_relative(rewards, size), rewards, padded, segment, np.ones(segment.shape, dtype=bool), size
    )


def grpo(given):
    return np.where(given.mask, given.advantages[:, None], 0.0)


@pytest.mark.parametrize("name", REDISTRIBUTIONS)
def test_by_hand(name):
    np.testing.assert_allclose(REDISTRIBUTIONS[name](EXAMPLE), SHARED[name], **CLOSE)


def test_settings_by_hand():
    np.testing.assert_allclose(
        prop(EXAMPLE, scaling="minmax"), [[UP, 1.5 * UP, 1.5 * UP, 0, UP], [-4 * UP, 0, 0, 0, 0]], **CLOSE
    )
    half = additive(EXAMPLE, beta=0.5)
    np.testing.assert_allclose(half, (SHARED["additive"] + grpo(EXAMPLE)) / 2, **CLOSE)
    np.testing.assert_allclose(additive(EXAMPLE, beta=0.0), grpo(EXAMPLE), **CLOSE)
    spread = np.sqrt((2 * 0.01 + 2 * 0.04) / 3) + 1e-4  # 0.1, -0.1, 0.2, -0.2
    expected = [[UP, 0.1 / spread, 0.1 / spread, -0.1 / spread, UP], [0.2 / spread, *[-0.2 / spread] * 3, 0]]
    np.testing.assert_allclose(signed(EXAMPLE, centring="rollout"), expected, **CLOSE)
    np.testing.assert_allclose(
        return_to_go(EXAMPLE, normalise=False), [[UP, 0.6, 0.6, 0.2, UP], [0.2, -0.1, -0.1, -0.1, 0]], **CLOSE
    )
    known = replace(EXAMPLE, whole=np.array([[0, 0, 0, 1, 2], [0, 1, 1, 1, 2]]))
    np.testing.assert_allclose(potential(known), [[0.6, 0.6, 0.6, 0.2, 0.0], [0.2, -0.1, -0.1, -0.1, 0]], **CLOSE)


def test_group_relative_is_trl():
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("trl.trainer.utils")
    rewards = np.random.default_rng(0).random(24)
    grouped = torch.from_numpy(rewards).view(-1, 8)
    deviation = utils.nanstd(grouped, dim=1)[:, None]
    expected = ((grouped - grouped.mean(dim=1, keepdim=True)) / (deviation + 1e-4)).view(-1).numpy()
    np.testing.assert_allclose(group_relative(rewards, 8), expected, rtol=0, atol=1e-5)  # TRL counts in float32
    population = rewards.reshape(-1, 8).std(axis=1, ddof=0)[:, None]
    wrong = (rewards.reshape(-1, 8) - rewards.reshape(-1, 8).mean(axis=1, keepdims=True)) / (population + 1e-4)
    assert np.abs(wrong.ravel() - expected).max() > 1e-2


def test_group_relative_of_equal_rewards_and_of_one_rollout_is_zero():
    np.testing.assert_allclose(group_relative(np.full(4, 0.3), 4), 0, atol=1e-11)
    np.testing.assert_array_equal(group_relative(np.array([0.3, 0.9]), 1), [0, 0])
    assert group_relative(np.zeros(0), 4).shape == (0,)


# Reductions to GRPO, form by form; the negative control of each is rollouts whose credit varies.
VARIED = rollouts([[0.5, -0.2, 0.1], [0.3, 0.3], [-0.1, 0.2], [0.9, 0.0, 0.1]])
CONSTANT = rollouts([[0.2, 0.2, 0.2], [0.2, 0.2], [0.2], [0.2, 0.2, 0.2, 0.2]])
CONSTANT_WITHIN = rollouts([[0.2, 0.2, 0.2], [-0.1, -0.1], [0.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
ONE_SEGMENT = rollouts([[0.2], [0.7], [-0.1], [0.0]])
TO_GRPO = {
    "prop": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "prop, minmax": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "rank": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "additive": [CONSTANT],
    "additive, rollout": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT],
    "additive, beta 0": [CONSTANT, CONSTANT_WITHIN, ONE_SEGMENT, VARIED],
    "signed": [ONE_SEGMENT],
    "return_to_go": [ONE_SEGMENT],
}
FORMS = {
    **REDISTRIBUTIONS,
    "prop, minmax": make_redistribution("prop", scaling="minmax"),
    "additive, rollout": make_redistribution("additive", centring="rollout"),
    "additive, beta 0": make_redistribution("additive", beta=0),
    "signed, rollout": make_redistribution("signed", centring="rollout"),
}


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, those in TO_GRPO.items() for given in those])
def test_reductions_to_grpo(name, given):
    np.testing.assert_allclose(FORMS[name](given), grpo(given), **CLOSE)


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
    known = replace(VARIED, whole=np.maximum(VARIED.segment, 0))
    scored = VARIED.segment >= 0
    np.testing.assert_allclose(return_to_go(VARIED, normalise=False)[scored], potential(known)[scored], **CLOSE)
    late = potential(VARIED)[scored]  # a segment counts as whole one token later
    assert np.abs(return_to_go(VARIED, normalise=False)[scored] - late).max() > 0.05


@pytest.mark.parametrize("name", TO_GRPO_OUTSIDE)
def test_tokens_outside_the_scored_span_get_the_group_advantage(name):
    outside = VARIED.segment < 0
    laid = FORMS[name](VARIED)
    np.testing.assert_array_equal(laid[outside], grpo(VARIED)[outside])
    assert np.abs(laid - grpo(VARIED))[~outside].max() > 0.05


def test_the_potential_is_whole_around_the_span_too():
    """Before the span it is the raw return; after it, the return less the worth of what was whole."""
    laid = potential(VARIED)
    np.testing.assert_allclose(laid[:, 0], VARIED.rewards, **CLOSE)
    np.testing.assert_allclose(laid[0, -1], VARIED.rewards[0] - (0.5 - 0.2), **CLOSE)


@pytest.mark.parametrize("name", FORMS)
def test_padding_changes_nothing(name):
    wider = CreditedRollouts(
        VARIED.advantages,
        VARIED.rewards,
        np.pad(VARIED.credit, ((0, 0), (0, 2)), constant_values=NAN),
        np.pad(VARIED.segment, ((0, 0), (0, 3)), constant_values=-1),
        np.pad(VARIED.mask, ((0, 0), (0, 3))),
        VARIED.group_size,
    )
    laid = FORMS[name](wider)
    np.testing.assert_allclose(laid[:, :7], FORMS[name](VARIED), **CLOSE)
    np.testing.assert_array_equal(laid[:, 7:], 0)
    masked = replace(VARIED, mask=VARIED.mask & (np.arange(7) < 3))
    assert (FORMS[name](masked)[:, 3:] == 0).all()


@pytest.mark.parametrize("name", FORMS)
def test_groups_do_not_see_each_other(name):
    pairs = replace(VARIED, group_size=2, advantages=group_relative(VARIED.rewards, 2))
    louder = replace(pairs, credit=np.where(np.arange(4)[:, None] < 2, pairs.credit, 5 * pairs.credit))
    np.testing.assert_allclose(FORMS[name](pairs)[:2], FORMS[name](louder)[:2], **CLOSE)
    alone = CreditedRollouts(
        pairs.advantages[:2], pairs.rewards[:2], pairs.credit[:2], pairs.segment[:2], pairs.mask[:2], 2
    )
    np.testing.assert_allclose(FORMS[name](pairs)[:2], FORMS[name](alone), **CLOSE)


def test_groups_would_matter():
    """The negative control: in one group of four the second pair moves the first."""
    louder = replace(VARIED, credit=np.where(np.arange(4)[:, None] < 2, VARIED.credit, 5 * VARIED.credit))
    assert np.abs(additive(VARIED)[:2] - additive(louder)[:2]).max() > 0.05


@pytest.mark.parametrize("name", [*SHARES, "prop, minmax"])
def test_shares_keep_the_mean_and_the_sign_of_the_group_advantage(name):
    laid = FORMS[name](VARIED)
    for row, segment in enumerate(VARIED.segment):
        np.testing.assert_allclose(laid[row][segment >= 0].mean(), VARIED.advantages[row], **CLOSE)
        assert (laid[row] * VARIED.advantages[row] >= 0).all()


def token_of(given, row, segment):
    return int(np.argmax(given.segment[row] == segment))


def test_published_forms_blame_the_best_segment_of_a_bad_answer_and_sign_aware_ones_do_not():
    given = rollouts([[0.3, 0.0], [0.6, 0.3]])
    helpful, other = token_of(given, 0, 0), token_of(given, 0, 1)
    for name in (*SHARES, "prop, minmax"):
        laid = FORMS[name](given)[0]
        assert laid[helpful] < laid[other] <= 0
    for name in ("additive", "additive, rollout", "signed", "signed, rollout"):
        laid = FORMS[name](given)[0]
        assert laid[helpful] > laid[other]


def test_a_harmful_segment_of_a_good_answer_goes_negative_in_sign_aware_forms_only():
    given = rollouts([[0.9, -0.4], [0.1, 0.1]])
    harmful = token_of(given, 0, 1)
    assert given.advantages[0] > 0
    assert additive(given)[0, harmful] < 0
    assert signed(given)[0, harmful] < 0
    for name in (*SHARES, "prop, minmax"):
        assert FORMS[name](given)[0, harmful] >= 0


def test_a_group_of_equal_rewards_still_teaches_in_sign_aware_forms():
    given = rollouts([[0.4, -0.4], [0.0, 0.0]])
    for name in (*SHARES, "prop, minmax"):
        np.testing.assert_array_equal(FORMS[name](given), 0)
    assert np.abs(additive(given)).max() > 0.5
    assert np.abs(signed(given)).max() > 0.5
    nothing = rollouts([[0.0, 0.0], [0.0]])
    for name in FORMS:
        np.testing.assert_array_equal(FORMS[name](nothing), 0)


def test_the_best_segment_gets_the_largest_share():
    """Fault 3 of the published code is not repeated: ranks run upward, and padding takes no part."""
    given = rollouts([[0.1, 0.7, 0.7, 0.2], [0.0]], tokens=6)
    laid = rank(given)[0][[token_of(given, 0, segment) for segment in range(4)]]
    np.testing.assert_allclose(laid / given.advantages[0], np.array([1, 3.5, 3.5, 2]) / 2.5, **CLOSE)


@pytest.mark.parametrize("name", [*SHARES, "prop, minmax"])
def test_credit_equal_to_rounding_is_equal(name):
    """Solutions sum in different orders; noise of 1e-17 must not decide who gets all."""
    noisy = replace(CONSTANT, credit=CONSTANT.credit - 0.3 + np.random.default_rng(0).normal(size=(4, 4)) * 1e-17)
    np.testing.assert_allclose(FORMS[name](noisy), grpo(CONSTANT), **CLOSE)
    noisy = replace(CONSTANT, credit=CONSTANT.credit - 0.3 + np.random.default_rng(0).normal(size=(4, 4)) * 1e-5)
    assert np.abs(FORMS[name](noisy) - grpo(CONSTANT)).max() > 0.05


@pytest.mark.parametrize("name", FORMS)
def test_rollouts_without_segments_get_the_group_advantage(name):
    for empty in (rollouts([[], [0.5], [0.2, 0.1]]), rollouts([[], []])):
        laid = FORMS[name](empty)
        expected = empty.rewards[0] if name == "potential" else empty.advantages[0]
        np.testing.assert_allclose(laid[0], expected, **CLOSE)
        assert laid.shape == empty.mask.shape
        assert np.isfinite(laid).all()


@pytest.mark.parametrize("preset", PAPER.values(), ids=PAPER)
def test_the_paper_preset_names_what_exists(preset):
    assert preset["segmenter"] in SEGMENTERS
    solution = make_solution(preset["solution"], **preset["solution_settings"])
    assert len(solution.plan(40)) == preset["solution_settings"]["budget"] + 1
    redistribution = make_redistribution(preset["redistribution"], **preset["redistribution_settings"])
    np.testing.assert_array_equal(redistribution(EXAMPLE), prop(EXAMPLE, scaling="minmax"))
    assert np.abs(redistribution(EXAMPLE) - prop(EXAMPLE)).max() > 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_redistribution("aditive"), "did you mean 'additive'"),
        (lambda: make_redistribution("additive", centering="group"), "did you mean 'centring'"),
        (lambda: make_redistribution("additive", centring="groups"), "did you mean 'group'"),
        (lambda: make_redistribution("additive", beta=-1.0), "beta of at least 0, but got -1.0"),
        (lambda: make_redistribution("additive", rollouts=None), "unknown additive setting 'rollouts'"),
        (lambda: make_redistribution("prop", scaling="min-max"), "did you mean 'minmax'"),
        (lambda: group_relative(np.zeros(5), 2), r"groups of 2, but got the shape \(5,\)"),
        (lambda: group_relative(np.array([0.0, NAN]), 2), "finite rewards"),
        (lambda: replace(EXAMPLE, group_size=3), "divides 2 rollouts, but got 3"),
        (lambda: replace(EXAMPLE, rewards=np.zeros(3)), r"rewards \(B,\)"),
        (lambda: replace(EXAMPLE, segment=np.full((2, 5), 2)), "3 segments of rollout 0, but got 2"),
        (lambda: replace(EXAMPLE, whole=np.full((2, 5), 3)), "3 segments of rollout 0, but got 2"),
        (lambda: replace(EXAMPLE, credit=np.array([[NAN, 0.1], [0.0, 0.0]])), "only after a rollout's last segment"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(call, message):
    with pytest.raises(AgentError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
