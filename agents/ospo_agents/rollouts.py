"""Rollouts with the credit of their segments, and the steps that redistributions share."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError, unknown

__all__ = ["CreditedRollouts", "check_group", "in_shares", "members", "on_tokens", "standardised", "tie_width"]

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

    def __post_init__(self) -> None:
        rollouts, tokens = self.mask.shape
        counts = (~np.isnan(self.credit)).sum(axis=1) if self.credit.ndim == 2 else np.zeros(0)
        shapes = {
            "advantages (B,)": self.advantages.shape == (rollouts,),
            "rewards (B,)": self.rewards.shape == (rollouts,),
            "credit (B, N)": counts.shape == (rollouts,),
            "segment (B, T)": self.segment.shape == (rollouts, tokens),
            "whole (B, T)": self.whole is None or self.whole.shape == (rollouts, tokens),
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
        stacklevel: Which caller the warning names.

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
    values: NDArray[np.float64], group: NDArray[np.int64], centring: str, eps: float = 1e-4
) -> NDArray[np.float64]:
    """Values (B, N) less a mean, over the sample standard deviation of that difference in the group, plus eps: (B, N).

    Sums are rounded once, so that no order of rollouts and no padding changes a bit.

    Args:
        values: float (B, N), nan where there is none; nan stays nan.
        group: int (B,), the group of each rollout.
        centring: Whether the mean is that of the ``group``'s values or of the ``rollout``'s own.
        eps: Added to the standard deviation.

    Raises:
        AgentError: The centring is unknown.
    """
    if centring not in ("group", "rollout"):
        raise unknown("centring", centring, ("group", "rollout"))
    scaled = np.full(values.shape, np.nan)
    for rows in members(group):
        block = values[rows]
        centred = block - (_mean(block) if centring == "group" else np.array([[_mean(row)] for row in block]))
        squares = centred[~np.isnan(centred)] ** 2
        scaled[rows] = centred / (math.sqrt(math.fsum(squares) / max(len(squares) - 1, 1)) + eps)
    return scaled


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not nan, whatever their order; 0 without any."""
    present = values[~np.isnan(values)]
    return math.fsum(present) / max(len(present), 1)


def on_tokens(rollouts: CreditedRollouts, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (B, N) of segments on their tokens, the group advantage on the others, 0 off the mask: (B, T)."""
    padded = np.pad(values, ((0, 0), (0, 1)))  # so that there is a segment to look up where there is none
    of_segment = np.take_along_axis(padded, np.maximum(rollouts.segment, 0), axis=1)
    of_token = np.where(rollouts.segment >= 0, of_segment, rollouts.advantages[:, None])
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
