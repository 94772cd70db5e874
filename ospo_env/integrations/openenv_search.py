"""The task in turns as an OpenEnv environment: sessions whose searches are ranked in batches.

An episode is ``reset``, which gives a prompt, then a ``step`` a turn with an action of the task: ``search: TEXT``, or
``answer``, which ends it, as the last turn does. ``ospo serve-env --env OSPO-Search-v0`` starts a server.
"""

from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation
from pydantic import Field

from ospo_env.errors import TaskError
from ospo_env.integrations.batches import Batches
from ospo_env.integrations.openenv import PromptEnvironment, check_sizes
from ospo_env.integrations.sessions import Credit, SegmentCredit, SharedTask
from ospo_env.spaces import FreeText, check_action
from ospo_env.turns.actions import read_action
from ospo_env.turns.conversation import Conversation, Turn
from ospo_env.turns.task import SearchTask

__all__ = ["SearchAction", "SearchEnvironment", "SearchObservation", "SharedSearch", "make_search_app"]

_ACTIONS = FreeText()


class SearchAction(Action):  # type: ignore[misc]  # openenv may be absent where types are checked
    """A turn."""

    text: str = Field(..., description="'search: TEXT' to search for TEXT, or 'answer' to end")
    credit: bool = Field(default=False, description="Whether the step that ends the episode says what phrases earned")


class SearchObservation(Observation):  # type: ignore[misc]
    """The conversation so far, and what came of the last search."""

    query_id: str = Field(default="", description="Id of the prompt's query")
    conversation: str = Field(default="", description="Prompt, searches and titles, as a policy reads them")
    turns: int = Field(default=0, description="Searches so far")
    metrics: dict[str, float] = Field(default_factory=dict, description="Metrics of the last search, each in [0, 1]")
    episode: str = Field(default="", description="The searches so far, a line each")
    segments: list[dict[str, float]] = Field(
        default_factory=list, description="start, end (characters of episode) and credit of each phrase, at the end"
    )


class SharedSearch(NamedTuple):
    """Task and batches that the sessions of a server share.

    Attributes:
        task: The task.
        prompts: Its prompts by place.
        searches: From prompt id and text to what a search finds, in one call with those of other sessions.
        credit: Gives the credit of an episode's phrases; None where no session may ask for it.
    """

    task: SearchTask
    prompts: SharedTask
    searches: Batches[tuple[str, str], Turn]
    credit: Batches[tuple[str, str], list[SegmentCredit]] | None

    @classmethod
    def of(cls, task: SearchTask, credit: Credit | None = None) -> "SharedSearch":
        """The shared parts of a task."""
        searches: Batches[tuple[str, str], Turn] = Batches(
            lambda pairs: task.search([query_id for query_id, _ in pairs], [text for _, text in pairs])
        )
        if credit is None:
            return cls(task, SharedTask(task.retrieval), searches, None)
        credits: Batches[tuple[str, str], list[SegmentCredit]] = Batches(
            lambda pairs: list(
                map(list, credit([query_id for query_id, _ in pairs], [episode for _, episode in pairs]))
            )
        )
        return cls(task, SharedTask(task.retrieval), searches, credits)


class SearchEnvironment(PromptEnvironment):
    """One session: an episode at a time, a step a turn.

    Args:
        shared: The task and its batches.
    """

    def __init__(self, shared: SharedSearch) -> None:
        super().__init__(shared.prompts)
        self._search = shared
        self._conversation = Conversation("", "", ended=True)

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str = "train",
        index: int | None = None,
        query_id: str | None = None,
        **unknown: Any,
    ) -> SearchObservation:
        """Begin an episode; arguments and errors are those of :meth:`PromptEnvironment.begin`."""
        self.begin(seed, episode_id, split, index, query_id, unknown)
        self._conversation = Conversation(self._query_id, self._prompt)
        return self._observation({}, [])

    async def reset_async(self, **arguments: Any) -> SearchObservation:
        """As :meth:`reset`, without a thread of its own."""
        return self.reset(**arguments)

    def step(self, action: SearchAction, timeout_s: float | None = None, **_unused: Any) -> SearchObservation:
        """Search or answer by itself, without credit; servers call :meth:`step_async`."""
        search = self._read(action)
        return self._proceed(None if search is None else self._search.task.search([self._query_id], [search])[0], [])

    async def step_async(
        self, action: SearchAction, timeout_s: float | None = None, **_unused: Any
    ) -> SearchObservation:
        """Search, in one call with the searches of other sessions, or answer.

        Raises:
            TaskError: There is no open episode, the action is too long, credit is asked for and not known, or the
                session was reset or stepped before this step was done; what came in between holds.
            RetrieverError: The retriever failed; the episode goes on.
        """
        conversation, search = self._conversation, self._read(action)
        before = len(conversation.turns)
        turn = None if search is None else await self._search.searches((self._query_id, search))
        made = conversation.turns if turn is None else [*conversation.turns, turn]
        segments: list[SegmentCredit] = []
        if action.credit and self._search.credit is not None and (turn is None or len(made) == self._most):
            episode = Conversation(self._query_id, self._prompt, made).episode
            segments = await self._search.credit((self._query_id, episode))
        if self._conversation is not conversation or conversation.ended or len(conversation.turns) != before:
            raise TaskError("expected one call of a session at a time, but it was reset or stepped during a step")
        return self._proceed(turn, segments)

    @property
    def _most(self) -> int:
        return self._search.task.max_turns

    def _read(self, action: SearchAction) -> str | None:
        if self._conversation.ended:
            raise TaskError("expected reset before a step: there is no open episode")
        if action.credit and self._search.credit is None:
            raise TaskError("this server gives no credit; start it with credit, or leave credit out of the action")
        return read_action(check_action(action.text, _ACTIONS))

    def _proceed(self, turn: Turn | None, segments: list[SegmentCredit]) -> SearchObservation:
        self._state.step_count += 1
        if turn is not None:
            self._conversation.turns.append(turn)
        self._conversation.ended = turn is None or len(self._conversation.turns) == self._most
        return self._observation({} if turn is None else turn.outcome.metrics, segments)

    def _observation(self, metrics: dict[str, float], segments: list[SegmentCredit]) -> SearchObservation:
        conversation = self._conversation
        return SearchObservation(
            query_id=self._query_id,
            conversation=conversation.observation,
            turns=len(conversation.turns),
            metrics=metrics,
            episode=conversation.episode,
            done=conversation.ended,
            reward=self._search.task.earned(conversation.turns) if conversation.ended else None,
            segments=[{"start": start, "end": end, "credit": credit} for start, end, credit in segments],
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        task = self._search.task
        return EnvironmentMetadata(
            name="ospo-search",
            description=f"Search a shop in turns; the reward is the best {task.metric} less {task.price:g} a search",
            version=version("ospo"),
        )


def make_search_app(task: SearchTask, credit: Credit | None = None, *, sessions: int = 256) -> Any:
    """The FastAPI application of a server.

    Args:
        task: The task in turns: ``env.unwrapped.task``.
        credit: Gives the credit of an episode's phrases; None where no step may ask for it.
        sessions: Sessions at a time, at most; at least 1.

    Raises:
        TaskError: A number is out of range.
    """
    check_sizes(sessions=(sessions, 1))
    return create_app(
        partial(SearchEnvironment, SharedSearch.of(task, credit)),
        SearchAction,
        SearchObservation,
        env_name="ospo-search",
        max_concurrent_envs=sessions,
    )
