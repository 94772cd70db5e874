"""Bounds on the texts that a task scores for credit; it estimates the worths of others."""

from collections.abc import Sequence

import numpy as np

from ospo_agents.errors import AgentError
from ospo_agents.protocols import BoundedTask, Coalitions, CoalitionTask

__all__ = ["DEFAULT_CALLS", "call_bounds", "reached_bound", "training_calls"]

DEFAULT_CALLS = 8
"""Texts of a rewrite that training scores where coalitions are not sums; docs/PERFORMANCE.md says how it was chosen."""


def training_calls(task: CoalitionTask, calls: int | None) -> int:
    """Texts of a rewrite that training scores at most; 0 for all.

    Args:
        task: The task.
        calls: Number asked for, 0 for all; None takes :data:`DEFAULT_CALLS` for a task whose coalitions are not sums.

    Raises:
        AgentError: A bound is asked of a task that takes none.
    """
    if calls:
        _check_bounded(task, calls)
    if calls is not None:
        return calls
    return DEFAULT_CALLS if isinstance(task, BoundedTask) and not task.linear else 0


def call_bounds(task: CoalitionTask, calls: int | None, counts: Sequence[int]) -> list[int] | None:
    """Calls of each text, one more than its segments that count at least; None for no bound."""
    if calls is None:
        return None
    if not isinstance(calls, int) or isinstance(calls, bool) or calls < 1:
        raise AgentError(f"expected calls as a whole number of at least 1, or None for all texts, but got {calls!r}")
    _check_bounded(task, calls)
    assert isinstance(task, BoundedTask)
    return None if task.linear else [max(calls, count + 1) for count in counts]


def reached_bound(bound: int, coalitions: Coalitions) -> int | None:
    """The bound, if there are more distinct coalitions with segments; else None."""
    kept = coalitions[coalitions.any(axis=1)]
    if len(kept) <= bound:
        return None
    return bound if len({row.tobytes() for row in np.packbits(kept, axis=1)}) > bound else None


def _check_bounded(task: CoalitionTask, calls: int) -> None:
    """Raise :class:`AgentError` unless a task takes a bound."""
    if not isinstance(task, BoundedTask):
        raise AgentError(
            f"expected a task that takes calls and says whether it is linear, for calls {calls}, but "
            f"{type(task).__name__} does not; leave calls out, or see ospo_agents.protocols.BoundedTask"
        )
