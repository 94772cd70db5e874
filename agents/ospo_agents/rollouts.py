"""Rollouts with the credit of their segments, and the steps that redistributions share."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError, unknown

__all__ = [
    "CreditedRollouts",
    "check_group",
    "check_weight",
    "in_shares",
    "in_units_of_advantage",
    "members",
    "on_tokens",
    "pool_twins",
    "require",
    "standardised",
    "tie_width",
]

CENTRINGS = ("group", "place", "rollout", "none")
DIVISORS = ("credit", "reward")
_EPS = 1e-4  # TRL's
_FLAT = 1e-2  # spread of rewards under which their differences are noise
_TIE = 1e-9  # relative to a rollout's largest credit: solutions of the game agree up to rounding only


@dataclass(frozen=True)
class CreditedRollouts:
    """Input of a redistribution. Rollouts stand in any order, and groups have any size.

    A group of one rollout is a warning: its advantage is 0, and its credit has no other rollout to be compared with.

    Attributes:
        advantages: float (B,), advantage of each rollout in its group.
        rewards: float (B,), worth of each whole text.
        credit: float (B, N), credit of each segment; nan after a rollout's last one.
        segment: int (B, T), the segment of each token; -1 outside the scored span.
        mask: bool (B, T), true for the tokens of the completion.
        group: int (B,), a number for each rollout, equal for the rollouts of one prompt.
        whole: int (B, T), how many segments were whole before each token was chosen
            (:func:`ospo_agents.alignment.whole_segments`); None for the segments before that of the token before, which
            is right where the first token of a segment decides that the last one has ended. ``potential`` reads it.
        separator: bool (B, T), tokens outside the segments that decide whether the rewrite goes on
            (:class:`ospo_agents.answers.TokenMap`); None where they need not be told from others.
        phrase: int (B, N), a number for each segment, equal for equal phrases; None where twins are not pooled.
        per_reward: float (B,), by how much an advantage rises with its own reward: 1 / (std R + 1e-4) in GRPO, 1 where
            rewards are not scaled; None for GRPO's.
        tokens: int (B, T), the ids of the tokens; None where nothing reads them.
        entropy: float (B, T), entropy of the policy at each token, nats; None where nothing reads it.

    Raises:
        AgentError: Shapes do not fit together, or a token names a segment without credit.
    """

    advantages: NDArray[np.float64]
    rewards: NDArray[np.float64]
    credit: NDArray[np.float64]
    segment: NDArray[np.int64]
    mask: NDArray[np.bool_]
    group: NDArray[np.int64]
    whole: NDArray[np.int64] | None = None
    separator: NDArray[np.bool_] | None = None
    phrase: NDArray[np.int64] | None = None
    per_reward: NDArray[np.float64] | None = None
    tokens: NDArray[np.int64] | None = None
    entropy: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        rollouts, tokens = self.mask.shape
        counts = (~np.isnan(self.credit)).sum(axis=1) if self.credit.ndim == 2 else np.zeros(0)
        shapes = {
            "advantages (B,)": self.advantages.shape == (rollouts,),
            "rewards (B,)": self.rewards.shape == (rollouts,),
            "credit (B, N)": counts.shape == (rollouts,),
            "segment (B, T)": self.segment.shape == (rollouts, tokens),
            "whole (B, T)": self.whole is None or self.whole.shape == (rollouts, tokens),
            "separator (B, T)": self.separator is None or self.separator.shape == (rollouts, tokens),
            "phrase (B, N)": self.phrase is None or self.phrase.shape == self.credit.shape,
            "tokens (B, T)": self.tokens is None or self.tokens.shape == (rollouts, tokens),
            "entropy (B, T)": self.entropy is None or self.entropy.shape == (rollouts, tokens),
            "per_reward (B,)": self.per_reward is None or self.per_reward.shape == (rollouts,),
        }
        for name, fits in shapes.items():
            if not fits:
                raise AgentError(f"expected {name} for a mask of shape {self.mask.shape}, but its shape differs")
        check_group(self.group, rollouts, stacklevel=4)
        if (np.diff(np.isnan(self.credit).astype(np.int8), axis=1) < 0).any():
            raise AgentError("expected nan in credit only after a rollout's last segment, but it stands before one")
        highest = self.segment.max(axis=1, initial=-1) + 1
        if self.whole is not None:
            if self.whole.min(initial=0) < 0:
                raise AgentError(f"expected whole to count segments from 0, but got {self.whole.min()}")
            highest = np.maximum(highest, self.whole.max(axis=1, initial=0))
        if (highest > counts).any():
            row = int(np.argmax(highest > counts))
            raise AgentError(f"expected credit for {highest[row]} segments of rollout {row}, but got {counts[row]}")


def check_group(group: NDArray[np.int64], rollouts: int, *, stacklevel: int = 3) -> None:
    """Check the groups of rollouts, and warn of those that have one.

    Args:
        group: int (B,), a number for each rollout, equal for the rollouts of one prompt.
        rollouts: B.
        stacklevel: Number of the caller that the warning names.

    Raises:
        AgentError: ``group`` is not an array of B whole numbers.
    """
    given: object = group  # code of others passes a size or a list
    if not isinstance(given, np.ndarray) or given.shape != (rollouts,) or given.dtype.kind not in "iu":
        shown = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else f"{given!r:.40}"
        raise AgentError(
            f"expected group as whole numbers ({rollouts},), one for each rollout, but got {shown}; groups of equal "
            "size that stand next to each other are numpy.arange(B) // size"
        )
    alone = int((np.unique(group, return_counts=True)[1] == 1).sum())
    if alone:
        warnings.warn(
            f"{alone} of {rollouts} rollouts are alone in their group: nothing else was tried for their prompt, so "
            "their advantage is 0",
            stacklevel=stacklevel,
        )


def members(group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each group: one int64 array a group."""
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def standardised(
    values: NDArray[np.float64], group: NDArray[np.int64], centring: str, eps: float = _EPS
) -> NDArray[np.float64]:
    """Values (B, N) less a mean, over the sample standard deviation of that difference in the group, plus eps: (B, N).

    Sums are rounded once, so that no order of rollouts and no padding changes a bit.

    Args:
        values: float (B, N), nan where there is none; nan stays nan.
        group: int (B,), the group of each rollout.
        centring: Whether the mean is that of the ``group``'s values, of its values at the same ``place`` (column) or
            of the ``rollout``'s own, or 0 for ``none``.
        eps: Added to the standard deviation.

    Raises:
        AgentError: The centring is unknown.
    """
    scaled = np.full(values.shape, np.nan)
    centred = _centred(values, group, centring)
    for rows in members(group):
        scaled[rows] = centred[rows] / (_spread(centred[rows]) + eps)
    return scaled


