"""Tasks of programs: opened by environment id, as ``gym.make`` opens them."""

from pathlib import Path
from typing import Any

import gymnasium as gym

from envs_data import SPLITS, PreparedData
from ospo_env import RetrievalTask, RewriteEnv, SearchEnv, SearchTask, TaskError
from ospo_env.data_access import open_data
from ospo_env.registration import SEARCH_ID

__all__ = ["first_split", "open_search_task", "open_task"]


def open_task(
    env_id: str,
    data: Path | None,
    *,
    split: str | None,
    retriever: str,
    metric: str,
    candidates: str = "pool",
    max_words: int | None = None,
    **modes: Any,
) -> RetrievalTask:
    """The task behind an environment id, as ``gym.make`` opens it.

    Args:
        env_id: The id.
        data: Prepared directory; none means the embedded sample.
        split: A split that has queries; none takes the first that has some of test, validation and train.
        retriever: Name of the retriever.
        metric: Metric that is the reward.
        candidates: Documents to rank.
        max_words: Words of a rewrite that count; none means the environment's own cap.
        modes: Modes by their names in :data:`ospo_cli._modes.MODES`; none means the default.

    Raises:
        TaskError: The id is unknown or not one of this project's, or an argument is wrong.
        DataError: The data cannot be read.
    """
    arguments: dict[str, Any] = {
        "data": None if data is None else str(data),
        "retriever": retriever,
        "metric": metric,
        "candidates": candidates,
        **{name: value for name, value in {"max_words": max_words, **modes}.items() if value is not None},
    }
    try:
        spec = gym.spec(env_id)
        if not str(spec.entry_point).startswith("ospo_env."):
            raise TaskError(f"expected an environment of this project, for example OSPO-ESCI-v0; got {env_id!r}")
        if split is None:
            split = _first_filled(open_data(spec.kwargs.get("sample"), data))
        arguments["split"] = split
        env = gym.make(spec, **arguments)
    except (gym.error.Error, ImportError) as error:
        raise TaskError(f"--env {env_id}: {error}") from error
    if isinstance(env.unwrapped, SearchEnv):
        raise TaskError(f"expected an environment of one step an episode, such as OSPO-ESCI-v0; {env_id} is in turns")
    if not isinstance(env.unwrapped, RewriteEnv):
        raise TaskError(f"expected an environment of this project, for example OSPO-ESCI-v0; got {env_id!r}")
    return env.unwrapped.task


def open_search_task(env_id: str, data: Path | None, **arguments: Any) -> SearchTask:
    """The task in turns on the data of an environment, with its cap on words.

    Args:
        env_id: An id of this project, in turns or of one step.
        data: Prepared directory; none means the embedded sample.
        arguments: Arguments of :class:`~ospo_env.SearchEnv`; none means the default.

    Raises:
        TaskError: The id is unknown or not one of this project's, or an argument is wrong.
        DataError: The data cannot be read.
    """
    try:
        spec = gym.spec(env_id)
        if not str(spec.entry_point).startswith("ospo_env."):
            raise TaskError(f"expected an environment of this project, for example {SEARCH_ID}; got {env_id!r}")
        named = {name: value for name, value in arguments.items() if value is not None}
        sample, usual = spec.kwargs.get("sample"), {"max_words": spec.kwargs.get("max_words", 16)}
        split = _first_filled(open_data(sample if data is None else None, data))
        where = {"sample": sample, "data": None if data is None else str(data), "split": split}
        env = gym.make(SEARCH_ID, **{**where, **usual, **named})
    except (gym.error.Error, ImportError) as error:
        raise TaskError(f"--env {env_id}: {error}") from error
    assert isinstance(env.unwrapped, SearchEnv)
    return env.unwrapped.task


def first_split(task: RetrievalTask) -> str:
    """The first of test, validation and train that has queries."""
    return _first_filled(task.data)


def _first_filled(data: PreparedData) -> str:
    filled = set(data.queries["split"])
    return next(name for name in reversed(SPLITS) if name in filled)
