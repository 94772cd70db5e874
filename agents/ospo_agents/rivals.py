"""Redistributions of other methods: what they lay on tokens, without a value model and without re-rolling.

None is potential-based. ``entropy_weights``, ``tempo`` and ``grpo_lambda`` do not read credit: they treat tokens inside
and outside the scored span alike.

SPO (arXiv 2505.23564) and VinePPO (arXiv 2410.01679) are not here: they complete texts anew from the end of every
segment. TRL's trainer generates once, from prompts, and has no place for that; at 5 segments and 4 completions each, a
step would generate twenty times as many tokens. ``ospo study true-advantage`` does it, to measure.
"""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError, unknown
from ospo_agents.rollouts import (
    CreditedRollouts,
    check_weight,
    in_shares,
    in_units_of_advantage,
    members,
    on_tokens,
    require,
    tie_width,
)

__all__ = ["entropy_weights", "grpo_lambda", "oar", "scar", "tempo"]

_STYLES = ("recent", "both")
_LEAST = 0.1  # the published floor of a damped weight


def entropy_weights(rollouts: CreditedRollouts, *, beta: float = 0.1) -> NDArray[np.float64]:
    """A_t = A * (1 + beta * (H_t - 1)), H_t = entropy at token t over the mean of the group's at that place.

    The mean is over the rollouts that are at least t tokens long; where it is 0, H_t is 1. The control of any weighting
    of tokens that keeps the sign: no worth of a part is asked for. Published with rewards that are right or wrong, and
    with 1 / H for the wrong ones; rewards of ranking are neither.

    Reductions: beta 0 and equal entropies give A.

    Source: H. Tan et al., "GTPO and GRPO-S", arXiv 2508.04349.

    Args:
        rollouts: Rollouts with ``entropy``.
        beta: Share of the weight that entropy decides, in [0, 1].

    Returns:
        float64 (B, T).

    Raises:
        AgentError: beta is out of range, or there is no ``entropy``.
    """
    check_weight("beta", beta)
    if beta > 1:
        raise AgentError(f"expected a beta in [0, 1], so that no weight is negative, but got {beta!r}")
    entropy = np.where(rollouts.mask, require(rollouts.entropy, "entropy", "entropy_weights"), 0.0)
    relative = np.ones(rollouts.mask.shape)
    for rows in members(rollouts.group):
        mean = np.sort(entropy[rows], axis=0).sum(axis=0) / np.maximum(rollouts.mask[rows].sum(axis=0), 1)
        relative[rows] = np.where(mean > 0, entropy[rows] / np.where(mean > 0, mean, 1.0), 1.0)
    return np.where(rollouts.mask, rollouts.advantages[:, None] * (1 + beta * (relative - 1)), 0.0)