def in_units_of_advantage(
    rollouts: CreditedRollouts, credit: NDArray[np.float64], centring: str, divisor: str = "credit"
) -> NDArray[np.float64]:
    """Credit (B, N) less a mean, over a spread of the group, as large as advantages are: (B, N).

    The spread is that of the credit itself (:func:`standardised`), or std R, the spread by which GRPO divides. In
    place of 1 / std R stands std R / (std R ** 2 + 0.01 ** 2), which is the same to 1 % from std R = .1 on and 0 in a
    group of equal rewards. Where advantages are not A = (R - mean R) / (std R + 1e-4), the result is multiplied by
    what they are in place of that (``rollouts.per_reward``).

    Args:
        rollouts: The rollouts.
        credit: float (B, N), nan where there is none.
        centring: ``group``, ``place``, ``rollout`` or ``none``, as in :func:`standardised`.
        divisor: ``credit`` or ``reward``.

    Raises:
        AgentError: The centring or the divisor is unknown.
    """
    if divisor not in DIVISORS:
        raise unknown("divisor", divisor, DIVISORS)
    spread = np.zeros(len(credit))
    for rows in members(rollouts.group):
        spread[rows] = _spread(rollouts.rewards[rows] - _mean(rollouts.rewards[rows]))
    if divisor == "credit":
        scaled = standardised(credit, rollouts.group, centring)
    else:
        scaled = _centred(credit, rollouts.group, centring) * (spread / (spread**2 + _FLAT**2))[:, None]
    if rollouts.per_reward is None:
        return scaled
    in_units: NDArray[np.float64] = scaled * (rollouts.per_reward * (spread + _EPS))[:, None]
    return in_units


