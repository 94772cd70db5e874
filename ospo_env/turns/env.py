"""The environment in turns: an agent searches, reads the titles of its rankings, and searches again or answers."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs_data import PreparedData
from envs_data.errors import unknown_name
from ospo_env.data_access import open_data
from ospo_env.errors import ArgumentError
from ospo_env.prompt_env import PromptEnv, check_render_mode
from ospo_env.rendering import describe
from ospo_env.spaces import check_action
from ospo_env.task import RetrievalTask
from ospo_env.turns.actions import read_action
from ospo_env.turns.conversation import Conversation, Turn
from ospo_env.turns.rendering import render_conversation
from ospo_env.turns.task import SearchTask

__all__ = ["SearchEnv"]

_RETRIEVAL = ("retriever", "metric", "max_words", "candidates", "compose", "query_weight", "repeats")


class SearchEnv(PromptEnv):
    """Search in turns as a Gymnasium environment.

    Observation: the conversation so far, which is the prompt, then for each search a line ``search: TEXT`` and the
    titles of the documents ranked first, numbered, a line each. Action: ``search: TEXT``, or ``answer``, which ends the
    episode; any other text is a search for itself. The ``max_turns``-th search ends the episode too
    (``terminated=True``, never truncated).

    The step that ends the episode has its reward, all others 0: the best metric among the rankings that were shown,
    less ``price`` for each search, so a number in [-max_turns * price, 1]. An answer costs nothing; without a search
    the reward is 0.

    ``info`` is new at each call: ``query_id``, ``query``, ``synthetic``, ``turns`` (searches so far) and ``episode``
    (their text, a line each: what ``task.rewards`` and ``task.coalition_values`` value). After a search also its
    ``ranking``, ``metrics`` and ``words_beyond_cap``, and ``best`` (the best metric so far).

    Attributes:
        task: The task behind the environment.

    Args:
        sample: The embedded sample to read where there is no ``data``.
        data: Any prepared directory (a ``str`` keeps ``env.spec`` JSON-able) or its tables in memory.
        split: The queries to draw from.
        max_turns: Searches of an episode at most, in 1 .. 64.
        price: Price of a search, in [0, 1].
        shown: Titles that are shown of a ranking, in 0 .. 100.
        render_mode: ``"ansi"`` lets :meth:`render` return the episode as text.
        retrieval: Arguments of a search, as of :class:`~ospo_env.RewriteEnv`: ``retriever``, ``metric``, ``max_words``
            (of one search, 16), ``candidates``, ``compose``, ``query_weight`` and ``repeats``. Any other name is an
            error that names the nearest one.

    Raises:
        TaskError: There is no such argument, a value is unknown, or the arguments do not fit together.
        DataError: The directory is not a prepared one.
    """

    def __init__(
        self,
        *,
        sample: str | None = "shopping",
        data: str | Path | PreparedData | None = None,
        split: str = "train",
        max_turns: int = 4,
        price: float = 0.02,
        shown: int = 5,
        render_mode: str | None = None,
        **retrieval: Any,
    ) -> None:
        for name in retrieval:
            if name not in _RETRIEVAL:
                own = [known for known in inspect.signature(SearchEnv).parameters if known != "retrieval"]
                raise ArgumentError(unknown_name("argument of an environment", name, [*own, *_RETRIEVAL]))
        check_render_mode(render_mode)
        opened = open_data(sample if data is None else None, data)
        self.task = SearchTask(RetrievalTask(opened, **retrieval), max_turns=max_turns, price=price, shown=shown)
        super().__init__(self.task.retrieval, split, render_mode)
        self._conversation: Conversation | None = None

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the draws from here on.
            options: ``{"query_id": id}`` takes that query instead of a drawn one.

        Returns:
            The prompt, and ``info``.

        Raises:
            TaskError: An unknown option, or a query id that is not of this split. Nothing has changed then.
        """
        self.begin(seed, options)
        self._conversation = Conversation(self.prompt_id, self._prompts[self._current()])
        return self._conversation.observation, self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Search, or answer.

        Args:
            action: A member of ``action_space``, read by :func:`~ospo_env.turns.actions.read_action`.

        Returns:
            The conversation, the reward (0 before the end), whether the episode has ended, ``False``, and ``info``.

        Raises:
            TypeError: The action is not a string.
            TaskError: The action is longer than the action space allows; the episode goes on.
            ResetNeeded: There is no episode, or it has ended.
            RetrieverError: The retriever failed; the episode goes on.
        """
        self.check_running()
        search = read_action(check_action(action, self.action_space))
        return self.proceed(None if search is None else self.task.search([self.prompt_id], [search])[0])

    def proceed(self, turn: Turn | None) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Go on with a search that was made: the rest of :meth:`step`, for callers that search in batches.

        Args:
            turn: The search, from ``task.search``; ``None`` for the answer.

        Returns:
            What :meth:`step` returns.
        """
        conversation = self._running()
        info: dict[str, Any] = {}
        if turn is not None:
            conversation.turns.append(turn)
            info = {
                "ranking": turn.outcome.ranking,
                "metrics": dict(turn.outcome.metrics),
                "words_beyond_cap": turn.outcome.words_beyond_cap,
                "best": max(one.outcome.reward for one in conversation.turns),
            }
        conversation.ended = turn is None or len(conversation.turns) == self.task.max_turns
        reward = self.task.earned(conversation.turns) if conversation.ended else 0.0
        return conversation.observation, reward, conversation.ended, False, self._info() | info

    def coalition_values(
        self, text: str, spans: Sequence[tuple[int, int]], coalitions: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The worth of coalitions of an episode's segments, for the current prompt; the episode stays as it is.

        Args:
            text: The text of the episode, a line for each search, as ``info["episode"]`` has it.
            spans: Its N segments as character spans ``[start, end)`` that tile it, each within a line and its line
                break.
            coalitions: bool (C, N), a coalition a row.

        Returns:
            float64 (C,): a row of all ``True`` has the reward of these searches, bit for bit, one of all ``False`` 0.

        Raises:
            TaskError: The spans do not tile the text or cross lines, or the coalitions do not fit them.
            ResetNeeded: There is no current prompt yet.
        """
        (values,) = self.task.coalition_values([self.prompt_id], [text], [spans], [coalitions])
        return values

    def check_running(self) -> None:
        """Raise ``ResetNeeded`` unless an episode is open."""
        self._running()

    def _running(self) -> Conversation:
        self._current()
        conversation = self._conversation
        if conversation is None or conversation.ended:
            raise ResetNeeded("the episode has ended; call reset() before the next step()")
        return conversation

    def _rendered(self) -> str:
        self._current()
        assert self._conversation is not None
        turns = self._conversation.turns
        documents = [
            describe(self.task.data, self.prompt_id, turn.outcome.ranking[: self.task.shown]) for turn in turns
        ]
        reward = self.task.earned(turns) if self._conversation.ended else None
        return render_conversation(self._conversation, documents, self.task.metric, reward)

    def _info(self) -> dict[str, Any]:
        conversation = self._conversation
        assert conversation is not None
        return super()._info() | {"turns": len(conversation.turns), "episode": conversation.episode}
