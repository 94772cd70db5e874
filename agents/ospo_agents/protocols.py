"""The door: all that a learner may ask of a task, and what a policy is.

``ospo_env``'s task object satisfies :class:`Task` without importing this module; so can anything else that
scores text. A prompt is named by an opaque ``prompt_id``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["CoalitionTask", "Coalitions", "Policy", "Spans", "Task"]

Spans: TypeAlias = Sequence[tuple[int, int]]
"""Segments of one text as character spans ``[start, end)`` that tile it, in order; length N."""

Coalitions: TypeAlias = NDArray[np.bool_]
"""Subsets of N players, one a row: bool (C, N)."""


class CoalitionTask(Protocol):
    """The part of a task that credit needs."""

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: Sequence[Spans],
        coalitions: Sequence[Coalitions],
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each text's segments: B arrays of shape (C_b,)."""
        ...


@runtime_checkable
class Task(CoalitionTask, Protocol):
    """A task as a learner sees it: prompts out, rewards and coalition values back. All calls are batched."""

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Prompt ids and prompt texts of a split (``train``, ``validation``, ``test``), in order."""
        ...

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite, for supervised warm starts."""
        ...

    def texts(self) -> Iterable[str]:
        """Texts to train a tokenizer on; nothing of validation or test queries is among them."""
        ...

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """What ``env.step`` would return for each text: float64 (B,), in [0, 1]."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Evaluations since the task was made: ``asked``, ``distinct``, ``cached``."""
        ...


class Policy(Protocol):
    """Anything that rewrites: prompt ids and prompts in, texts out."""

    def __call__(self, prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        """One text for each prompt."""
        ...
