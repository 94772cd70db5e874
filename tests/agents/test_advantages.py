"""Advantages of rollouts and tokens: by hand, against TRL, without segments, and with wrong input."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ospo_agents.advantages import (
    PAPER,
    REDISTRIBUTIONS,
    CreditedRollouts,
    additive,
    group_relative,
    make_redistribution,
    potential,
    prop,
    return_to_go,
    signed,
)
from ospo_agents.credit import make_solution
from ospo_agents.errors import AgentError
from ospo_agents.segments import SEGMENTERS
from rollout_cases import BLIND, FORMS, grpo, rollouts

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
    group=np.array([0, 0]),
    tokens=np.array([[7, 3, 4, 4, 0], [7, 2, 4, 4, 0]]),
    entropy=np.array([[3.0, 0.5, 0.0, 0.0, 0.7], [1.0, 0.5, 2.0, 0.0, 9.0]]),
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


STEP = np.array([0.2, 0.0, 0.1, -0.3]) / SPREAD  # the credit less its mean, .2
SHARED["scar"] = np.array([[UP, STEP[0], STEP[0], 0, UP], [STEP[2] + STEP[3], *[STEP[3]] * 3, 0]])
SHARED["scar"][0, 1:3] += STEP[1]
# Sizes .4, .2 and .3, .1: the larger of two is 1 and weighs 2, the smaller is 0 and weighs .1; over the mean.
SHARED["oar"] = np.array(
    [[UP, *[UP * 2 / (4.1 / 3)] * 2, UP * 0.1 / (4.1 / 3), UP], [-UP * 2 / (2.3 / 4), *[-UP * 0.1 / (2.3 / 4)] * 3, 0]]
)
# Entropies 3 and 1 at the first place, then equal, then 0 and 2, then 0 and 0; the last token stands alone.
SHARED["entropy_weights"] = np.array([[1.05, 1.0, 0.9, 1.0, 1.0], [0.95, 1.0, 1.1, 1.0, 0.0]]) * [[UP], [-UP]]
SHARED["tempo"] = np.array([[UP, 2 * UP, UP, UP, UP], [-UP, -2 * UP, -UP, -UP, 0]])  # they part at the second token
TRACE = [sum(0.99**step for step in range(length)) for length in (5, 4, 3, 2, 1, 0)]
SHARED["grpo_lambda"] = np.array([np.array(TRACE[:5]) * UP, np.array(TRACE[1:]) * -UP])


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
    counted = replace(EXAMPLE, whole=np.array([[0, 0, 0, 1, 2], [0, 1, 1, 1, 2]]))
    np.testing.assert_allclose(potential(counted), [[0.6, 0.6, 0.6, 0.2, 0.0], [0.2, -0.1, -0.1, -0.1, 0]], **CLOSE)


def test_group_relative_is_trl():
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("trl.trainer.utils")
    rewards = np.random.default_rng(0).random(24)
    grouped = torch.from_numpy(rewards).view(-1, 8)
    deviation = utils.nanstd(grouped, dim=1)[:, None]
    expected = ((grouped - grouped.mean(dim=1, keepdim=True)) / (deviation + 1e-4)).view(-1).numpy()
    advantages = group_relative(rewards, np.arange(24) // 8)
    np.testing.assert_allclose(advantages, expected, rtol=0, atol=1e-5)  # TRL counts in float32
    population = rewards.reshape(-1, 8).std(axis=1, ddof=0)[:, None]
    wrong = (rewards.reshape(-1, 8) - rewards.reshape(-1, 8).mean(axis=1, keepdims=True)) / (population + 1e-4)
    assert np.abs(wrong.ravel() - expected).max() > 1e-2


def test_group_relative_of_equal_rewards_and_of_one_rollout_is_zero():
    np.testing.assert_allclose(group_relative(np.full(4, 0.3), np.zeros(4, int)), 0, atol=1e-11)
    with pytest.warns(UserWarning, match="2 of 2 rollouts are alone in their group") as caught:
        np.testing.assert_array_equal(group_relative(np.array([0.3, 0.9]), np.array([4, 2])), [0, 0])
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="1 of 3 rollouts") as caught:  # a filter left one of two
        replace(rollouts([[0.1], [0.2], [0.3]]), group=np.array([0, 1, 1]))
    assert group_relative(np.zeros(0), np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize("name", [name for name in FORMS if name.split(",")[0] not in BLIND])
def test_rollouts_without_segments_get_the_group_advantage(name):
    for empty in (rollouts([[], [0.5], [0.2, 0.1]]), rollouts([[], []])):
        advantages = FORMS[name](empty)
        expected = empty.rewards[0] if name == "potential" else empty.advantages[0]
        np.testing.assert_allclose(advantages[0], expected, **CLOSE)
        assert advantages.shape == empty.mask.shape
        assert np.isfinite(advantages).all()


@pytest.mark.parametrize("preset", PAPER.values(), ids=PAPER)
def test_the_paper_preset_names_what_exists(preset):
    assert preset["segmenter"] in SEGMENTERS
    solution = make_solution(preset["solution"], **preset["solution_settings"])
    assert len(solution.plan(40)) == preset["solution_settings"]["budget"] + 1
    redistribution = make_redistribution(preset["redistribution"], **preset["redistribution_settings"])
    np.testing.assert_array_equal(redistribution(EXAMPLE), prop(EXAMPLE, scaling="minmax"))
    assert np.abs(redistribution(EXAMPLE) - prop(EXAMPLE)).max() > 0.05


def test_the_mathematics_needs_numpy_alone():
    """Credit, segments, advantages and alignment import no learner's library."""
    program = (
        "import sys, ospo_agents.advantages, ospo_agents.alignment, ospo_agents.credit, ospo_agents.segments\n"
        "print(' '.join({'torch', 'transformers', 'trl', 'scipy'} & set(sys.modules)), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_redistribution("aditive"), "did you mean 'additive'"),
        (lambda: make_redistribution("additive", centering="group"), "did you mean 'centring'"),
        (lambda: make_redistribution("additive", centring="groups"), "did you mean 'group'"),
        (lambda: make_redistribution("additive", beta=-1.0), "beta of at least 0, but got -1.0"),
        (lambda: make_redistribution("additive", beta="1"), "beta of at least 0, but got '1'"),
        (lambda: make_redistribution("additive", word_weight=NAN), "word_weight of at least 0, but got nan"),
        (
            lambda: make_redistribution("additive", separator_weight="1"),
            "separator_weight of at least 0, but got '1'",
        ),
        (lambda: make_redistribution("additive", twin_weight=1.5), r"twins in \[0, 1\], but got 1.5"),
        (lambda: make_redistribution("additive", divisor="rewards"), "did you mean 'reward'"),
        (lambda: additive(EXAMPLE, separator_weight=0.3), "a weight of separators needs separator of the rollouts"),
        (lambda: additive(EXAMPLE, twin_weight=0.3), "the weight of twins needs phrase of the rollouts"),
        (
            lambda: make_redistribution("entropy_weights", beta=1.5),
            r"beta in \[0, 1\], so that no weight is negative",
        ),
        (lambda: make_redistribution("grpo_lambda", decay=1.5), r"decay in \[0, 1\], but got 1.5"),
        (lambda: make_redistribution("grpo_lambda", style="recents"), "did you mean 'recent'"),
        (lambda: make_redistribution("grpo_lambda", lowest=0.1), "lowest of at most 0, but got 0.1"),
        (lambda: make_redistribution("oar", threshold=1.0), "threshold between 0 and 1, but got 1.0"),
        (lambda: REDISTRIBUTIONS["tempo"](replace(EXAMPLE, tokens=None)), "tempo needs tokens of the rollouts"),
        (lambda: REDISTRIBUTIONS["entropy_weights"](replace(EXAMPLE, entropy=None)), "needs entropy of the rollouts"),
        (lambda: make_redistribution("return_to_go", normalise="false"), "true or false, but got 'false'"),
        (lambda: replace(EXAMPLE, whole=np.full((2, 5), -1)), "segments from 0, but got -1"),
        (lambda: make_redistribution("additive", rollouts=None), "unknown additive setting 'rollouts'"),
        (lambda: make_redistribution("prop", scaling="min-max"), "did you mean 'minmax'"),
        (lambda: group_relative(np.zeros((5, 1)), np.zeros(5, int)), r"rewards \(B,\), but got the shape \(5, 1\)"),
        (lambda: group_relative(np.zeros(4), 2), r"whole numbers \(4,\), one for each rollout, but got 2; .*// size"),
        (lambda: group_relative(np.zeros(4), np.zeros(3, int)), r"but got int64 \(3,\)"),
        (lambda: group_relative(np.array([0.0, NAN]), np.zeros(2, int)), "finite rewards"),
        (lambda: replace(EXAMPLE, group=np.zeros(2)), r"whole numbers \(2,\), one for each rollout, but got float64"),
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
