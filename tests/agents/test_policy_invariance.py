"""Policy invariance by enumeration: what ``potential`` keeps and the other redistributions do not.

A softmax policy with free logits at every state writes a thought (outside the scored span) and then up to five tokens
of text. All its completions are enumerated, so that the expected update is exact:

    sum over completions x of pi(x) * sum over t of grad log pi(x_t | s_t) * A_t(x).

The true gradient of the expected reward comes from the rewards alone. Rewards and worths of prefixes are arbitrary:
random numbers keyed by text.
"""

import zlib
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from ospo_agents.advantages import REDISTRIBUTIONS, CreditedRollouts, potential
from ospo_agents.alignment import segment_of_tokens, whole_segments
from ospo_agents.credit import SOLUTIONS
from ospo_agents.segments import decision_points, phrases

EXACT, WRONG = 1e-6, 0.02
THOUGHTS, END = ("so: ", "well: "), ""
WORDS = (" red", " for", ",")  # each token a word or a comma: the first of a segment ends the one before
PIECES = (" red", " fo", "r")  # whether " fo" opens a phrase is decided by the token after it


@cache
def worth(text):
    """An arbitrary worth in [0, 1) of a text, a function of its characters; 0 of the empty text."""
    return np.random.default_rng(zlib.crc32(text.encode())).random() if text else 0.0


def states_and_completions(vocabulary, tokens=5):
    """All completions as tuples of (state, action), and how many actions each state has."""
    actions = {(): THOUGHTS}
    complete = []

    def extend(state, path):
        here = actions.setdefault(state, (*vocabulary, END))
        for action, token in enumerate(here):
            walked = [*path, (state, action, token)]
            if token == END or len(walked) == tokens + 1:
                complete.append(walked)
            else:
                extend((*state, token), walked)

    extend((), [])
    return actions, complete


def policy(actions, seed=0):
    rng = np.random.default_rng(seed)
    return {state: rng.normal(size=len(here)) for state, here in actions.items()}


