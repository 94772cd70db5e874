"""Advantages of tokens from credited completions and the group of each: what a trainer other than TRL's calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.advantages import group_relative, make_redistribution
from ospo_agents.batches import CreditedCompletion, stack_completions
from ospo_agents.errors import unknown
from ospo_agents.reward_scale import advantage_per_reward
from ospo_agents.rollouts import check_group

__all__ = ["SCALES", "group_advantages", "token_advantages"]

SCALES = ("group", "batch", "none")
"""Spreads by which advantages are divided: that of the group's rewards, that of all rewards, or none; TRL's names."""


def token_advantages(
    credited: Sequence[CreditedCompletion],
    group: NDArray[np.int64],
    *,
    redistribution: str = "additive",
    redistribution_settings: Mapping[str, Any] | None = None,
    scale_rewards: str = "group",
) -> NDArray[np.float64]:
    """Advantages of the tokens of a batch, as :class:`ospo_agents.trainer.OSPOTrainer` computes them.

    Args:
        credited: Completions with credit (:func:`ospo_agents.credit_completions`), length B, in any order.
        group: int (B,), a number for each completion, equal for the completions of one prompt.
        redistribution: Name in :data:`ospo_agents.advantages.REDISTRIBUTIONS`; those that read the policy's entropy are
            not served here.
        redistribution_settings: Keyword arguments of the redistribution.
        scale_rewards: Name in :data:`SCALES`.

    Returns:
        float64 (B, T), T the tokens of the longest completion; 0 behind the end of a shorter one.

    Raises:
        AgentError: A name or a setting is unknown, there is not one group for each completion, or the redistribution
            reads the policy's entropy.
    """
    redistribute = make_redistribution(redistribution, **(redistribution_settings or {}))
    rewards = np.array([one.reward for one in credited], dtype=np.float64)
    advantages, per_reward = group_advantages(rewards, group, scale_rewards)
    if not credited:
        return np.zeros((0, 0))
    return redistribute(stack_completions(credited, advantages, group, per_reward=per_reward))


def group_advantages(
    rewards: NDArray[np.float64], group: NDArray[np.int64], scale_rewards: str = "group"
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Advantages of rollouts in their group, and by how much they rise with their reward.

    Args:
        rewards: float (B,), finite.
        group: int (B,), the group of each rollout.
        scale_rewards: Name in :data:`SCALES`.

    Returns:
        float64 (B,), and float64 (B,) or None, as the fields ``advantages`` and ``per_reward`` of
        :class:`ospo_agents.advantages.CreditedRollouts`.

    Raises:
        AgentError: The scale is unknown, rewards are not finite, or there is not one group for each.

    >>> group_advantages(np.array([0.0, 2.0, 1.0, 5.0]), np.array([7, 3, 7, 3]), "none")
    (array([-0.5, -1.5,  0.5,  1.5]), array([1., 1., 1., 1.]))
    """
    if scale_rewards not in SCALES:
        raise unknown("scale of rewards", scale_rewards, SCALES)
    if scale_rewards == "group":
        return group_relative(rewards, group), None
    check_group(group, len(rewards))
    per_reward = advantage_per_reward(rewards[:, None], np.ones(1), group, scale_rewards)
    return per_reward * group_relative(rewards, group, scale=False), per_reward
