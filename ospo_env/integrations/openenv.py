"""The task as an OpenEnv environment: one FastAPI application, whose sessions share a task and its batches.

An episode is ``reset``, which gives a prompt, and one ``step`` with a rewrite. ``reset`` draws a prompt of a split, by
``seed`` if there is one, or takes that of an ``index`` or a ``query_id``. A ``step`` with ``credit`` says what each
segment of the rewrite earned, if the server was made with a function that knows. ``ospo serve-env`` starts a server.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import numpy as np
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from pydantic import Field

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.integrations.sessions import Credit, Rewrite, SegmentCredit, SharedTask
from ospo_env.outcomes import Outcome
from ospo_env.task import RetrievalTask

__all__ = [
    "PromptEnvironment",
    "RewriteAction",
    "RewriteEnvironment",
    "RewriteObservation",
    "check_sizes",
    "make_app",
]

_RESET = ("seed", "episode_id", "split", "index", "query_id")


class RewriteAction(Action):  # type: ignore[misc]  # openenv may be absent where types are checked
    """A rewrite of the prompt."""

    text: str = Field(..., description="The rewrite: the text that the retriever is sent")
    credit: bool = Field(default=False, description="Whether to say what each segment of the rewrite earned")


class RewriteObservation(Observation):  # type: ignore[misc]
    """The prompt, and after a step what became of the rewrite."""

    query_id: str = Field(default="", description="Id of the prompt's query")
    prompt: str = Field(default="", description="What the policy reads")
    ranking: list[str] = Field(default_factory=list, description="Ids of the documents ranked first, best first")
    metrics: dict[str, float] = Field(default_factory=dict, description="Metrics of the ranking, each in [0, 1]")
    words_beyond_cap: int = Field(default=0, description="Words of the rewrite that did not count")
    segments: list[dict[str, float]] = Field(
        default_factory=list, description="start, end (characters) and credit of each segment, if the action asked"
    )


class PromptEnvironment(Environment):  # type: ignore[misc]
    """One session: its prompts, drawn or named, and what servers ask of the data.

    Args:
        shared: The task.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, shared: SharedTask) -> None:
        super().__init__()
        self._shared = shared
        self._random = np.random.default_rng()
        self._state = State(episode_id=None, step_count=0)
        self._query_id, self._prompt = "", ""

    def begin(
        self,
        seed: int | None,
        episode_id: str | None,
        split: str,
        index: int | None,
        query_id: str | None,
        unknown: Mapping[str, Any],
    ) -> None:
        """Draw the prompt of the next episode, or take the one that is named.

        Args:
            seed: Seed of the prompts that this session draws from now on.
            episode_id: Name of the episode; made up where there is none.
            split: ``train``, ``validation`` or ``test``.
            index: Place of the prompt in the split.
            query_id: Id of the prompt's query, of any split.
            unknown: Parameters of other names, which are refused.

        Raises:
            TaskError: A name, a place or an id is unknown, or both ``index`` and ``query_id`` are given.
        """
        for name in unknown:
            raise TaskError(unknown_name("reset parameter", name, _RESET))
        if index is not None and query_id is not None:
            raise TaskError("expected index or query_id, but got both")
        if seed is not None:
            self._random = np.random.default_rng(seed)
        if query_id is not None:
            split, index = self._shared.place(query_id)
        elif index is None:
            index = int(self._random.integers(self._shared.count(split)))
        self._query_id, self._prompt = self._shared.prompt(split, index)
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)

    @property
    def state(self) -> State:
        """The episode's name and its steps."""
        return self._state

    def list_splits(self) -> list[str]:
        """Names of the splits."""
        return self._shared.splits

    def num_tasks(self, split: str) -> int:
        """Number of prompts in a split."""
        return self._shared.count(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Id, place and text of a prompt."""
        query_id, prompt = self._shared.prompt(split, index)
        return {"id": query_id, "index": index, "prompt": prompt}

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """All prompts of a split."""
        return self.get_task_range(split)

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Prompts of a split from a place to another, as a slice takes them."""
        return [self.get_task(split, row) for row in range(self._shared.count(split))[start:stop]]


class RewriteEnvironment(PromptEnvironment):
    """One session: an episode at a time, of one step each.

    Args:
        shared: The task.
        shown: Documents of a ranking that an observation names.
    """

    def __init__(self, shared: SharedTask, shown: int = 10) -> None:
        super().__init__(shared)
        self._shown = shown

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str = "train",
        index: int | None = None,
        query_id: str | None = None,
        **unknown: Any,
    ) -> RewriteObservation:
        """Begin an episode.

        Args:
            seed: Seed of the prompts that this session draws from now on.
            episode_id: Name of the episode; made up where there is none.
            split: ``train``, ``validation`` or ``test``.
            index: Place of the prompt in the split.
            query_id: Id of the prompt's query, of any split.
            **unknown: Refused.

        Raises:
            TaskError: A name, a place or an id is unknown, or both ``index`` and ``query_id`` are given.
        """
        self.begin(seed, episode_id, split, index, query_id, unknown)
        return RewriteObservation(query_id=self._query_id, prompt=self._prompt)

    async def reset_async(self, **arguments: Any) -> RewriteObservation:
        """As :meth:`reset`, without a thread of its own."""
        return self.reset(**arguments)

    def step(self, action: RewriteAction, timeout_s: float | None = None, **_unused: Any) -> RewriteObservation:
        """Measure a rewrite by itself; servers call :meth:`step_async`."""
        (result,) = self._shared.measure([self._rewrite(action)])
        return self._conclude(*result)

    async def step_async(
        self, action: RewriteAction, timeout_s: float | None = None, **_unused: Any
    ) -> RewriteObservation:
        """Measure a rewrite in one call with those of other sessions, which ends the episode.

        Raises:
            TaskError: There is no open episode, the rewrite is too long, or credit is asked for and not known.
            RetrieverError: The retriever failed; the episode goes on.
        """
        return self._conclude(*await self._shared.batches(self._rewrite(action)))

    def _rewrite(self, action: RewriteAction) -> Rewrite:
        if not self._query_id or self._state.step_count:
            raise TaskError("expected reset before a step: an episode is one step")
        return self._shared.check(Rewrite(self._query_id, action.text, action.credit))

    def _conclude(self, outcome: Outcome, segments: Sequence[SegmentCredit]) -> RewriteObservation:
        self._state.step_count += 1
        return RewriteObservation(
            query_id=self._query_id,
            prompt=self._prompt,
            done=True,
            reward=outcome.reward,
            ranking=list(outcome.ranking[: self._shown]),
            metrics=outcome.metrics,
            words_beyond_cap=outcome.words_beyond_cap,
            segments=[{"start": start, "end": end, "credit": credit} for start, end, credit in segments],
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        metric = self._shared.task.metric
        return EnvironmentMetadata(
            name="ospo",
            description=f"Rewrite a shopper's query; the reward is {metric} of the ranking that the rewrite gives",
            version=version("ospo"),
        )


def make_app(task: RetrievalTask, credit: Credit | None = None, *, shown: int = 10, sessions: int = 256) -> Any:
    """The FastAPI application of a server.

    Args:
        task: The task: ``env.unwrapped.task``.
        credit: Gives the credit of segments; None where no step may ask for it.
        shown: Documents of a ranking that an observation names, at least 0.
        sessions: Sessions at a time, at most; at least 1.

    Raises:
        TaskError: A number is out of range.
    """
    check_sizes(shown=(shown, 0), sessions=(sessions, 1))
    return create_app(
        partial(RewriteEnvironment, SharedTask(task, credit), shown),
        RewriteAction,
        RewriteObservation,
        env_name="ospo",
        max_concurrent_envs=sessions,
    )


def check_sizes(**sizes: tuple[int, int]) -> None:
    """Raise :class:`~ospo_env.errors.TaskError` unless each number is at least its lower bound."""
    for name, (value, least) in sizes.items():
        if value < least:
            raise TaskError(f"expected {name} of at least {least}; got {value}")
