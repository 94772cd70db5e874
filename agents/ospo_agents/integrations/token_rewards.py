"""Credit written as one reward for each token, for trainers that hand an advantage estimator nothing else.

Such a trainer (SkyRL, verl) passes float32 rewards (B, T), a mask and the group of each rollout. Each token of a
completion gets one number, never 0:

- The last token of a segment has the segment's credit. A credit of 0 is 2^-31; what is smaller than 2^-30 counts as 0.
- Any other token has one of three codes: it lies in a segment that ends later, it is a separator, or neither. The code
  is a power of two far below any credit, 2^-62, 2^-92 or 2^-122. The first such token of a completion has its code
  times 2^26 times what the reward differs from the sum of credits, so that the reward is told too.
- Padding, on either side, is 0.

The sum of a row is the sum of credits: the reward where the solution is efficient and the rewrite alone is ranked, the
gain over the raw query where the query is sent too. Credit and reward keep the precision of float32.

A rewrite without a word has a segment without a token, since separators belong to none. The negative of a code stands
for such a segment of credit 0.

Two things do not fit and are counted (:func:`joined_segments`). Any other segment without a token of its own, such as
the second of two words in one token, shares the credit of the segment before it, or after it if it is the first. A
reward that differs from the sum of credits in a completion all of whose tokens end segments joins the last two; with
one token its credit becomes the reward.

Redistributions that read more than credit, segments and separators are refused by name (:data:`CARRIED`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.advantages import REDISTRIBUTIONS, CreditedRollouts, Redistribution, make_redistribution
from ospo_agents.batches import CreditedCompletion
from ospo_agents.errors import AgentError, unknown
from ospo_agents.group_advantages import group_advantages

__all__ = [
    "CARRIED",
    "advantages_of_token_rewards",
    "carried_redistribution",
    "joined_segments",
    "read_token_rewards",
    "token_rewards",
]

CARRIED = ("additive", "signed", "prop", "rank", "return_to_go", "oar", "scar", "grpo_lambda")
"""Redistributions that token rewards carry. ``potential`` reads when segments were known to be whole, ``tempo`` the ids
of tokens, ``entropy_weights`` the policy's entropy, and ``twin_weight`` of ``additive`` the words of segments."""

_PLAIN, _SEPARATOR, _INNER = range(3)
_CODES = np.array([2.0**-122, 2.0**-92, 2.0**-62], dtype=np.float32)
_ZERO = np.float32(2.0**-31)
_LEAST = 2.0**-30
_REST = 2.0**26  # a code times this times the rest of the reward lies above the code and below the next
_LEAST_REST, _MOST_REST = 2.0**-25, 15.0


def token_rewards(completion: CreditedCompletion) -> NDArray[np.float32]:
    """One reward for each token of a completion: float32 (T,).

    Raises:
        AgentError: The reward and the sum of credits differ by 15 or more, or one of them is not finite.
    """
    rewards, _ = _written(completion)
    return rewards


def joined_segments(completion: CreditedCompletion) -> int:
    """Number of a completion's segments whose credit is not told by itself; 0 where token rewards carry all."""
    _, joined = _written(completion)
    return joined


def _written(completion: CreditedCompletion) -> tuple[NDArray[np.float32], int]:
    segment, credit = completion.tokens.segment, completion.credit
    if not (np.isfinite(credit).all() and np.isfinite(completion.reward)):
        raise AgentError(f"expected finite credit and reward, but got {credit.tolist()} and {completion.reward}")
    present, ends = _ends(segment)
    values = np.zeros(len(present))
    if len(present):
        owners = np.searchsorted(present, np.arange(len(credit)), side="right") - 1
        np.add.at(values, np.maximum(owners, 0), credit)
    joined = len(credit) - len(present)
    rest = completion.reward - values.sum()
    if len(ends) and len(ends) == len(segment) and abs(rest) >= _LEAST_REST:
        joined += 1
        if len(ends) == 1:
            values, rest = np.array([completion.reward]), 0.0
        else:
            values, ends = np.append(values[:-2], values[-2] + values[-1]), np.delete(ends, -2)
    kinds = np.where(segment >= 0, _INNER, np.where(completion.tokens.separator, _SEPARATOR, _PLAIN))
    written = _CODES[kinds]
    written[ends] = np.where(np.abs(values) < _LEAST, _ZERO, values)
    free = np.setdiff1d(np.arange(len(segment)), ends)
    if len(free) and abs(rest) >= _LEAST_REST:
        if abs(rest) >= _MOST_REST:
            raise AgentError(
                f"expected a reward within {_MOST_REST:g} of the sum of credits, but they differ by {rest}"
            )
        written[free[0]] *= np.float32(rest * _REST)
        free = free[1:]
    if not len(present) and len(credit) <= len(free) and np.abs(credit).max(initial=0.0) < _LEAST:
        written[free[: len(credit)]] *= -1
        joined = 0
    return written, joined


