"""Redistributions that divide a rollout's advantage among its tokens, in shares of credit."""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import unknown
from ospo_agents.rollouts import CreditedRollouts, in_shares, tie_width

__all__ = ["prop", "rank"]


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
