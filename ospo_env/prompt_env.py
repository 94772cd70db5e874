"""The base of environments whose episodes begin with a query of a split: its draw, its prompt and its ``info``."""

import reprlib
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import polars as pl
from gymnasium.error import ResetNeeded

from envs_data.errors import one_line, unknown_name
from ospo_env.errors import RenderModeError, TaskError
from ospo_env.spaces import FreeText
from ospo_env.task import RetrievalTask

__all__ = ["PromptEnv", "check_render_mode"]

_RENDER_MODES = ("ansi",)


class PromptEnv(gym.Env[str, str]):
    """An environment of text whose episodes begin with a query of a split.

    Each episode draws a query, uniformly and with replacement, from ``np_random`` alone, unless the options of
    ``reset`` name one.

    Args:
        retrieval: The task that ranks.
        split: The queries to draw from: ``"train"``, ``"validation"`` or ``"test"``.
        render_mode: ``"ansi"`` or ``None``.

    Raises:
        TaskError: There is no such split, or it has no queries.
    """

    metadata: dict[str, Any] = {"render_modes": list(_RENDER_MODES), "render_fps": 1}  # noqa: RUF012 - Gymnasium's form
    action_space: FreeText

    def __init__(self, retrieval: RetrievalTask, split: str, render_mode: str | None) -> None:
        self.render_mode = render_mode
        self.split = split
        self._retrieval = retrieval
        self._prompt_ids, self._prompts = retrieval.prompts(split)
        if not self._prompt_ids:
            raise TaskError(f"the data set has no queries in split {split!r}; choose another split or prepare it again")
        self._queries = retrieval.data.queries.filter(pl.col("split") == split)["query"].to_list()
        self._row_of = {prompt_id: row for row, prompt_id in enumerate(self._prompt_ids)}
        self.observation_space = FreeText()
        self.action_space = FreeText()
        self._row: int | None = None

    @property
    def prompt_id(self) -> str:
        """Id of the current prompt.

        Raises:
            ResetNeeded: There is none yet.
        """
        return self._prompt_ids[self._current()]

    def begin(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        """Seed the generator, where there is a seed, and take the query of the next episode.

        Raises:
            TaskError: An unknown option, or a query id that is not of this split. Nothing has changed then.
        """
        pinned = self.pinned_row(options)
        super().reset(seed=seed)
        self._row = int(self.np_random.integers(len(self._prompt_ids))) if pinned is None else pinned

    def render(self) -> str | None:
        """The current episode as text; ``None`` without ``render_mode="ansi"``.

        Raises:
            ResetNeeded: There is no episode yet.
        """
        return None if self.render_mode is None else self._rendered()

    def pinned_row(self, options: Mapping[str, Any] | None) -> int | None:
        """Row of the query that the options of ``reset`` name; ``None`` if they name none.

        Raises:
            TaskError: An unknown option, or a query id that is not of this split.
        """
        for name in options or {}:
            if name != "query_id":
                raise TaskError(unknown_name("reset option", name, ["query_id"]))
        query_id = (options or {}).get("query_id")
        if query_id is None:
            return None
        if not isinstance(query_id, str):
            what = f"{type(query_id).__name__} {one_line(reprlib.repr(query_id))}"
            raise TaskError(f"expected query_id to be a str, got {what}")
        row = self._row_of.get(query_id)
        if row is None:
            other = self._retrieval.query(query_id).split  # raises for an id of no split
            raise TaskError(
                f"query {query_id!r} is of split {other!r}, this environment draws from {self.split!r}; "
                f"make it with split={other!r}"
            )
        return row

    def _rendered(self) -> str:
        """The current episode as text."""
        raise NotImplementedError

    def _current(self) -> int:
        if self._row is None:
            raise ResetNeeded("there is no episode yet; call reset() first")
        return self._row

    def _info(self) -> dict[str, Any]:
        row = self._current()
        return {
            "query_id": self._prompt_ids[row],
            "query": self._queries[row],
            "synthetic": self._retrieval.data.synthetic,
        }


def check_render_mode(render_mode: str | None) -> None:
    """Raise :class:`~ospo_env.errors.RenderModeError` unless environments have this render mode."""
    if render_mode is not None and render_mode not in _RENDER_MODES:
        raise RenderModeError(unknown_name("render mode", render_mode, _RENDER_MODES))