def _ends(segment: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Segments that have tokens, in order, and the last token of each."""
    present, behind = np.unique(segment[::-1], return_index=True)
    return present[present >= 0], len(segment) - 1 - behind[present >= 0]


def read_token_rewards(
    rewards: NDArray[Any], mask: NDArray[np.bool_], group: NDArray[np.int64], scale_rewards: str = "group"
) -> CreditedRollouts:
    """Rollouts with credit, from the rewards of their tokens.

    A row of zeros is a rollout without reward and without segments: trainers write one for a completion that was cut
    off.

    Args:
        rewards: float (B, T), rows of :func:`token_rewards` with zeros on either side.
        mask: bool (B, T), tokens that the loss reads: those of the policy, not a tool's.
        group: int (B,), the group of each rollout.
        scale_rewards: Name in :data:`ospo_agents.group_advantages.SCALES`.

    Raises:
        AgentError: A token's reward is no such number, or there is not one group for each rollout.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    size = np.abs(rewards)
    _check(rewards, size, mask)
    coded = size > 0
    ends = size >= float(_ZERO)
    kinds = np.searchsorted(_CODES.astype(np.float64), size, side="right") - 1
    code = _CODES.astype(np.float64)[np.maximum(kinds, 0)]
    bare = coded & ~ends & (size == code)
    rest = np.where(coded & ~ends & ~bare, rewards / (code * _REST), 0.0)
    values = np.where(ends & (size != float(_ZERO)), rewards, 0.0)
    before = np.cumsum(ends, axis=1) - ends  # segments that ended before each token
    without_token = (bare & (rewards < 0)).sum(axis=1)
    widths = ends.sum(axis=1) + without_token
    credit = np.where(np.arange(int(widths.max(initial=0))) < without_token[:, None], 0.0, np.nan)
    credit[np.nonzero(ends)[0], before[ends]] = values[ends]
    total = values.sum(axis=1) + rest.sum(axis=1)
    advantages, per_reward = group_advantages(total, group, scale_rewards)
    return CreditedRollouts(
        advantages=advantages,
        rewards=total,
        credit=credit,
        segment=np.where(ends | (coded & (kinds == _INNER)), before, -1),
        mask=mask,
        group=group,
        separator=coded & (kinds == _SEPARATOR),
        per_reward=per_reward,
    )


def _check(rewards: NDArray[np.float64], size: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    """Raise :class:`AgentError` unless each token of a rollout that has a reward has a number of its own."""
    if rewards.ndim != 2 or mask.shape != rewards.shape:
        raise AgentError(f"expected rewards and a mask (B, T), but got the shapes {rewards.shape} and {mask.shape}")
    coded = size > 0
    inside = np.maximum.accumulate(coded, axis=1) & np.maximum.accumulate(coded[:, ::-1], axis=1)[:, ::-1]
    missing = (inside | (mask & coded.any(axis=1, keepdims=True))) & ~coded
    wrong = missing | (coded & (size < float(_CODES[0]))) | ~np.isfinite(rewards)
    if wrong.any():
        row, token = np.argwhere(wrong)[0]
        raise AgentError(
            f"expected a credit or a code at each token, but token {token} of rollout {row} has the reward "
            f"{rewards[row, token]}; rewards come from ospo_agents.integrations.token_rewards, in float32, and nothing "
            "may be added to them"
        )


def carried_redistribution(name: str, settings: Mapping[str, Any] | None = None) -> Redistribution:
    """A redistribution that token rewards carry.

    Raises:
        AgentError: The redistribution or a setting is unknown, or token rewards do not carry what it reads.
    """
    if name in REDISTRIBUTIONS and name not in CARRIED:
        raise AgentError(
            f"redistribution {name} reads what rewards of tokens do not carry; expected one of {', '.join(CARRIED)}, "
            "or a trainer that takes advantages of tokens (ospo_agents.token_advantages)"
        )
    if name not in CARRIED:
        raise unknown("redistribution", name, CARRIED)
    if (settings or {}).get("twin_weight"):
        raise AgentError(f"twin_weight of {name} reads the words of segments, which rewards of tokens do not carry")
    return make_redistribution(name, **(settings or {}))


def advantages_of_token_rewards(
    rewards: NDArray[Any],
    mask: NDArray[Any],
    groups: Sequence[Any],
    redistribute: Redistribution,
    *,
    scale_rewards: str = "group",
) -> NDArray[np.float64]:
    """Advantages of tokens from their rewards: float64 (B, T), 0 off the mask.

    Args:
        rewards: float (B, T), as :func:`read_token_rewards` takes them.
        mask: bool or 0 and 1 (B, T), tokens that the loss reads.
        groups: The group of each rollout, length B: any hashable ids, equal for the rollouts of one prompt.
        redistribute: A result of :func:`carried_redistribution`.
        scale_rewards: Name in :data:`ospo_agents.group_advantages.SCALES`.

    Raises:
        AgentError: Rewards are not those of this module.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    group = np.array([numbers[one] for one in groups], dtype=np.int64)
    loss_mask = np.asarray(mask) != 0
    rollouts = read_token_rewards(rewards, loss_mask, group, scale_rewards)
    return np.where(loss_mask, redistribute(rollouts), 0.0)