def tempo(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """A_t = A + V(s_t+1) - V(s_t), V(s) = mean A of the group's rollouts that begin with the tokens s.

    The completions of a group are a prefix tree; where they part, the difference is the gain of this branch over the
    others. Elsewhere it is 0.

    Reductions: rollouts of the same tokens give A; rollouts that differ from the first token on give 2 A - mean A
    there and A after it.

    Source: H. Tran, Z. Yao, H. Yu, "Exploiting tree structure for credit assignment in RL training of LLMs" (TEMPO),
    arXiv 2509.18314.

    Args:
        rollouts: Rollouts with ``tokens``.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: There are no ``tokens``.
    """
    tokens = np.where(rollouts.mask, require(rollouts.tokens, "tokens", "tempo"), -1)
    values = np.zeros((tokens.shape[0], tokens.shape[1] + 1))
    for rows in members(rollouts.group):
        same = np.ones((len(rows), len(rows)), dtype=np.bool_)  # which rollouts begin alike
        for place in range(tokens.shape[1] + 1):
            sums = np.sort(np.where(same, rollouts.advantages[rows], 0.0), axis=1).sum(axis=1)
            values[rows, place] = sums / same.sum(axis=1)
            if place < tokens.shape[1]:
                same &= tokens[rows, place][:, None] == tokens[rows, place][None, :]
    return np.where(rollouts.mask, rollouts.advantages[:, None] + np.diff(values, axis=1), 0.0)


def grpo_lambda(
    rollouts: CreditedRollouts, *, decay: float = 0.99, style: str = "recent", lowest: float | None = None
) -> NDArray[np.float64]:
    """A_t = A * sum over k >= t of w(k, t): eligibility traces of token log-probabilities.

    The published loss puts sum over t <= k of w(k, t) log p_t in the place of log p_k; on-policy its gradient is that
    of these advantages. w(k, t) = decay ** (k - t) in the style ``recent``; max(decay ** (k - t), decay ** t), which
    keeps the beginning of a completion too, in ``both``; w(t, t) = 1. The first tokens weigh most, up to
    1 / (1 - decay): the learning rate has to be chosen anew.

    Reductions: decay 0 in the style ``recent`` gives A.

    Source: P. Parthasarathi et al., "GRPO-lambda", arXiv 2510.00194.

    Args:
        rollouts: The rollouts.
        decay: gamma * lambda, in [0, 1].
        style: ``recent`` or ``both``.
        lowest: Bound below which negative advantages are lifted to it, at most 0; None for no bound.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: A setting is out of range.
    """
    check_weight("decay", decay)
    if decay > 1:
        raise AgentError(f"expected a decay in [0, 1], but got {decay!r}")
    if style not in _STYLES:
        raise unknown("style", style, _STYLES)
    if lowest is not None and not (isinstance(lowest, int | float) and lowest <= 0):
        raise AgentError(f"expected lowest of at most 0, but got {lowest!r}")
    later, place = np.arange(rollouts.mask.shape[1])[:, None], np.arange(rollouts.mask.shape[1])[None, :]
    traces = np.power(float(decay), np.maximum(later - place, 0))
    if style == "both":
        traces = np.maximum(traces, np.power(float(decay), place))
    traces = np.where(later > place, traces, np.where(later == place, 1.0, 0.0))
    weights = np.where(rollouts.mask[:, :, None], traces, 0.0).sum(axis=1)
    advantages = rollouts.advantages if lowest is None else np.maximum(rollouts.advantages, lowest)
    return np.where(rollouts.mask, advantages[:, None] * weights, 0.0)


def oar(rollouts: CreditedRollouts, *, threshold: float = 0.25, beta: float = 1.0) -> NDArray[np.float64]:
    """A_t = A * T * w_t / (sum over tokens of w): A in shares that damp segments of little effect and raise others.

    With x = abs(credit) mapped to [0, 1] in each rollout, w = max(x / threshold, 0.1) below the threshold and
    1 + beta * (x - threshold) / (1 - threshold) from it on. T and the sum are over the rollout's scored tokens, so
    their advantages keep the mean A. The credit is meant to be ``leave_one_out``: the effect of a segment,
    whatever its sign. What :func:`ospo_agents.advantages.prop` says of A < 0 holds here.

    Reductions: credit of constant size and one segment give A.

    Source: Z. Li et al., "Outcome-grounded advantage reshaping" (OAR-P), arXiv 2601.07408, whose effect of a token is
    the divergence of the answer's distribution without it; here it is the change of the reward without the segment.

    Args:
        rollouts: Rollouts with the credit of their segments.
        threshold: Size of effect that is neither damped nor raised, in (0, 1).
        beta: Rise of the weight of the largest effect, at least 0.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: A setting is out of range.
    """
    check_weight("threshold", threshold)
    check_weight("beta", beta)
    if not 0 < threshold < 1:
        raise AgentError(f"expected a threshold between 0 and 1, but got {threshold!r}")
    size = np.abs(rollouts.credit)
    lowest = np.where(np.isnan(size), np.inf, size).min(axis=1, keepdims=True, initial=np.inf)
    highest = np.where(np.isnan(size), -np.inf, size).max(axis=1, keepdims=True, initial=-np.inf)
    varied = highest - lowest > tie_width(rollouts.credit)
    effect = (size - np.where(varied, lowest, 0.0)) / np.where(varied, highest - lowest, 1.0)
    damped = np.maximum(effect / threshold, _LEAST)
    weights = np.where(effect < threshold, damped, 1 + beta * (effect - threshold) / (1 - threshold))
    return in_shares(rollouts, np.where(varied, weights, 1.0))


def scar(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """A_t = sum of z of the token's segment and of all later ones: credit as a dense reward, and its return.

    Each segment is paid its credit, z of it as in :func:`ospo_agents.advantages.additive`, where the segment ends. The
    published learner has a value model; in its place stands GRPO's way with rewards of steps, which normalises them
    over the group and then sums them from the token on. :func:`ospo_agents.advantages.return_to_go` normalises the
    sums.

    Reductions: one segment a rollout with efficient credit gives A; constant credit gives 0 in the scored span.

    Source: M. Cao et al., "SCAR: Shapley credit assignment for more efficient RLHF", arXiv 2505.20417; Z. Shao et al.,
    "DeepSeekMath", 2024, section 4.1.3 (process supervision).

    Args:
        rollouts: Rollouts with the credit of their segments (``shapley``, ``sampled_shapley``, ``owen``).

    Returns:
        float64 (B, T).
    """
    z = in_units_of_advantage(rollouts, rollouts.credit, "group")
    filled = np.where(np.isnan(z), 0.0, z)
    to_go = np.where(np.isnan(z), np.nan, filled[:, ::-1].cumsum(axis=1)[:, ::-1])
    return on_tokens(rollouts, to_go)
