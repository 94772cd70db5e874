"""Rollouts with the credit of their segments, checked once for every redistribution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.errors import AgentError

__all__ = ["CreditedRollouts"]


@dataclass(frozen=True)
class CreditedRollouts:
    """What a redistribution reads. Rollouts of one group stand next to each other.

    Attributes:
        advantages: float (B,), advantage of each rollout in its group.
        rewards: float (B,), worth of each whole text.
        credit: float (B, N), credit of each segment; nan after a rollout's last one.
        segment: int (B, T), the segment of each token; -1 outside the scored span.
        mask: bool (B, T), which tokens belong to the completion.
        group_size: Rollouts of one prompt, at least 1; divides B.
        whole: int (B, T), how many segments were whole before each token was chosen
            (:func:`agents.alignment.whole_segments`); None for the segments before that of the token before, which
            is right where the first token of a segment decides that the one before it has ended. ``potential`` reads it.

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
        highest = self.segment.max(axis=1, initial=-1) + 1
        if self.whole is not None:
            highest = np.maximum(highest, self.whole.max(axis=1, initial=0))
        if (highest > counts).any():
            row = int(np.argmax(highest > counts))
            raise AgentError(f"expected credit for {highest[row]} segments of rollout {row}, but got {counts[row]}")