def probabilities(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def credited(completions, solution):
    """The completions as rollouts, with credit from a solution of the game and everything a trainer lays on tokens."""
    longest = max(map(len, completions))
    rows = []
    for path in completions:
        ends = np.cumsum([len(token) for _, _, token in path])
        offsets = np.stack([np.append(0, ends[:-1]), ends], axis=1)
        start = len(path[0][2])
        text = "".join(token for _, _, token in path[1:])
        spans = phrases(text)
        plan = SOLUTIONS[solution].plan(len(spans))
        worths = [
            worth("".join(text[a:b] for (a, b), kept in zip(spans, coalition, strict=True) if kept))
            for coalition in plan
        ]
        rows.append(
            (
                worth(text),
                SOLUTIONS[solution].solve(plan, np.array(worths)),
                segment_of_tokens(offsets, spans, start),
                whole_segments(offsets, decision_points(text, spans), start),
            )
        )

    def pad(values, fill, width):
        return np.array([np.pad(np.asarray(row, float), (0, width - len(row)), constant_values=fill) for row in values])

    rewards = np.array([reward for reward, _, _, _ in rows])
    return CreditedRollouts(
        advantages=np.zeros(len(rows)),
        rewards=rewards,
        credit=pad([credit for _, credit, _, _ in rows], np.nan, 5),
        segment=pad([segment for _, _, segment, _ in rows], -1, longest).astype(int),
        mask=pad([np.ones(len(segment)) for _, _, segment, _ in rows], 0, longest).astype(bool),
        group=np.zeros(len(rows), int),
        whole=pad([whole for _, _, _, whole in rows], 0, longest).astype(int),
        tokens=pad([[action for _, action, _ in path] for path in completions], -1, longest).astype(int),
        entropy=pad([[len(state) + 1.0 + action for state, action, _ in path] for path in completions], 0, longest),
    )


def toy(vocabulary, solution="prefix_potential"):
    actions, completions = states_and_completions(vocabulary)
    logits = policy(actions)
    chances = {state: probabilities(values) for state, values in logits.items()}
    weight = np.array([np.prod([chances[state][action] for state, action, _ in path]) for path in completions])
    rollouts = credited(completions, solution)
    mean = weight @ rollouts.rewards
    # A constant baseline is exact; what a redistribution makes of this advantage is what is in question.
    rollouts = replace(rollouts, advantages=rollouts.rewards - mean)
    return SimpleNamespace(actions=actions, completions=completions, logits=logits, weight=weight, rollouts=rollouts)


def expected_update(case, advantages):
    update = {state: np.zeros(len(values)) for state, values in case.logits.items()}
    for path, chance, row in zip(case.completions, case.weight, advantages, strict=True):
        for (state, action, _), advantage in zip(path, row, strict=False):
            score = -probabilities(case.logits[state])
            score[action] += 1
            update[state] += chance * advantage * score
    return np.concatenate(list(update.values()))


def true_gradient(case):
    """The gradient of the expected reward in every logit: reach(s) pi(a|s) (Q(s, a) - V(s)), from the rewards alone."""
    chances = {state: probabilities(values) for state, values in case.logits.items()}
    reach = {state: 0.0 for state in case.logits}
    through = {state: np.zeros(len(values)) for state, values in case.logits.items()}  # pi(a|s) Q(s, a) reach(s)
    for path, chance, reward in zip(case.completions, case.weight, case.rollouts.rewards, strict=True):
        for state, action, _ in path:
            reach[state] += chance
            through[state][action] += chance * reward
    return np.concatenate([through[state] - chances[state] * through[state].sum() for state in case.logits])


def expected_reward(case, moved):
    """The expected reward after the logits have moved by a vector."""
    splits = np.cumsum([len(values) for values in case.logits.values()])[:-1]
    logs = {
        state: np.log(probabilities(values + part))
        for (state, values), part in zip(case.logits.items(), np.split(moved, splits), strict=True)
    }
    chances = np.exp([sum(logs[state][action] for state, action, _ in path) for path in case.completions])
    return chances @ case.rollouts.rewards


def apart(update, gradient):
    """Distance of an update from the gradient at the best common scale, relative to it: 0 if parallel."""
    scale = update @ gradient / (update @ update)
    return np.linalg.norm(scale * update - gradient) / np.linalg.norm(gradient)


@pytest.fixture(scope="module", params=[WORDS, PIECES], ids=["words", "pieces"])
def case(request):
    case = toy(request.param)
    case.gradient = true_gradient(case)
    case.vocabulary = request.param
    return case


def test_every_completion_is_enumerated(case):
    np.testing.assert_allclose(case.weight.sum(), 1, rtol=0, atol=1e-12)
    assert len(case.completions) == 2 * sum(3**length for length in range(6))
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.normal(size=len(case.gradient))
        slope = (expected_reward(case, 1e-5 * direction) - expected_reward(case, -1e-5 * direction)) / 2e-5
        np.testing.assert_allclose(case.gradient @ direction, slope, rtol=0, atol=1e-9)
        assert abs(slope) > 1e-2


def test_potential_with_causal_boundaries_is_the_policy_gradient(case):
    advantages = potential(case.rollouts)
    assert np.abs(expected_update(case, advantages) - case.gradient).max() < EXACT
    baselines = case.rollouts.rewards[:, None] - advantages
    assert np.ptp(baselines, axis=1).max() > 0.1, "a baseline that does move in a completion"


def test_the_plain_reward_is_too(case):
    """The check itself is right: REINFORCE with a constant baseline is exact."""
    plain = np.where(case.rollouts.mask, case.rollouts.advantages[:, None], 0.0)
    assert np.abs(expected_update(case, plain) - case.gradient).max() < EXACT


def test_boundaries_that_the_current_token_decides_break_it(case):
    own = replace(case.rollouts, whole=np.maximum.accumulate(np.maximum(case.rollouts.segment, 0), axis=1))
    update = expected_update(case, potential(own))
    assert np.abs(update - case.gradient).max() > 1e-3
    assert apart(update, case.gradient) > WRONG


def test_one_token_of_delay_is_enough_for_words_and_not_for_pieces(case):
    update = expected_update(case, potential(replace(case.rollouts, whole=None)))
    if case.vocabulary == WORDS:
        assert np.abs(update - case.gradient).max() < EXACT
    else:
        assert apart(update, case.gradient) > WRONG


@pytest.mark.parametrize("name", sorted(set(REDISTRIBUTIONS) - {"potential"}))
def test_other_redistributions_are_not_the_policy_gradient(case, name):
    update = expected_update(case, REDISTRIBUTIONS[name](case.rollouts))
    assert np.abs(update - case.gradient).max() > 1e-3
    assert apart(update, case.gradient) > WRONG, "the difference is more than a learning rate"


def test_credit_that_is_no_prefix_worth_breaks_it(case):
    other = toy(case.vocabulary, "shapley")
    np.testing.assert_array_equal(other.rollouts.rewards, case.rollouts.rewards)
    assert (
        apart(expected_update(other, potential(other.rollouts)), case.gradient) > 1e-3
    )  # few segments end in five tokens


def test_length_normalisation_breaks_it(case):
    advantages = potential(case.rollouts)
    advantages = advantages / case.rollouts.mask.sum(axis=1, keepdims=True)
    assert apart(expected_update(case, advantages), case.gradient) > WRONG


def test_the_group_advantage_outside_the_span_breaks_it_when_scaled(case):
    """Why ``potential`` does not lay a normalised group advantage on tokens around the span."""
    advantages = potential(case.rollouts)
    outside = (case.rollouts.segment < 0) & case.rollouts.mask
    normalised = case.rollouts.advantages / case.rollouts.rewards.std()
    mixed = np.where(outside, normalised[:, None], advantages)
    assert apart(expected_update(case, mixed), case.gradient) > WRONG


def test_return_to_go_of_prefix_credit_is_exact_where_boundaries_are_known_in_advance():
    """Every token a segment of its own: then the worth before a token is known, and both forms are the gradient."""
    case = toy(WORDS)
    gradient = true_gradient(case)
    rows = []
    for path in case.completions:
        text_tokens = [token for _, _, token in path[1:] if token]
        prefixes = [worth("".join(text_tokens[:k])) for k in range(len(text_tokens) + 1)]
        rows.append(np.pad(np.diff(prefixes), (0, 5 - len(text_tokens)), constant_values=np.nan))
    lengths = np.array([sum(bool(token) for _, _, token in path[1:]) for path in case.completions])
    place = np.arange(case.rollouts.mask.shape[1]) - 1
    own = np.where((place >= 0) & (place < lengths[:, None]), place, -1)
    rollouts = replace(case.rollouts, credit=np.array(rows), segment=own, whole=np.clip(place, 0, lengths[:, None]))
    to_go = REDISTRIBUTIONS["return_to_go"](rollouts, normalise=False)
    assert np.abs(expected_update(case, to_go) - gradient).max() > EXACT  # the end token alone has no worth to go
    to_go = np.where(own >= 0, to_go, potential(rollouts))
    np.testing.assert_allclose(to_go, potential(rollouts), atol=1e-12)
    assert np.abs(expected_update(case, to_go) - gradient).max() < EXACT
