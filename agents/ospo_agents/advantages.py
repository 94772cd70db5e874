"""Advantages of rollouts within their group, and of tokens by the credit of their segments.

Weights that depend on the whole text (``additive``, ``signed``, ``prop``, ``rank``, ``return_to_go`` and those of other
methods in :mod:`ospo_agents.rivals`) are not potential-based: they deliberately change the optimal policy.
``potential`` keeps the policy gradient.

Tokens outside the scored span have no segment. They get the plain group advantage, in ``signed`` too: the rollout's
reward is all that measures them, and the decision to stop must be learned. ``potential`` alone differs there (see its
docstring). Tokens outside the mask get 0.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError, unknown
from ospo_agents.rivals import entropy_weights, grpo_lambda, oar, scar, tempo
from ospo_agents.rollouts import (
    CreditedRollouts,
    check_group,
    check_weight,
    in_shares,
    in_units_of_advantage,
    members,
    on_tokens,
    pool_twins,
    standardised,
    tie_width,
)

__all__ = [
    "PAPER",
    "READ_ENTROPY",
    "REDISTRIBUTIONS",
    "CreditedRollouts",
    "Redistribution",
    "additive",
    "group_relative",
    "make_redistribution",
    "pool_twins",
    "potential",
    "prop",
    "rank",
    "return_to_go",
    "signed",
]


Redistribution: TypeAlias = Callable[[CreditedRollouts], NDArray[np.float64]]
"""Advantages of tokens, float64 (B, T)."""


def group_relative(
    rewards: NDArray[np.float64], group: NDArray[np.int64], scale: bool = True, eps: float = 1e-4
) -> NDArray[np.float64]:
    """Advantage of each rollout in its group: A = (R - mean R) / (std R + eps).

    Source: Z. Shao et al., "DeepSeekMath", 2024 (GRPO), with the sample standard deviation and the constant of TRL.

    Args:
        rewards: float (B,), finite.
        group: int (B,), a number for each rollout, equal for the rollouts of one prompt; in any order.
        scale: Whether to divide; without, A = R - mean R.
        eps: Added to the standard deviation.

    Returns:
        float64 (B,); 0, to rounding, throughout a group of equal rewards or of one rollout. The latter is a warning.

    Raises:
        AgentError: Rewards are not finite, or there is not one group for each.

    >>> group_relative(np.array([0.0, 2.0, 1.0, 5.0]), np.array([7, 3, 7, 3]), scale=False)
    array([-0.5, -1.5,  0.5,  1.5])
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    if rewards.ndim != 1:
        raise AgentError(f"expected rewards (B,), but got the shape {rewards.shape}")
    check_group(group, len(rewards))
    if not np.isfinite(rewards).all():
        raise AgentError("expected finite rewards, but got nan or infinity")
    if scale:
        return standardised(rewards[:, None], group, "group", eps)[:, 0]
    centred = rewards.copy()
    for rows in members(group):
        centred[rows] -= math.fsum(rewards[rows]) / len(rows)
    return centred


def additive(
    rollouts: CreditedRollouts,
    *,
    beta: float = 1.0,
    centring: str = "group",
    divisor: str = "credit",
    word_weight: float = 1.0,
    separator_weight: float = 1.0,
    twin_weight: float = 0.0,
) -> NDArray[np.float64]:
    """A_t = word_weight * A + beta * z_t: the group's verdict on the rollout plus that on the token's segment.

    z is the credit less a mean, over the sample standard deviation of that difference over all segments of the
    group (plus 1e-4), or over std R. It is in the units of A, whatever TRL's ``scale_rewards`` divides A by. Separators
    and the token that ends the rewrite have separator_weight * A, all other tokens without a segment A. Not
    potential-based: the optimum may move.

    Reductions: one segment a rollout with efficient credit gives A + beta * A when centred in the group; centred in
    the rollout, one segment or constant credit gives A. Where credit does not vary, z is 0.

    Source: this project.

    Args:
        rollouts: Rollouts with the credit of their segments.
        beta: Weight of credit, at least 0.
        centring: Whether the mean is that of the ``group``'s segments, of its segments at the same ``place`` (first
            ones, second ones, ...) or of the ``rollout``'s own, or 0 for ``none`` (for credit that is a gain by itself:
            ``state_shapley``, ``leave_one_out``).
        divisor: Whether credit is divided by the spread of the ``credit`` or of the ``reward`` in the group; by the
            latter, credit is 0 where all rewards are equal.
        word_weight: Weight of A on tokens of segments, at least 0.
        separator_weight: Weight of A on separators and on the token that ends the rewrite, at least 0.
        twin_weight: Weight of the mean credit of equal phrases of the group (:func:`pool_twins`), in [0, 1].

    Returns:
        float64 (B, T).

    Raises:
        AgentError: A setting is out of range.
    """
    for name, value in {"beta": beta, "word_weight": word_weight, "separator_weight": separator_weight}.items():
        check_weight(name, value)
    z = in_units_of_advantage(rollouts, pool_twins(rollouts, twin_weight), centring, divisor)
    return on_tokens(rollouts, word_weight * rollouts.advantages[:, None] + beta * z, separator_weight)


