"""Redistributions that measure credit in the units of the advantage, and add it to the advantage or replace it."""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError
from ospo_agents.rollouts import CreditedRollouts, check_weight, in_units_of_advantage, on_tokens, pool_twins

__all__ = ["additive", "return_to_go", "signed"]


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
