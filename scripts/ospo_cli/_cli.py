"""What the programs share: arguments, opening a task, and how an error reaches the person who typed the command."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym

from envs_data import SPLITS, DataError, FileFaults, PreparedData
from ospo_agents import AgentError
from ospo_env import RetrievalTask, RetrieverError, RewriteEnv, TaskError
from ospo_env.data_access import open_data


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that keeps the description's lines and shows defaults, but for those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others of these programs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **settings})

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with exit code 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def run(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run a program's main function and leave with its exit code: 0, 2 for bad input, 130 when interrupted.

    Args:
        main: Takes the arguments, ``None`` for those of the command line.
    """
    try:
        main(None)
    except (AgentError, DataError, TaskError, RetrieverError, OSError) as error:
        lines = str(error).splitlines() if isinstance(error, FileFaults) else [str(error)]
        print("error: " + "\n".join(" ".join(line.split()) for line in lines), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


MAX_WORDS_HELP = "words of a rewrite that count (default: the environment's own cap)"


def open_task(
    env_id: str,
    data: Path | None,
    *,
    split: str | None,
    retriever: str,
    metric: str,
    candidates: str = "pool",
    max_words: int | None = None,
) -> RetrievalTask:
    """The task behind an environment id, as ``gym.make`` opens it.

    Args:
        env_id: The id.
        data: Prepared directory; none means the embedded sample.
        split: A split that has queries; none takes the first that has some of test, validation and train.
        retriever: What ranks.
        metric: What is the reward.
        candidates: What is ranked.
        max_words: Words of a rewrite that count; none means the environment's own cap.

    Raises:
        TaskError: The id is unknown or not one of this project's, or an argument is wrong.
        DataError: The data cannot be read.
    """
    arguments: dict[str, Any] = {
        "data": None if data is None else str(data),
        "retriever": retriever,
        "metric": metric,
        "candidates": candidates,
        **({} if max_words is None else {"max_words": max_words}),
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
    if not isinstance(env.unwrapped, RewriteEnv):
        raise TaskError(f"expected an environment of this project, for example OSPO-ESCI-v0; got {env_id!r}")
    return env.unwrapped.task


def first_split(task: RetrievalTask) -> str:
    """The first of test, validation and train that has queries."""
    return _first_filled(task.data)


def _first_filled(data: PreparedData) -> str:
    filled = set(data.queries["split"])
    return next(name for name in reversed(SPLITS) if name in filled)
