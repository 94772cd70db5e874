"""The settings that name a task, and the task behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ospo_agents.errors import AgentError
from ospo_cli._modes import MODES

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
        compose: Text that the retriever is sent: ``replace``, the rewrite, or ``append``, the query and the rewrite.
        query_weight: Times that the query counts with ``append``.
        repeats: Whether repeated words ``count`` or are sent ``once``.
    """

    env: str
    data: str | None = None
    split: str = "train"
    retriever: str = "bm25"
    metric: str = "nDCG@10"
    max_words: int | None = None
    compose: str = "replace"
    query_weight: int = 1
    repeats: str = "count"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings among some values, as ``run.json`` holds them; what is missing has its default."""
        return cls(**{name: values[name] for name in RECORDED if name in values})

    def check(self, spell: Callable[[str], str] = str) -> None:
        """Raise :class:`AgentError` for a setting of the wrong type; ``spell`` says how messages write its name."""
        for name in ("env", "data", "retriever", "metric", "compose", "repeats"):
            value = getattr(self, name)
            if not (isinstance(value, str) or (name == "data" and value is None)):
                raise AgentError(f"{spell(name)}: expected text, got {str(value)[:80]}")
        for name in ("max_words", "query_weight"):
            number = getattr(self, name)
            if number is None and name == "max_words":
                continue
            if isinstance(number, bool) or not isinstance(number, int):
                raise AgentError(f"{spell(name)}: expected a whole number, got {str(number)[:80]!r}")

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
            **{name: getattr(self, name) for name in MODES},
        )


RECORDED = ("env", "data", "retriever", "metric", "max_words", *MODES)
