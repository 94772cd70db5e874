"""The clauses of an environment's contract: each looks for a counter-example and tells it, or gives ``None``."""

import copy
import itertools
import pickle
import warnings
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import env_checker
from numpy.typing import NDArray

from ospo_env.conformance.case import spoken
from ospo_env.conformance.elsewhere import run_elsewhere
from ospo_env.conformance.env_case import EnvCase, Played, play
from ospo_env.text import token_spans

__all__ = ["ENV_CLAUSES", "EnvClause"]

EnvClause: TypeAlias = Callable[[EnvCase], str | None]
"""Of a case: a counter-example in words, or ``None``."""

_BLANK_TEXTS = ("", " ", "\n\t", "\u3000", "... !!!")
_HOSTILE_TEXTS = (
    "red \ud83d shoe \udc00",  # lone surrogates
    "x" * 100_000,
    "warm black jacket, " * 6_000,
    "red\x00shoe\x1b[31m\x7f\r\n",
    "\u202eeohs der\u202c حذاء أحمر \u2066",
    "\ufeff赤い靴\u200d👟\ufe0f e\u0301\u0301\u0301",
    "%s {0} ${HOME} <answer> \\ ' \" --",
)
_NO_TEXTS = (None, 3, float("nan"), b"red", ["red"], ("red",), {"red": 1})
_RESETS = 6  # of a stream


def gymnasium(case: EnvCase) -> str | None:
    """Gymnasium's own ``check_env`` passes, and warns of nothing."""
    env = case.env.unwrapped
    bare = env.spec is None  # it could not make it again
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env_checker.check_env(env, skip_render_check=bare, skip_close_check=bare)
    said = [str(warning.message) for warning in caught if "WARN:" in str(warning.message)]
    return said[0].partition("WARN:")[2] if said else None


def reward(case: EnvCase) -> str | None:
    """``step`` returns what ``task.rewards`` and the grand coalition give, bit for bit."""
    for seed, text in _episodes(case):
        played = case.play(seed, text)
        spans, everyone = _segments(text)
        found = {
            "task.rewards": case.task.rewards([played.query_id], [text])[0],
            "the grand coalition": case.task.coalition_values([played.query_id], [text], [spans], [everyone])[0][0],
            "env.coalition_values": _own(case, "coalition_values")(text, spans, everyone)[0],
        }
        for name, value in found.items():
            if value != played.reward:
                return f"step earns {played.reward!r} with {_where(played, text)}; {name} gives {float(value)!r}"
    return None


def empty(case: EnvCase) -> str | None:
    """The empty coalition is worth 0, and a blank text earns 0."""
    for seed, text in _episodes(case):
        played = case.play(seed, text)
        spans, everyone = _segments(text)
        (values,) = case.task.coalition_values([played.query_id], [text], [spans], [~everyone])
        if values[0] != 0:
            return f"the empty coalition of {_where(played, text)} is worth {values[0]}, not 0"
    for seed, text in itertools.product(case.seeds, _BLANK_TEXTS):
        played = case.play(seed, text)
        if played.reward != 0:
            return f"the blank text {_where(played, text)} earns {played.reward}, not 0"
    return None


def batch(case: EnvCase) -> str | None:
    """A batch gives what its members give alone: ``task.rewards``, coalition values, the native vector environment."""
    asked = [(case.play(seed, text), text) for seed, text in _episodes(case)]
    ids, texts = [played.query_id for played, _ in asked], [text for _, text in asked]
    games = [_segments(text) for text in texts]
    spans, matrices = [span for span, _ in games], [np.tril(np.ones((row.shape[1],) * 2, bool)) for _, row in games]
    rewards = case.task.rewards(ids, texts)
    worths = case.task.coalition_values(ids, texts, spans, matrices)
    for b, (played, text) in enumerate(asked):
        alone = case.task.rewards(ids[b : b + 1], texts[b : b + 1])[0]
        if rewards[b] != alone:
            return f"{_where(played, text)} earns {rewards[b]} in a batch and {alone} alone"
        (worth,) = case.task.coalition_values(ids[b : b + 1], texts[b : b + 1], spans[b : b + 1], matrices[b : b + 1])
        if not np.array_equal(worths[b], worth):
            return f"coalitions of {_where(played, text)} are worth {worths[b]} in a batch and {worth} alone"
    return _vector(case)