def signed(rollouts: CreditedRollouts, *, centring: str = "group") -> NDArray[np.float64]:
    """A_t = z_t: the segment's own verdict alone, with its sign whatever became of the rollout.

    z as in :func:`additive`, of which this is the form with ``word_weight`` 0. Not potential-based. Constant credit
    gives 0 in the scored span; one segment a rollout with efficient credit gives A when centred in the group, and 0
    when centred in the rollout.

    Source: this project.

    Args:
        rollouts: Rollouts with the credit of their segments.
        centring: ``group``, ``place``, ``rollout`` or ``none``, as in :func:`additive`.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: The centring is unknown.
    """
    return on_tokens(rollouts, in_units_of_advantage(rollouts, rollouts.credit, centring))


def prop(rollouts: CreditedRollouts, *, scaling: str = "shift") -> NDArray[np.float64]:
    """A_t = A * T * c_t / (sum over tokens of c): the rollout's advantage in non-negative shares of credit.

    T and the sum are over the rollout's scored tokens, so their advantages keep the mean A. Credit becomes
    non-negative in one of two ways: ``shift`` lifts it by its lowest value where that is negative, so that
    shares are the credit's own where nothing harmed; ``minmax``, the published form, maps each rollout's credit to
    [0, 1], so that its least helpful segment always gets nothing. Not potential-based. In both, A < 0 punishes the
    most helpful segments hardest, and a group of equal rewards gives no gradient.

    Reductions: constant credit, also all 0, and one segment give A.

    Source: arXiv 2601.08403.

    Args:
        rollouts: Rollouts with the credit of their segments.
        scaling: ``shift`` or ``minmax``.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: The scaling is unknown.
    """
    if scaling not in ("shift", "minmax"):
        raise unknown("scaling", scaling, ("shift", "minmax"))
    lowest = np.where(np.isnan(rollouts.credit), np.inf, rollouts.credit).min(axis=1, keepdims=True, initial=np.inf)
    lifted = rollouts.credit - (lowest if scaling == "minmax" else np.minimum(lowest, 0.0))
    return in_shares(rollouts, np.where(lifted > tie_width(rollouts.credit), lifted, 0.0))


