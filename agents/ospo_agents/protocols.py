"""Protocols between learners and tasks: all that a learner may ask of a task, and what a policy is.

Other documents call this boundary the door. ``ospo_env``'s task object satisfies :class:`Task` without importing this
module; any other object that scores text can do so too. A prompt is named by an opaque ``prompt_id``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BoundedTask",
    "CappedTask",
    "CoalitionTask",
    "Coalitions",
    "LexicalTask",
    "MeasuredTask",
    "Policy",
    "ReplyTask",
    "Spans",
    "Task",
    "TurnTask",
]

Spans: TypeAlias = Sequence[tuple[int, int]]
"""Segments of one text as character spans ``[start, end)`` that tile it, in order; length N."""

Coalitions: TypeAlias = NDArray[np.bool_]
"""Subsets of N players, one a row: bool (C, N)."""


class CoalitionTask(Protocol):
    """The part of a task that :func:`ospo_agents.assign_credit` needs."""

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: Sequence[Spans],
        coalitions: Sequence[Coalitions],
    ) -> list[NDArray[np.float64]]:
        """Worth of each coalition of each text's segments, in one call of the retriever.

        Args:
            prompt_ids: The prompt that each text answers, length B.
            texts: Rewrites, length B.
            spans: N_b segments of each text, which tile it.
            coalitions: Subsets of each text's segments: B arrays of shape (C_b, N_b).

        Returns:
            B arrays float64 (C_b,). The worth of all segments is what :meth:`Task.rewards` gives, bit for bit.
        """
        ...


@runtime_checkable
class BoundedTask(Protocol):
    """A task that takes a bound on the texts that it scores, so that credit is cheap where scoring is expensive."""

    @property
    def linear(self) -> bool:
        """True if worths of coalitions follow from scores of segments: they cost nothing then, and need no bound."""
        ...

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: Sequence[Spans],
        coalitions: Sequence[Coalitions],
        calls: int | Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[NDArray[np.float64]]:
        """As :meth:`CoalitionTask.coalition_values`, with worths estimated beyond a bound.

        Args:
            prompt_ids: As there, as are the next three.
            texts: B rewrites.
            spans: Their segments.
            coalitions: Subsets of these.
            calls: Distinct texts of each rewrite that are scored at most, one number for all or one each, at least one
                more than there are segments that count. None scores all.
            seeds: Seed of each rewrite's choice of these.

        Returns:
            B arrays float64 (C_b,). What was scored, such as the whole text, has its own worth.
        """
        ...


@runtime_checkable
class CappedTask(Protocol):
    """The part of a task that says how much of a text counts, so that credit spends nothing on the rest."""

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Number of characters at the start of each text that count, int64 (B,); the others change no worth."""
        ...


@runtime_checkable
class Task(CoalitionTask, CappedTask, Protocol):
    """A task as a learner sees it: it gives prompts, rewards and coalition values. All calls are batched."""

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Prompt ids and prompt texts of a split (``train``, ``validation``, ``test``), in order."""
        ...

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite, for a supervised warm start."""
        ...

    def texts(self) -> Iterable[str]:
        """Texts to train a tokenizer on; none comes from validation or test queries."""
        ...

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """Reward of each text, the number that ``env.step`` returns for it: float64 (B,), in [0, 1]."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Evaluations since the task was made: ``asked``, ``distinct``, ``cached``, ..."""
        ...


@runtime_checkable
class MeasuredTask(Protocol):
    """A task that says what people read of a text, where its reward is something else, such as a contrast.

    Evaluations during training and logs report that metric; learning reads the reward.
    """

    def metric_values(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The metric of each text: float64 (B,), in [0, 1]."""
        ...


@runtime_checkable
class LexicalTask(Protocol):
    """A task that knows the words of its documents, so that logs show what a policy makes up."""

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each text, and those among them that no document holds: int64 (B, 2)."""
        ...


@runtime_checkable
class TurnTask(Protocol):
    """A task whose texts are episodes in turns, such as the searches that an agent makes one after another.

    The text of an episode has a line for each turn; a line break ends a turn and is never inside one. So prompt id and
    text name an episode whole, and nothing is remembered between calls. A segment lies within one line and its line
    break, which are its turn; blank turns have a segment too. A coalition replays the turns of which it keeps a
    segment that counts, with the kept segments alone; a turn without one is not made and is not paid for, so that no
    segment at all is worth 0. Turns are the unions of solutions that have some.
    """

    @property
    def in_turns(self) -> bool:
        """True where texts are episodes."""
        ...


@runtime_checkable
class ReplyTask(TurnTask, Protocol):
    """A task in turns that says what an agent reads after a turn, so that a policy can play episodes."""

    @property
    def max_turns(self) -> int:
        """Turns of an episode at most."""
        ...

    def replies(self, prompt_ids: Sequence[str], turns: Sequence[str]) -> list[str]:
        """The text, of whole lines, that an agent reads after each of B turns of episodes of their own.

        Args:
            prompt_ids: The prompt of each episode, length B.
            turns: The last line of each, length B.
        """
        ...


class Policy(Protocol):
    """A function from prompts to rewrites."""

    def __call__(self, prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        """One text for each prompt."""
        ...
