"""Tasks made of tasks: rewards that are means over retrievers, and rewards less those of the same text elsewhere.

A learner reads such a task as it reads any other (``ospo_agents.protocols``): the worth of all segments is the reward,
bit for bit, and coalitions of linear retrievers stay sums. Both games are linear in the games that they are made of, so
that the credit of a mean is the mean of credits, for every solution that is linear in the game.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs_data import SPLITS
from ospo_env.errors import TaskError

__all__ = ["ContrastTask", "MeanTask", "RewardTask"]

_Spans = Sequence[Sequence[tuple[int, int]]]
_Value = TypeVar("_Value")


class RewardTask(Protocol):
    """A task as a learner reads it: :class:`~ospo_env.task.RetrievalTask` and the tasks here are some."""

    @property
    def linear(self) -> bool:
        """True if worths of coalitions follow from scores of segments."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Work since the task was made."""
        ...

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Ids and texts of a split's prompts."""
        ...

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite."""
        ...

    def texts(self) -> Iterable[str]:
        """Texts for a tokenizer."""
        ...

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """Reward of each text, float64 (B,), in [0, 1]."""
        ...

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each text, and those among them that no document holds: int64 (B, 2)."""
        ...

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Characters of each text that count, int64 (B,)."""
        ...

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: _Spans,
        coalitions: Sequence[NDArray[np.bool_]],
        calls: int | Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each text's segments: B times float64 (C_b,)."""
        ...


class MeanTask:
    """The mean of the rewards of several tasks on the same prompts, such as one data set under several retrievers.

    Attributes:
        tasks: The tasks; prompts, demonstrations and texts are those of the first.

    Args:
        tasks: At least one.

    Raises:
        TaskError: There is none, one is in turns, or they have different prompts.
    """

    def __init__(self, tasks: Sequence[RewardTask]) -> None:
        if not tasks:
            raise TaskError("expected at least one task for a mean of rewards; got none")
        for task in tasks:
            _check_one_step(task, "a mean of rewards")
        for split in SPLITS:
            if any(task.prompts(split) != tasks[0].prompts(split) for task in tasks[1:]):
                raise TaskError(f"expected tasks of the same prompts for a mean of rewards; those of {split} differ")
        self.tasks = tuple(tasks)

    @property
    def linear(self) -> bool:
        """True if all tasks are."""
        return all(task.linear for task in self.tasks)

    @property
    def counters(self) -> Mapping[str, int]:
        """Sums of the tasks' counters."""
        counts = [task.counters for task in self.tasks]
        return {name: sum(count[name] for count in counts) for name in counts[0]}

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Ids and texts of a split's prompts."""
        return self.tasks[0].prompts(split)

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite."""
        return self.tasks[0].demonstrations()

    def texts(self) -> Iterable[str]:
        """Texts for a tokenizer."""
        return self.tasks[0].texts()

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The mean reward of each text, float64 (B,)."""
        return _mean([task.rewards(prompt_ids, texts) for task in self.tasks])

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each text, and those among them that no document holds: int64 (B, 2)."""
        return self.tasks[0].count_words(texts)

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Characters of each text that count in any of the tasks, int64 (B,)."""
        lengths: NDArray[np.int64] = np.max([task.scored(prompt_ids, texts) for task in self.tasks], axis=0)
        return lengths

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: _Spans,
        coalitions: Sequence[NDArray[np.bool_]],
        calls: int | Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[NDArray[np.float64]]:
        """The mean worth of each coalition; ``calls`` bounds the texts of a rewrite that each task scores."""
        values = [task.coalition_values(prompt_ids, texts, spans, coalitions, calls, seeds) for task in self.tasks]
        return [_mean(of_text) for of_text in zip(*values, strict=True)]


