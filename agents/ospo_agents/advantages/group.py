"""Advantages of rollouts within their group."""

import math

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError
from ospo_agents.rollouts import check_group, members, standardised

__all__ = ["group_relative"]


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
