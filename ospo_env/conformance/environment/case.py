"""The case that the clauses check: an environment, how it is made again, seeds, and texts to step with."""

import itertools
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

from ospo_env.conformance.messages import quoted
from ospo_env.errors import TaskError
from ospo_env.turns.actions import ANSWER, episode_searches, read_action, search_action

__all__ = [
    "EnvCase",
    "EnvFactory",
    "EnvLike",
    "Played",
    "difference",
    "finish",
    "in_turns",
    "make_env_case",
    "play",
    "script",
    "where",
]

EnvFactory: TypeAlias = Callable[[], gym.Env[str, str]]
"""Makes an environment, an equal one at each call."""

EnvLike: TypeAlias = str | EnvFactory | gym.Env[str, str]
"""An id, a factory, or an environment."""

_MEMBERS = ("rewards", "coalition_values", "demonstrations")
_SEEDS = 3
_DEMONSTRATIONS = 3
_TEXTS_IN_TURNS = ("red shoe\nwarm black jacket, wool, for winter", "qzxv\n\nred shoe\nred shoe")
_PLAIN_TEXTS = ("red shoe", "warm black jacket, wool, for winter", "qzxv")
_NOT_PORTABLE = (pickle.PicklingError, AttributeError, TypeError)  # what pickling a lambda, say, raises


class Played(NamedTuple):
    """An episode.

    Attributes:
        observation: The observation of ``reset``.
        opening: The ``info`` of ``reset``.
        reward: The reward of ``step``, or the sum of those of all steps.
        ended: Whether the episode terminated and was not truncated.
        closing: The ``info`` of the last step.
    """

    observation: str
    opening: dict[str, Any]
    reward: float
    ended: bool
    closing: dict[str, Any]

    @property
    def query_id(self) -> str:
        """The prompt's id."""
        return str(self.opening["query_id"])


@dataclass(frozen=True)
class EnvCase:
    """An environment under test.

    Attributes:
        env: The environment, with its wrappers.
        factory: Makes it again, or ``None`` if it came as an object and has no spec.
        portable: The factory, or the environment itself, pickled for another process.
        seeds: Seeds of the episodes that are played.
        texts: Texts of those episodes: actions, or in turns lines that are searched for one after another.
    """

    env: gym.Env[str, str]
    factory: EnvFactory | None
    portable: bytes
    seeds: tuple[int, ...]
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The environment's name, for messages."""
        return self.env.spec.id if self.env.spec is not None else type(self.env.unwrapped).__name__

    @property
    def task(self) -> Any:
        """The task behind the environment."""
        return getattr(self.env.unwrapped, "task", None)

    @property
    def episodes(self) -> list[tuple[int, str]]:
        """Every seed with every text."""
        return list(itertools.product(self.seeds, self.texts))

    def play(self, seed: int, text: str) -> Played:
        """One episode of the environment."""
        return play(self.env, seed, text)


def in_turns(env: gym.Env[str, str]) -> bool:
    """Whether episodes of the environment have a step for each line of a text, not one."""
    return bool(getattr(getattr(env.unwrapped, "task", None), "in_turns", False))


def script(env: gym.Env[str, str], text: str) -> list[str]:
    """The actions of an episode: the text, or in turns a search for each line, and the answer."""
    if not in_turns(env):
        return [text]
    lines = episode_searches(text)
    return [*(line if read_action(line) == line else search_action(line) for line in lines), ANSWER]


def play(env: gym.Env[str, str], seed: int, text: str) -> Played:
    """One episode: ``reset(seed=seed)``, then a step for each action of :func:`script`."""
    observation, opening = env.reset(seed=seed)
    return finish(env, observation, opening, text)


def finish(env: gym.Env[str, str], observation: str, opening: dict[str, Any], text: str) -> Played:
    """The rest of an episode that was opened already."""
    reward = 0.0
    for action in script(env, text):
        _, earned, terminated, truncated, closing = env.step(action)
        reward += float(earned)
        if terminated or truncated:
            break
    return Played(observation, opening, reward, bool(terminated and not truncated), closing)


def difference(played: Played, expected: Played) -> str | None:
    """The first thing in which two episodes differ, or ``None``."""
    for field, one, two in zip(Played._fields, played, expected, strict=True):
        if not data_equivalence(one, two, exact=True):
            return f"{field} is {one!r}, expected {two!r}"
    return None


def where(played: Played, text: str) -> str:
    """A text and the query that it answered, for messages."""
    return f"{quoted(text)} for query {played.query_id!r}"


def make_env_case(env: EnvLike, *, texts: Sequence[str] | None = None, seed: int = 0) -> EnvCase:
    """The case of the arguments of :func:`~ospo_env.conformance.check_env`."""
    factory = _factory(env)
    try:
        made: Any = env if factory is None or isinstance(env, gym.Env) else factory()
    except gym.error.Error as error:
        raise TaskError(f"cannot make the environment {env!r}: {error}") from error
    task: Any = getattr(made.unwrapped, "task", None) if isinstance(made, gym.Env) else None
    if not isinstance(made, gym.Env) or not all(hasattr(task, member) for member in _MEMBERS):
        raise TaskError(
            "expected an environment id, a factory or an environment, with a task behind it that has "
            f"{', '.join(_MEMBERS)}; got {type(made).__name__}"
        )
    seeds = tuple(np.random.default_rng(seed).integers(2**31, size=_SEEDS).tolist())
    if texts is None:
        examples = [text for _, text in task.demonstrations()[:_DEMONSTRATIONS]]
        examples += [made.reset(seed=each)[0] for each in seeds]
        texts = [*examples, *_PLAIN_TEXTS, *(_TEXTS_IN_TURNS if in_turns(made) else ())]
    if not texts:
        raise TaskError("expected at least one text to step with; got none")
    return EnvCase(made, factory, _portable(factory, made), seeds, tuple(dict.fromkeys(texts)))


def _factory(env: EnvLike) -> EnvFactory | None:
    if isinstance(env, gym.Env):
        return None if env.spec is None else partial(gym.make, env.spec)
    if isinstance(env, str):
        return partial(gym.make, env)
    return env if callable(env) else None


def _portable(factory: EnvFactory | None, env: gym.Env[str, str]) -> bytes:
    """A pickled pair of which one is ``None``: the environment, and what makes it."""
    if factory is not None:
        try:
            return pickle.dumps((None, factory))
        except _NOT_PORTABLE:
            pass  # then the environment itself may be
    try:
        return pickle.dumps((env, None))
    except _NOT_PORTABLE as error:
        raise TaskError(
            f"the clause 'processes' needs the environment in another process, but it cannot be pickled ({error}): "
            "pass an id, or a factory that a module has under its name"
        ) from error
