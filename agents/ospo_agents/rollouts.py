"""Rollouts with the credit of their segments, and the steps that redistributions share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ospo_agents.errors import AgentError, unknown

__all__ = ["CreditedRollouts", "in_shares", "on_tokens", "standardised", "tie_width"]

_TIE = 1e-9  # relative to a rollout's largest credit: solutions of the game agree up to rounding only


@dataclass(frozen=True)
class CreditedRollouts:
    """Input of a redistribution. Rollouts of one group stand next to each other.

    Attributes:
        advantages: float (B,), advantage of each rollout in its group.
        rewards: float (B,), worth of each whole text.
        credit: float (B, N), credit of each segment; nan after a rollout's last one.
        segment: int (B, T), the segment of each token; -1 outside the scored span.
        mask: bool (B, T), true for the tokens of the completion.
        group_size: Rollouts of one prompt, at least 1; divides B.
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
    group_size: int
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
        if self.group_size < 1 or rollouts % self.group_size:
            raise AgentError(f"expected a group size that divides {rollouts} rollouts, but got {self.group_size}")
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


def standardised(values: NDArray[np.float64], group_size: int, centring: str, eps: float = 1e-4) -> NDArray[np.float64]:
    """Values (B, N) less a mean, over the sample standard deviation of that difference in the group, plus eps: (B, N).

    Args:
        values: float (B, N), nan where there is none; nan stays nan.
        group_size: Rollouts of one group; divides B.
        centring: Whether the mean is that of the ``group``'s values or of the ``rollout``'s own.
        eps: Added to the standard deviation.

    Raises:
        AgentError: The centring is unknown.
    """
    if centring not in ("group", "rollout"):
        raise unknown("centring", centring, ("group", "rollout"))
    grouped = values.reshape(len(values) // group_size, group_size, values.shape[1])
    axes = (1, 2) if centring == "group" else (2,)
    present = ~np.isnan(grouped)
    filled = np.where(present, grouped, 0.0)
    mean = filled.sum(axis=axes, keepdims=True) / np.maximum(present.sum(axis=axes, keepdims=True), 1)
    centred = np.where(present, grouped - mean, np.nan)
    squares = np.where(present, centred**2, 0.0).sum(axis=(1, 2), keepdims=True)
    variance = squares / np.maximum(present.sum(axis=(1, 2), keepdims=True) - 1, 1)
    scaled: NDArray[np.float64] = (centred / (np.sqrt(variance) + eps)).reshape(values.shape)
    return scaled


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
