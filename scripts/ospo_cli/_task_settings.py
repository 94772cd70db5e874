"""The settings that name a task, and the task behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ospo_agents.errors import AgentError

if TYPE_CHECKING:
    from ospo_env import RetrievalTask

__all__ = ["TaskSettings"]


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """The task that a policy is trained on.

    Attributes:
        env: Environment id.
        data: Prepared directory; None means the embedded sample.
        split: Split whose queries are the prompts.
        retriever: Retriever that ranks.
        metric: Metric that is the reward.
        max_words: Words of a rewrite that count; None means the environment's own cap.
    """

    env: str
    data: str | None = None
    split: str = "train"
    retriever: str = "bm25"
    metric: str = "nDCG@10"
    max_words: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings among some values, as ``run.json`` holds them; what is missing has its default."""
        return cls(**{name: values[name] for name in RECORDED if name in values})

    def check(self, spell: Callable[[str], str] = str) -> None:
        """Raise :class:`AgentError` for a setting of the wrong type; ``spell`` says how messages write its name."""
        for name in ("env", "data", "retriever", "metric"):
            value = getattr(self, name)
            if not (isinstance(value, str) or (name == "data" and value is None)):
                raise AgentError(f"{spell(name)}: expected text, got {str(value)[:80]}")
        words = self.max_words
        if words is not None and (isinstance(words, bool) or not isinstance(words, int)):
            raise AgentError(f"{spell('max_words')}: expected a whole number, got {str(words)[:80]!r}")

    def as_json(self) -> dict[str, Any]:
        """The settings as ``run.json`` holds them, without the split, which is the same for all runs."""
        return {name: getattr(self, name) for name in RECORDED}

    def open(self) -> RetrievalTask:
        """The task, as ``gym.make`` opens it.

        Raises:
            TaskError: The id is unknown or not one of this project's, or a setting is wrong.
            DataError: The data cannot be read.
        """
        from ospo_cli._tasks import open_task  # slow to import, and not needed for --help

        return open_task(
            self.env,
            None if self.data is None else Path(self.data),
            split=self.split,
            retriever=self.retriever,
            metric=self.metric,
            max_words=self.max_words,
        )


RECORDED = ("env", "data", "retriever", "metric", "max_words")
