"""The environment of one step an episode: a prompt is read, a rewrite is written, a ranking is rewarded."""

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
from ospo_env.outcomes import Outcome
from ospo_env.prompt_env import PromptEnv, check_render_mode
from ospo_env.rendering import describe, render_episode
from ospo_env.retrievers.registry import RetrieverSpec
from ospo_env.spaces import check_action
from ospo_env.task import RetrievalTask

__all__ = ["RewriteEnv"]

_RENDERED_DOCUMENTS = 10


class RewriteEnv(PromptEnv):
    """Query rewriting as a Gymnasium environment of one step an episode.

    Observation: the prompt. Action: the rewrite. ``step`` ends the episode (``terminated=True, truncated=False``) and
    shows the same prompt again as the terminal observation. The reward is the metric of the ranking that the
    retriever makes of the query's candidate pool with the rewrite's words up to the cap, or with the query and these
    words (``compose="append"``). A text that matches nothing earns 0.

    Each ``reset`` draws a query of the split, uniformly and with replacement, from ``np_random`` alone;
    ``reset(options={"query_id": ...})`` takes that query and draws nothing.

    ``info`` is new at each call. After ``reset`` and ``step``: ``query_id``, ``query`` (the raw query) and
    ``synthetic`` (whether the shop is a generated one). After ``step`` also ``ranking`` (ids of all ranked documents
    of the pool, best first), ``metrics`` (name to value) and ``words_beyond_cap`` (words that were not scored).

    Equal data and retriever arguments share one object within a process. That saves time and changes no number.

    Attributes:
        task: The task behind the environment, for learners that ask in batches.

    Args:
        sample: The embedded sample to read without ``data``: ``"shopping"`` or ``"fashion"``. With ``data`` it says
            which data sets are accepted; ``None`` accepts all.
        data: A prepared directory (a ``str`` keeps ``env.spec`` JSON-able) or its tables in memory.
        split: The queries to draw from: ``"train"``, ``"validation"`` or ``"test"``.
        retriever: A registered name, ``"module:attribute"``, or an object.
        metric: The reward, for example ``"nDCG@10"`` or ``"RR"``.
        max_words: Cap on the words of a rewrite; those beyond it are not scored. The raw query at the start of a
            rewrite is never cut.
        candidates: Documents to rank: ``"pool"``, the query's candidate pool, or ``"corpus"``, all documents, of which
            the best 1,000 count.
        compose: Text that the retriever is sent: ``"replace"``, the rewrite, or ``"append"``, the query and then the
            rewrite. The empty rewrite, and one without a known token, then earns what the raw query earns.
        query_weight: Times that the query counts with ``"append"``, in 1 .. 100.
        repeats: Whether a repeated word weighs as often as it stands (``"count"``) or later copies are not sent
            (``"once"``), nor with ``"append"`` copies of the query's words.
        render_mode: ``"ansi"`` lets :meth:`render` return the episode as text.
        unknown: Arguments of any other name, each an error that names the nearest one.

    Raises:
        TaskError: There is no such argument, a value is unknown, or the arguments do not fit together.
        DataError: The directory is not a prepared one.
    """

    def __init__(
        self,
        *,
        sample: str | None = None,
        data: str | Path | PreparedData | None = None,
        split: str = "train",
        retriever: RetrieverSpec = "bm25",
        metric: str = "nDCG@10",
        max_words: int = 16,
        candidates: str = "pool",
        compose: str = "replace",
        query_weight: int = 1,
        repeats: str = "count",
        render_mode: str | None = None,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            known = [other for other in inspect.signature(RewriteEnv).parameters if other != "unknown"]
            raise ArgumentError(unknown_name("argument of an environment", name, known))
        check_render_mode(render_mode)
        self.task = RetrievalTask(
            open_data(sample, data),
            retriever=retriever,
            metric=metric,
            max_words=max_words,
            candidates=candidates,
            compose=compose,
            query_weight=query_weight,
            repeats=repeats,
        )
        super().__init__(self.task, split, render_mode)
        self._ended: tuple[str, Outcome] | None = None

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
        self._ended = None
        return self._prompts[self._current()], self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Score a rewrite and end the episode.

        Args:
            action: The rewrite: a member of ``action_space``, the empty string too.

        Returns:
            The same prompt, the reward in [0, 1], ``True``, ``False``, and ``info``.

        Raises:
            TypeError: The action is not a string.
            TaskError: The action is longer than the action space allows; the episode goes on.
            ResetNeeded: There is no episode, or it has ended.
            RetrieverError: The retriever failed.
        """
        self.check_running()
        (outcome,) = self.task.outcomes([self.prompt_id], [check_action(action, self.action_space)])
        return self.conclude(action, outcome)

    def conclude(self, action: str, outcome: Outcome) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """End the episode with a known outcome: the rest of :meth:`step`, for callers that rank a batch.

        Args:
            action: The rewrite.
            outcome: Its outcome, from ``task.outcomes``.

        Returns:
            What :meth:`step` returns.
        """
        self._ended = (action, outcome)
        info = self._info() | {
            "ranking": outcome.ranking,
            "metrics": dict(outcome.metrics),
            "words_beyond_cap": outcome.words_beyond_cap,
        }
        return self._prompts[self._current()], outcome.reward, True, False, info

    def coalition_values(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        coalitions: NDArray[np.bool_],
        calls: int | None = None,
        seed: int | None = None,
    ) -> NDArray[np.float64]:
        """The worth of coalitions of a rewrite's segments, for the current prompt; the episode stays as it is.

        Args:
            text: The rewrite.
            spans: Its N segments as character spans ``[start, end)`` that tile it.
            coalitions: bool (C, N), a coalition a row.
            calls: Distinct texts that may be sent to the retriever, as for
                :meth:`~ospo_env.RetrievalTask.coalition_values`; ``None`` for no bound.
            seed: Seed of the choice of these; ``None`` makes one of prompt id and text.

        Returns:
            float64 (C,), each in [0, 1]; a row of all ``True`` has the reward of ``step(text)``, bit for bit; a row of
            all ``False`` is worth 0, or with ``compose="append"`` what the raw query earns.

        Raises:
            TaskError: The spans do not tile the text, the coalitions do not fit them, or there are too few calls.
            ResetNeeded: There is no current prompt yet.
        """
        (values,) = self.task.coalition_values(
            [self.prompt_id], [text], [spans], [coalitions], calls=calls, seeds=None if seed is None else [seed]
        )
        return values

    def _rendered(self) -> str:
        prompt = self._prompts[self._current()]
        if self._ended is None:
            return render_episode(prompt)
        action, outcome = self._ended
        return render_episode(
            prompt,
            action,
            describe(self.task.data, self.prompt_id, outcome.ranking[:_RENDERED_DOCUMENTS]),
            ranked=len(outcome.ranking),
            reward=outcome.reward,
            metric=self.task.metric,
            words_beyond_cap=outcome.words_beyond_cap,
        )

    def check_running(self) -> None:
        """Raise ``ResetNeeded`` unless an episode is open."""
        self._current()
        if self._ended is not None:
            raise ResetNeeded("the episode ended with its one step; call reset() before the next step()")
