"""The settings that make the reward of training out of a task's: several retrievers, and a contrast."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ospo_agents.errors import AgentError
from ospo_cli._run_file import SETTINGS

if TYPE_CHECKING:
    from ospo_env import RetrievalTask
    from ospo_env.reward_tasks import RewardTask

__all__ = ["RewardSettings"]


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """Reward of training; evaluations report the metric itself, under the retrievers that are named there.

    Attributes:
        reward_retrievers: Retrievers whose metrics are averaged, the task's own among them; None for that one alone.
        contrast: Number of other training queries whose mean reward for the same text is taken off; 0 for none.
    """

    reward_retrievers: tuple[str, ...] | None = None
    contrast: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings among some values, as ``run.json`` holds them; what is missing has its default."""
        own = {field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values}
        names = own.get("reward_retrievers")
        return cls(**own | ({"reward_retrievers": tuple(names)} if isinstance(names, list) else {}))

    def as_json(self) -> dict[str, Any]:
        """The settings as ``run.json`` holds them."""
        names = self.reward_retrievers
        return {"reward_retrievers": list(names) if isinstance(names, tuple) else names, "contrast": self.contrast}

    def check(self, retriever: str, spell: Callable[[str], str] = str) -> None:
        """Check every setting.

        Args:
            retriever: The task's own retriever.
            spell: Spelling of a setting's name in messages.

        Raises:
            AgentError: A setting has a value that it cannot have.
        """
        names: object = self.reward_retrievers  # presets and run.json hold whatever was written there
        what = spell("reward_retrievers")
        if names is not None:
            if not (isinstance(names, tuple) and names and all(isinstance(name, str) and name for name in names)):
                raise AgentError(f"{what}: expected names, for example bm25,lsa; got {names!r:.80}")
            if len(set(names)) < len(names):
                raise AgentError(f"{what}: expected each name once; got {', '.join(names)}")
            if retriever not in names:
                raise AgentError(f"{what}: expected {spell('retriever')} {retriever!r} among {', '.join(names)}")
        if isinstance(self.contrast, bool) or not isinstance(self.contrast, int) or self.contrast < 0:
            raise AgentError(f"{spell('contrast')}: expected a whole number of at least 0, got {self.contrast!r:.80}")

    def open(self, task: RetrievalTask, retriever: str, seed: int) -> RewardTask:
        """The task that a learner is given.

        Args:
            task: The task under its own retriever.
            retriever: The name of that one.
            seed: Seed of the queries that the contrast is made with.

        Raises:
            TaskError: A retriever is unknown, or there are too few training queries for the contrast.
        """
        from ospo_env import ContrastTask, MeanTask, RetrievalTask  # slow to import, and not needed for --help

        rewarding: RewardTask = task
        if self.reward_retrievers is not None and len(self.reward_retrievers) > 1:
            settings = {setting: getattr(task, setting) for setting in SETTINGS}
            others = [name for name in self.reward_retrievers if name != retriever]
            tasks = {name: RetrievalTask(task.data, name, **settings) for name in others}
            rewarding = MeanTask([tasks.get(name, task) for name in self.reward_retrievers])
        return ContrastTask(rewarding, self.contrast, seed) if self.contrast else rewarding