class ContrastTask:
    """The reward of a text less the mean reward of the same text on other training queries, moved into [0, 1].

    With r(q, t) the reward of text t on query q, and K other queries that seed and prompt choose, the reward is
    (1 + r(q, t) - mean r(q', t)) / 2. A text that is as good for any query as for its own earns a half: a policy cannot
    rise by words that fit every query. The other queries of a prompt are always the same, so that in a group of
    rollouts only the texts differ. Half the difference is what advantages are made of, and 0, which a completion
    without a rewrite earns, is below everything that a text can earn but the worst.

    ``metric_values`` stays the metric itself.

    Attributes:
        task: The task.
        contrast: K.

    Args:
        task: The task whose reward is taken.
        contrast: Number K of other training queries, at least 1; each text is scored K times more.
        seed: Seed of their choice, at least 0.

    Raises:
        TaskError: The task is in turns, or K is out of range: there must be more training queries.
    """

    def __init__(self, task: RewardTask, contrast: int, seed: int = 0) -> None:
        _check_one_step(task, "a contrast")
        self._ids = task.prompts("train")[0]
        if not isinstance(contrast, int) or isinstance(contrast, bool) or contrast < 1:
            raise TaskError(f"expected contrast as a whole number of at least 1; got {contrast!r}")
        if contrast >= len(self._ids):
            raise TaskError(
                f"expected contrast below the number of training queries, {len(self._ids)}; got {contrast}: each text "
                "is compared with that many others"
            )
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise TaskError(f"expected seed as a whole number of at least 0; got {seed!r}")
        self.task = task
        self.contrast = contrast
        self._seed = seed
        self._others: dict[str, list[str]] = {}

    @property
    def linear(self) -> bool:
        """True if the task is."""
        return self.task.linear

    @property
    def counters(self) -> Mapping[str, int]:
        """The task's counters."""
        return self.task.counters

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Ids and texts of a split's prompts."""
        return self.task.prompts(split)

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite."""
        return self.task.demonstrations()

    def texts(self) -> Iterable[str]:
        """Texts for a tokenizer."""
        return self.task.texts()

    def others(self, prompt_id: str) -> list[str]:
        """The K other training prompts that a prompt is compared with."""
        if prompt_id not in self._others:
            rng = np.random.default_rng([self._seed, zlib.crc32(prompt_id.encode("utf-8", "surrogatepass"))])
            drawn = [self._ids[row] for row in rng.choice(len(self._ids), size=self.contrast + 1, replace=False)]
            self._others[prompt_id] = [other for other in drawn if other != prompt_id][: self.contrast]
        return self._others[prompt_id]

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The contrastive reward of each text, float64 (B,)."""
        values = self.task.rewards(self._compared(prompt_ids), self._repeated(texts))
        return self._contrasts(list(values.reshape(-1, self.contrast + 1).T))

    def metric_values(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The task's own reward, the metric that people read: float64 (B,)."""
        return self.task.rewards(prompt_ids, texts)

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each text, and those among them that no document holds: int64 (B, 2)."""
        return self.task.count_words(texts)

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Characters of each text that count for its own prompt or for one of the others, int64 (B,)."""
        lengths = self.task.scored(self._compared(prompt_ids), self._repeated(texts))
        most: NDArray[np.int64] = lengths.reshape(-1, self.contrast + 1).max(axis=1, initial=0)
        return most

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: _Spans,
        coalitions: Sequence[NDArray[np.bool_]],
        calls: int | Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[NDArray[np.float64]]:
        """The contrastive worth of each coalition; ``calls`` bounds the texts of a rewrite on each query."""
        values = self.task.coalition_values(
            self._compared(prompt_ids),
            self._repeated(texts),
            self._repeated(spans),
            self._repeated(coalitions),
            calls if calls is None or isinstance(calls, int) else self._repeated(calls),
            None if seeds is None else self._repeated(seeds),
        )
        size = self.contrast + 1
        return [self._contrasts(values[start : start + size]) for start in range(0, len(values), size)]

    def _compared(self, prompt_ids: Sequence[str]) -> list[str]:
        """Each prompt and, behind it, the others that it is compared with."""
        return [key for prompt_id in prompt_ids for key in (prompt_id, *self.others(prompt_id))]

    def _repeated(self, values: Sequence[_Value]) -> list[_Value]:
        return [value for value in values for _ in range(self.contrast + 1)]

    def _contrasts(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """From values on the own prompt and on the others, K + 1 arrays of one shape."""
        contrasts: NDArray[np.float64] = (1.0 + values[0] - _mean(values[1:])) / 2.0
        return contrasts


def _check_one_step(task: object, what: str) -> None:
    """Raise :class:`TaskError` for a task in turns, whose worths take no calls and whose rewards are no metric."""
    if getattr(task, "in_turns", False):
        raise TaskError(f"expected tasks of one step for {what}; {type(task).__name__} is in turns")


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean of arrays of one shape, added in order, so that an element is the same in every batch."""
    total = values[0]
    for more in values[1:]:
        total = total + more
    return total / len(values)
