"""By how much an advantage of TRL's GRPO rises with the reward of one function, from the rewards alone."""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.rollouts import members

__all__ = ["advantage_per_reward"]

_EPS = 1e-4  # TRL's


def advantage_per_reward(
    rewards: NDArray[np.float64],
    weights: NDArray[np.float64],
    group: NDArray[np.int64],
    scale_rewards: str,
    aggregation: str = "sum_then_normalize",
) -> NDArray[np.float64]:
    """Rise of each rollout's advantage with its first reward, at fixed means and spreads.

    TRL's advantage is a sum over its F reward functions of these factors times the reward less its group's mean.

    Args:
        rewards: float (B, F), the rewards of all functions; nan where a function gave none.
        weights: float (F,), TRL's ``reward_weights``.
        group: int (B,), the group of each rollout.
        scale_rewards: TRL's choice: ``group``, ``batch`` or ``none``.
        aggregation: TRL's ``multi_objective_aggregation``.

    Returns:
        float64 (B,).
    """
    total = np.nansum(rewards * weights, axis=1)
    if aggregation == "sum_then_normalize":
        divisor = {"group": _spreads(total, group), "batch": np.full(len(total), _spread(total))}.get(scale_rewards)
        per_reward: NDArray[np.float64] = weights[0] / (1.0 if divisor is None else divisor + _EPS)
        return np.broadcast_to(per_reward, total.shape).copy()
    each = np.stack([(column - _means(column, group)) / (_spreads(column, group) + _EPS) for column in rewards.T])
    spread = _spread(np.nansum(each * weights[:, None], axis=0))
    factor: NDArray[np.float64] = weights[0] / (_spreads(rewards[:, 0], group) + _EPS) / (spread + _EPS)
    return factor


def _spread(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.std(ddof=1)) if len(present) > 1 else 0.0


def _spreads(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    spreads = np.zeros(len(values))
    for rows in members(group):
        spreads[rows] = _spread(values[rows])
    return spreads


def _means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    means = np.full(len(values), np.nan)
    for rows in members(group):
        present = values[rows][~np.isnan(values[rows])]
        means[rows] = present.mean() if len(present) else np.nan
    return means
