"""The clauses on episodes and their order."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded
from gymnasium.utils import env_checker

from ospo_env.conformance.environment.case import EnvCase, Played, difference, finish, play
from ospo_env.conformance.messages import clause, quoted
from ospo_env.conformance.other_process import load_portable, run_elsewhere

__all__ = [
    "check_ended",
    "check_gymnasium",
    "check_info",
    "check_options",
    "check_processes",
    "check_seeds",
    "check_types",
]

_NO_TEXTS = (None, 3, float("nan"), b"red", ["red"], ("red",), {"red": 1})
_RESETS = 6  # of a stream


@clause("gymnasium")
def check_gymnasium(case: EnvCase) -> str | None:
    """Gymnasium's own ``check_env`` passes, and warns of nothing."""
    env = case.env.unwrapped
    bare = env.spec is None  # the checker could not make it again
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env_checker.check_env(env, skip_render_check=bare, skip_close_check=bare)
    warned = [str(warning.message) for warning in caught if "WARN:" in str(warning.message)]
    return warned[0].partition("WARN:")[2].removesuffix("\x1b[0m") if warned else None  # which ends the colour


@clause("seeds")
def check_seeds(case: EnvCase) -> str | None:
    """``reset(seed=...)`` decides this episode and those after it, whatever came before and whatever is stepped."""
    for seed in case.seeds:
        before = _stream(case.env, seed, None)
        for env, text in ((case.env, case.texts[0]), (case.env if case.factory is None else case.factory(), None)):
            again = _stream(env, seed, text)
            if again != before:
                return f"after reset(seed={seed}) the prompts are {before} once and {again} another time"
    return None


def _stream(env: gym.Env[str, str], seed: int, text: str | None) -> list[str]:
    """Ids of the prompts from a seeded reset on; each episode is stepped with the text, or given up."""
    ids = []
    for number in range(_RESETS):
        ids.append(env.reset(seed=None if number else seed)[1]["query_id"])
        if text is not None:
            env.step(text)
    return ids


@clause("info")
def check_info(case: EnvCase) -> str | None:
    """Every ``info`` is the caller's own: later calls do not change it, and changing it changes no later call."""
    for seed, text in case.episodes:
        played = case.play(seed, text)
        snapshot = copy.deepcopy(played)
        for each in case.seeds:
            case.play(each, case.texts[0])
        if other := difference(played, snapshot):
            return f"later episodes change an earlier info: {other}"
        _empty(played.opening)
        _empty(played.closing)
        if other := difference(case.play(seed, text), snapshot):
            return f"an emptied info comes back: {other}"
    return None


def _empty(content: Any) -> None:
    """Take everything out of all containers that can be changed."""
    if isinstance(content, dict | list):
        for inner in list(content.values() if isinstance(content, dict) else content):
            _empty(inner)
        content.clear()


@clause("types")
def check_types(case: EnvCase) -> str | None:
    """An action that is no string raises ``TypeError``, one that is too long ``ValueError``; the episode goes on."""
    seed, text = case.seeds[0], case.texts[0]
    expected = case.play(seed, text)
    refused: list[tuple[Any, type[Exception], str]] = [(action, TypeError, repr(action)) for action in _NO_TEXTS]
    longest = getattr(case.env.action_space, "max_length", None)
    if isinstance(longest, int):
        refused.append(("x" * (longest + 1), ValueError, f"a text of {longest + 1:,} characters"))
    for action, error, what in refused:
        observation, opening = case.env.reset(seed=seed)
        if wrong := _unless_raised(lambda action=action: case.env.step(action), error):  # type: ignore[misc]
            return f"expected a {error.__name__} of step({what}); {wrong}"
        if other := difference(finish(case.env, observation, opening, text), expected):
            return f"after step({what}) was refused the episode is another: {other}"
    return None


@clause("ended")
def check_ended(case: EnvCase) -> str | None:
    """``step`` without an open episode raises ``ResetNeeded``: before the first ``reset``, and after the end."""
    if case.factory is not None:
        fresh = case.factory()
        if wrong := _unless_raised(lambda: fresh.step(case.texts[0]), ResetNeeded):
            return f"expected ResetNeeded of a step before the first reset; {wrong}"
    case.play(case.seeds[0], case.texts[0])
    if wrong := _unless_raised(lambda: case.env.step(case.texts[0]), ResetNeeded):
        return f"expected ResetNeeded of a second step; {wrong}"
    return None


@clause("options")
def check_options(case: EnvCase) -> str | None:
    """``reset(options={"query_id": ...})`` takes that query and draws nothing; a wrong option changes nothing."""
    env, text = case.env, case.texts[0]
    for seed in case.seeds:
        prompt, opening = env.reset(seed=seed)
        env.reset(seed=case.seeds[0])
        state = env.unwrapped.np_random.bit_generator.state
        observation, pinned = env.reset(options={"query_id": opening["query_id"]})
        if (pinned["query_id"], observation) != (opening["query_id"], prompt):
            return f"asked for the query {opening['query_id']!r} it gives {pinned['query_id']!r}: {observation!r}"
        if env.unwrapped.np_random.bit_generator.state != state:
            return "a query that options name costs a draw from np_random"
    expected = case.play(case.seeds[0], text)
    for wrong_options in ({"query_id": "no such \x00 query"}, {"queryid": expected.query_id}):
        observation, opening = env.reset(seed=case.seeds[0])
        if wrong := _unless_raised(lambda refused=wrong_options: env.reset(options=refused), ValueError, LookupError):  # type: ignore[misc]
            return f"expected an error of reset(options={wrong_options!r}); {wrong}"
        if other := difference(finish(case.env, observation, opening, text), expected):
            return f"after reset(options={wrong_options!r}) was refused the episode is another: {other}"
    return None


def _unless_raised(call: Callable[[], Any], *expected: type[Exception]) -> str | None:
    """Description of a call that did not raise one of the expected errors; ``None`` if it did."""
    try:
        returned = call()
    except expected:
        return None
    except Exception as error:  # anybody's code
        return f"it raises {type(error).__name__}: {error}"
    return f"it returns {returned!r}"


@clause("processes")
def check_processes(case: EnvCase) -> str | None:
    """Another process, hash seed or number of threads changes nothing."""
    episodes = case.episodes
    there = run_elsewhere(_played, case.portable, episodes)
    for (seed, text), elsewhere in zip(episodes, there, strict=True):
        if other := difference(elsewhere, case.play(seed, text)):
            return f"another process finds for {quoted(text)}: {other}"
    return None


def _played(portable: bytes, episodes: list[tuple[int, str]]) -> list[Played]:
    env, factory = load_portable(portable)
    tested = factory() if env is None else env
    return [play(tested, seed, text) for seed, text in episodes]