def pool_twins(rollouts: CreditedRollouts, weight: float) -> NDArray[np.float64]:
    """Credit (B, N) drawn towards the mean credit of equal phrases of the group: c + weight * (mean - c).

    A phrase is a twin of itself, so that one without others keeps its credit; copies in one text count too.

    Source: W. James, C. Stein, "Estimation with quadratic loss", 1961: means of few noisy values are better drawn
    towards a common one.

    Args:
        rollouts: The rollouts, with ``phrase``.
        weight: Weight of the mean, in [0, 1].

    Raises:
        AgentError: The weight is out of range, or it is above 0 and there is no ``phrase``.
    """
    if not _is_number(weight) or not 0 <= weight <= 1:
        raise AgentError(f"expected a weight of twins in [0, 1], but got {weight!r}")
    if weight == 0:
        return rollouts.credit
    phrase = require(rollouts.phrase, "phrase", "the weight of twins")
    pooled = rollouts.credit.copy()
    for rows in members(rollouts.group):
        block, numbers = rollouts.credit[rows], phrase[rows]
        for number in np.unique(numbers[~np.isnan(block)]):
            twins = (numbers == number) & ~np.isnan(block)
            block = np.where(twins, block + weight * (_mean(block[twins]) - block), block)
        pooled[rows] = block
    return pooled


def require(field: NDArray[Any] | None, name: str, purpose: str) -> NDArray[Any]:
    """An optional field of rollouts.

    Raises:
        AgentError: It is None.
    """
    if field is None:
        raise AgentError(f"{purpose} needs {name} of the rollouts, but it is None; pass it to CreditedRollouts")
    return field


def check_weight(name: str, value: Any) -> None:
    """Raise :class:`AgentError` unless a setting is a finite number of at least 0."""
    if not (_is_number(value) and np.isfinite(value) and value >= 0):
        raise AgentError(f"expected a finite {name} of at least 0, but got {value!r}")


def _is_number(value: Any) -> bool:
    """Settings come from files too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _centred(values: NDArray[np.float64], group: NDArray[np.int64], centring: str) -> NDArray[np.float64]:
    if centring not in CENTRINGS:
        raise unknown("centring", centring, CENTRINGS)
    if centring == "none":
        return values
    centred = np.full(values.shape, np.nan)
    if centring == "place":
        for rows in members(group):
            centred[rows] = values[rows] - [_mean(column) for column in values[rows].T]
        return centred
    for rows in members(group) if centring == "group" else np.arange(len(values))[:, None]:
        centred[rows] = values[rows] - _mean(values[rows])
    return centred


def _spread(centred: NDArray[np.float64]) -> float:
    """Sample standard deviation of differences from a mean; 0 for fewer than two."""
    squares = centred[~np.isnan(centred)] ** 2
    return math.sqrt(math.fsum(squares) / max(len(squares) - 1, 1))


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not nan, whatever their order; 0 without any."""
    present = values[~np.isnan(values)]
    return math.fsum(present) / max(len(present), 1)


def on_tokens(
    rollouts: CreditedRollouts, values: NDArray[np.float64], separator_weight: float = 1.0
) -> NDArray[np.float64]:
    """Values (B, N) of segments on their tokens, the group advantage on the others, 0 off the mask: (B, T).

    The group advantage on separators is multiplied by a weight.
    """
    padded = np.pad(values, ((0, 0), (0, 1)))  # so that there is a segment to look up where there is none
    of_segment = np.take_along_axis(padded, np.maximum(rollouts.segment, 0), axis=1)
    of_token = np.where(rollouts.segment >= 0, of_segment, rollouts.advantages[:, None])
    if separator_weight != 1:
        separator = require(rollouts.separator, "separator", "a weight of separators") & (rollouts.segment < 0)
        of_token = np.where(separator, separator_weight * rollouts.advantages[:, None], of_token)
    return np.where(rollouts.mask, of_token, 0.0)


def in_shares(rollouts: CreditedRollouts, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The group advantage in shares of non-negative weights (B, N) of segments; equal where all are 0: (B, T)."""
    scored = (rollouts.segment >= 0) & rollouts.mask
    padded = np.pad(weights, ((0, 0), (0, 1)))
    weight = np.where(scored, np.take_along_axis(padded, np.maximum(rollouts.segment, 0), axis=1), 0.0)
    mean = weight.sum(axis=1, keepdims=True) / np.maximum(scored.sum(axis=1, keepdims=True), 1)
    share = np.where(scored & (mean > 0), weight / np.where(mean > 0, mean, 1.0), 1.0)
    return np.where(rollouts.mask, rollouts.advantages[:, None] * share, 0.0)


def tie_width(credit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Difference up to which credit (B, N) of a rollout is equal: (B, 1)."""
    magnitude = np.where(np.isnan(credit), 0.0, np.abs(credit)).max(axis=1, keepdims=True, initial=0.0)
    width: NDArray[np.float64] = _TIE * magnitude
    return width