def _vector(case: EnvCase) -> str | None:
    """What the native vector environment does otherwise, if there is one."""
    spec = case.env.spec
    if spec is None or spec.vector_entry_point is None or spec.additional_wrappers:
        return None
    vector: Any = gym.make_vec(copy.deepcopy(spec), num_envs=len(case.seeds), vectorization_mode="vector_entry_point")
    with closing(vector):
        for text in case.texts:
            texts = [text, *case.texts[: len(case.seeds) - 1]]
            observations, _ = vector.reset(seed=list(case.seeds))
            rewards = vector.step(texts)[1]
            for index, seed in enumerate(case.seeds):
                played = case.play(seed, texts[index])
                if (observations[index], rewards[index]) != (played.observation, played.reward):
                    return (
                        f"{_where(played, texts[index])} earns {played.reward} for {played.observation!r} in a single "
                        f"environment, {rewards[index]} for {observations[index]!r} in a vector of them"
                    )
    return None


def seeds(case: EnvCase) -> str | None:
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


def info(case: EnvCase) -> str | None:
    """Every ``info`` is the caller's own: later calls do not change it, and changing it changes no later call."""
    for seed, text in _episodes(case):
        played = case.play(seed, text)
        kept = copy.deepcopy(played)
        for other in case.seeds:
            case.play(other, case.texts[0])
        if difference := _difference(played, kept):
            return f"later episodes change an earlier info: {difference}"
        _empty(played.opening)
        _empty(played.closing)
        if difference := _difference(case.play(seed, text), kept):
            return f"an emptied info comes back: {difference}"
    return None


def bounds(case: EnvCase) -> str | None:
    """Rewards are finite and in [0, 1], and the one step terminates the episode without truncating it."""
    for seed, text in _episodes(case):
        played = case.play(seed, text)
        if not _is_reward(played.reward):
            return f"{_where(played, text)} earns {played.reward}, expected a number in [0, 1]"
        if not played.ended:
            return f"a step with {_where(played, text)} does not terminate the episode, or truncates it"
    return None


def hostile(case: EnvCase) -> str | None:
    """Any string is safe: lone surrogates, 100,000 characters, control characters, either direction of writing."""
    for text in _HOSTILE_TEXTS:
        try:
            earned = case.play(case.seeds[0], text).reward
            shown = case.env.render() if case.env.render_mode == "ansi" else ""
            str(shown).encode()
        except Exception as error:  # anybody's code
            return f"{spoken(text)} makes it raise {type(error).__name__}: {error}"
        if not _is_reward(earned):
            return f"{spoken(text)} earns {earned}, expected a number in [0, 1]"
    return None


def types(case: EnvCase) -> str | None:
    """An action that is no string raises ``TypeError`` and leaves the episode as it was."""
    seed, text = case.seeds[0], case.texts[0]
    expected = case.play(seed, text)
    for action in _NO_TEXTS:
        observation, opening = case.env.reset(seed=seed)
        if wrong := _unless_raised(lambda action=action: case.env.step(action), TypeError):  # type: ignore[misc]
            return f"expected a TypeError of step({action!r}); {wrong}"
        if difference := _difference(_stepped(case, observation, opening, text), expected):
            return f"after step({action!r}) was refused the episode is another: {difference}"
    return None


def ended(case: EnvCase) -> str | None:
    """``step`` without an open episode raises ``ResetNeeded``: before the first ``reset``, and after the end."""
    if case.factory is not None:
        fresh = case.factory()
        if wrong := _unless_raised(lambda: fresh.step(case.texts[0]), ResetNeeded):
            return f"expected ResetNeeded of a step before the first reset; {wrong}"
    case.play(case.seeds[0], case.texts[0])
    if wrong := _unless_raised(lambda: case.env.step(case.texts[0]), ResetNeeded):
        return f"expected ResetNeeded of a second step; {wrong}"
    return None