def rank(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """A_t = A * T * r_t / (sum over tokens of r): shares from ranks, 1 for a rollout's least credit, N for its most.

    Equal credit shares its mean rank; T and the sum are over the rollout's scored tokens, so their advantages keep
    the mean A. Not potential-based; what :func:`prop` says of A < 0 holds here. The published code gives the best
    segment the smallest share and ranks padding too; neither is repeated.

    Reductions: constant credit and one segment give A.

    Source: arXiv 2601.08403.

    Args:
        rollouts: Rollouts with the credit of their segments.

    Returns:
        float64 (B, T).
    """
    credit = rollouts.credit
    difference = credit[:, :, None] - credit[:, None, :]
    tie = tie_width(credit)[:, :, None]
    below = (difference > tie).sum(axis=2)  # comparisons with nan are false
    equal = (np.abs(difference) <= tie).sum(axis=2)
    return in_shares(rollouts, below + (equal + 1) / 2)


def return_to_go(rollouts: CreditedRollouts, *, normalise: bool = True) -> NDArray[np.float64]:
    """A_t = z of G_t, G_t = sum of the credit of the token's segment and of all later ones.

    z is over all segments of the group as in :func:`additive`. Credit of later segments depends on the whole text, so
    this is not potential-based in general; with prefix credit, not normalised, it is :func:`potential` at boundaries
    known in advance.

    Reductions: one segment a rollout with efficient credit gives A.

    Source: R. Sutton, A. Barto, "Reinforcement Learning", section 13.4 (the return), with credit for rewards.

    Args:
        rollouts: Rollouts with the credit of their segments.
        normalise: Whether to take z; without, A_t = G_t in the scored span.

    Returns:
        float64 (B, T).

    Raises:
        AgentError: A setting is out of range.
    """
    if not isinstance(normalise, bool):
        raise AgentError(f"expected normalise to be true or false, but got {normalise!r}")
    filled = np.where(np.isnan(rollouts.credit), 0.0, rollouts.credit)
    to_go = np.where(np.isnan(rollouts.credit), np.nan, filled[:, ::-1].cumsum(axis=1)[:, ::-1])
    return on_tokens(rollouts, in_units_of_advantage(rollouts, to_go, "group") if normalise else to_go)


def potential(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """A_t = R - Phi(s_t), Phi(s_t) = v(the whole segments before token t) - v(empty), from prefix credit.

    Phi is the running sum of ``prefix_potential`` credit: a function of the state, if whether a segment is whole is
    known from the tokens before t (``CreditedRollouts.whole``). A baseline that depends on the state only leaves the
    expected policy gradient as it is, and with it the optimal policy. That is exact on-policy, with raw returns, a
    constant denominator of the loss and no KL; group means or standard deviations, length normalisation and KL break
    it. With any other credit it is no potential.

    So that nothing breaks it, tokens outside the scored span get R - Phi(s_t) too, not the group advantage: R before
    the span, R less the worth of what was whole after it. Without segments all tokens get R.

    Source: A. Ng, D. Harada, S. Russell, "Policy invariance under reward transformations", 1999; E. Greensmith,
    P. Bartlett, J. Baxter, "Variance reduction techniques for gradient estimates", 2004.

    Args:
        rollouts: Rollouts with ``prefix_potential`` credit.

    Returns:
        float64 (B, T).
    """
    whole = rollouts.whole
    if whole is None:
        before = np.pad(rollouts.segment, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        whole = np.maximum.accumulate(np.maximum(before, 0), axis=1)
    filled = np.where(np.isnan(rollouts.credit), 0.0, rollouts.credit)
    phi = np.pad(filled.cumsum(axis=1), ((0, 0), (1, 0)))
    advantages = rollouts.rewards[:, None] - np.take_along_axis(phi, whole, axis=1)
    return np.where(rollouts.mask, advantages, 0.0)


REDISTRIBUTIONS: Mapping[str, Callable[..., NDArray[np.float64]]] = MappingProxyType(
    {
        "additive": additive,
        "signed": signed,
        "prop": prop,
        "rank": rank,
        "return_to_go": return_to_go,
        "potential": potential,
        "oar": oar,
        "scar": scar,
        "entropy_weights": entropy_weights,
        "tempo": tempo,
        "grpo_lambda": grpo_lambda,
    }
)
"""Redistributions by name: each lays credit on tokens, but the last three, which do not read it."""

READ_ENTROPY = frozenset({"entropy_weights"})
"""Redistributions that need ``CreditedRollouts.entropy``: one more pass of the policy over its rollouts."""

_PUBLISHED = {"solution": "contiguous", "redistribution": "prop", "redistribution_settings": {"scaling": "minmax"}}
PAPER: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "esci": {"segmenter": "phrases", "solution_settings": {"width": 32, "budget": 64}, **_PUBLISHED},
        "hm": {"segmenter": "sentences", "solution_settings": {"width": 8, "budget": 96}, **_PUBLISHED},
    }
)
"""The published choices of segments, credit and redistribution (arXiv 2601.08403), by data set; G = 8 in both."""


def make_redistribution(name: str, **settings: Any) -> Redistribution:
    """A redistribution by name, with settings of its own.

    Args:
        name: A name in :data:`REDISTRIBUTIONS`.
        **settings: Keyword arguments of that function.

    Raises:
        AgentError: The name or a setting is unknown, or a setting is out of range.
    """
    if name not in REDISTRIBUTIONS:
        raise unknown("redistribution", name, REDISTRIBUTIONS)
    function = REDISTRIBUTIONS[name]
    names = list(inspect.signature(function).parameters)[1:]
    for setting in settings:
        if setting not in names:
            raise unknown(f"{name} setting", setting, names)
    redistribution = partial(function, **settings)
    none, nobody = np.zeros(0), np.zeros((0, 0))
    whole, false = nobody.astype(np.int64), nobody.astype(np.bool_)
    # No rollouts: a setting out of range is reported before training starts.
    redistribution(
        CreditedRollouts(
            none,
            none,
            nobody,
            whole,
            false,
            none.astype(np.int64),
            separator=false,
            phrase=whole,
            tokens=whole,
            entropy=nobody,
        )
    )
    return redistribution