def options(case: EnvCase) -> str | None:
    """``reset(options={"query_id": ...})`` takes that query and draws nothing; a wrong option changes nothing."""
    env, text = case.env, case.texts[0]
    for seed in case.seeds:
        wanted, opening = env.reset(seed=seed)
        env.reset(seed=case.seeds[0])
        state = env.unwrapped.np_random.bit_generator.state
        observation, found = env.reset(options={"query_id": opening["query_id"]})
        if (found["query_id"], observation) != (opening["query_id"], wanted):
            return f"asked for the query {opening['query_id']!r} it gives {found['query_id']!r}: {observation!r}"
        if env.unwrapped.np_random.bit_generator.state != state:
            return "a query that options name costs a draw from np_random"
    expected = case.play(case.seeds[0], text)
    for wrong_options in ({"query_id": "no such \x00 query"}, {"queryid": expected.query_id}):
        observation, opening = env.reset(seed=case.seeds[0])
        if wrong := _unless_raised(lambda given=wrong_options: env.reset(options=given), ValueError, LookupError):  # type: ignore[misc]
            return f"expected an error of reset(options={wrong_options!r}); {wrong}"
        if difference := _difference(_stepped(case, observation, opening, text), expected):
            return f"after reset(options={wrong_options!r}) was refused the episode is another: {difference}"
    return None


def processes(case: EnvCase) -> str | None:
    """Another process, hash seed or number of threads changes nothing."""
    episodes = _episodes(case)
    there = run_elsewhere(_played, case.portable, episodes)
    for (seed, text), found in zip(episodes, there, strict=True):
        if difference := _difference(found, case.play(seed, text)):
            return f"another process finds for {spoken(text)}: {difference}"
    return None


def _played(portable: bytes, episodes: list[tuple[int, str]]) -> list[Played]:
    env, factory = pickle.loads(portable)
    made = factory() if env is None else env
    return [play(made, seed, text) for seed, text in episodes]


def _episodes(case: EnvCase) -> list[tuple[int, str]]:
    return list(itertools.product(case.seeds, case.texts))


def _segments(text: str) -> tuple[list[tuple[int, int]], NDArray[np.bool_]]:
    """Spans that tile a text, a word each with what follows it, and the grand coalition of them (1, N)."""
    edges = [0, *(start for start, _ in token_spans(text)[1:]), len(text)]
    spans = list(itertools.pairwise(edges)) if text else []
    return spans, np.ones((1, len(spans)), dtype=np.bool_)


def _own(case: EnvCase, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(case.env.unwrapped, name)
    return method


def _stepped(case: EnvCase, observation: str, opening: dict[str, Any], text: str) -> Played:
    """The rest of an episode that was opened already."""
    _, earned, terminated, truncated, closing = case.env.step(text)
    return Played(observation, opening, float(earned), bool(terminated and not truncated), closing)


def _is_reward(value: float) -> bool:
    return 0.0 <= value <= 1.0  # NaN is not


def _unless_raised(call: Callable[[], Any], *expected: type[Exception]) -> str | None:
    """What happened instead of one of the expected errors."""
    try:
        returned = call()
    except expected:
        return None
    except Exception as error:  # anybody's code
        return f"it raises {type(error).__name__}: {error}"
    return f"it returns {returned!r}"


def _difference(found: Played, expected: Played) -> str | None:
    """The first field in which two episodes differ."""
    for field, one, two in zip(Played._fields, found, expected, strict=True):
        if not env_checker.data_equivalence(one, two, exact=True):
            return f"{field} is {one!r}, expected {two!r}"
    return None


def _empty(content: Any) -> None:
    """Take everything out of all containers that can be changed."""
    if isinstance(content, dict | list):
        for inner in list(content.values() if isinstance(content, dict) else content):
            _empty(inner)
        content.clear()


def _where(played: Played, text: str) -> str:
    return f"{spoken(text)} for query {played.query_id!r}"


ENV_CLAUSES: dict[str, EnvClause] = {
    clause.__name__: clause
    for clause in (
        gymnasium,
        reward,
        empty,
        batch,
        seeds,
        info,
        bounds,
        hostile,
        types,
        ended,
        options,
        processes,
    )
}
"""The clauses by name, in the order in which they are checked."""
