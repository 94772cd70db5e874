"""The clauses on rewards and coalition values."""

import copy
import itertools
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ospo_env.conformance.environment.case import EnvCase, in_turns, script, where
from ospo_env.conformance.messages import clause, quoted
from ospo_env.text import token_spans
from ospo_env.turns.actions import episode_text, turn_spans

__all__ = ["check_batch", "check_bounds", "check_empty", "check_hostile", "check_reward", "check_turns"]

_BLANK_TEXTS = ("", " ", "\n\t", "\u3000", "... !!!")
_HOSTILE_TEXTS = (
    "red \ud83d shoe \udc00",  # lone surrogates
    "x" * 100_000,
    "warm black jacket, " * 5_000,
    "a" + "\u0301\u0316" * 49_000,  # marks, which normalisation sorts
    "red\x00shoe\x1b[31m\x7f\r\n",
    "\u202eeohs der\u202c حذاء أحمر \u2066",
    "\ufeff赤い靴\u200d👟\ufe0f e\u0301\u0301\u0301",
    "%s {0} ${HOME} <answer> \\ ' \" --",
)


@clause("reward")
def check_reward(case: EnvCase) -> str | None:
    """``step`` returns what ``task.rewards`` and the grand coalition give, bit for bit."""
    own: Any = case.env.unwrapped
    for seed, text in case.episodes:
        played = case.play(seed, text)
        spans, everyone = _segments(text, case)
        rewards = {
            "task.rewards": case.task.rewards([played.query_id], [text])[0],
            "the grand coalition": case.task.coalition_values([played.query_id], [text], [spans], [everyone])[0][0],
            "env.coalition_values": own.coalition_values(text, spans, everyone)[0],
        }
        for name, value in rewards.items():
            if value != played.reward:
                return f"step earns {played.reward!r} with {where(played, text)}; {name} gives {float(value)!r}"
    return None


@clause("empty")
def check_empty(case: EnvCase) -> str | None:
    """The empty coalition is worth 0, and a blank text earns 0; where the query is sent too, what it earns alone.

    In turns the empty coalition makes no search, and is worth 0 as the text without one is.
    """
    if in_turns(case.env):
        return _without_a_search(case)
    alone = {}
    for seed in case.seeds:
        played = case.play(seed, "")
        alone[played.query_id] = played.reward if _appends(case) else 0.0
    for seed, text in case.episodes:
        played = case.play(seed, text)
        spans, everyone = _segments(text, case)
        (values,) = case.task.coalition_values([played.query_id], [text], [spans], [~everyone])
        if values[0] != alone[played.query_id]:
            expected = alone[played.query_id]
            return f"the empty coalition of {where(played, text)} is worth {values[0]}, not {expected}"
    for seed, text in itertools.product(case.seeds, _BLANK_TEXTS):
        played = case.play(seed, text)
        if played.reward != alone[played.query_id]:
            return f"the blank text {where(played, text)} earns {played.reward}, not {alone[played.query_id]}"
    return _unlike_raw_query(case, alone) if _appends(case) else None


def _without_a_search(case: EnvCase) -> str | None:
    """A counter-example in turns, where blank searches have their price."""
    for seed, text in case.episodes:
        played = case.play(seed, text)
        spans, everyone = _segments(text, case)
        (values,) = case.task.coalition_values([played.query_id], [text], [spans], [~everyone])
        if values[0] != 0.0:
            return f"the empty coalition of {where(played, text)} is worth {values[0]}, not 0"
    for seed in case.seeds:
        played = case.play(seed, "")
        if played.reward != 0.0:
            return f"an answer without a search earns {played.reward} for query {played.query_id!r}, not 0"
    return None


@clause("turns")
def check_turns(case: EnvCase) -> str | None:
    """In turns: the coalition of all segments but one turn's is worth what the other searches earn, with no more price.

    Environments of one step keep it.
    """
    if not in_turns(case.env):
        return None
    for seed, text in case.episodes:
        query_id = case.play(seed, text).query_id
        spans, _ = _segments(text, case)
        turns = turn_spans(text)
        if not 1 < len(turns) <= getattr(case.task, "max_turns", len(turns)):
            continue  # later lines would be played in the place of a dropped one
        for dropped, (first, end) in enumerate(turns):
            others = np.array([[not first <= start < end for start, _ in spans]])
            (values,) = case.task.coalition_values([query_id], [text], [spans], [others])
            rest = episode_text([text[a:b].removesuffix("\n") for n, (a, b) in enumerate(turns) if n != dropped])
            earned = case.play(seed, rest).reward
            if values[0] != earned:
                return (
                    f"without its turn {dropped} {quoted(text)} is worth {values[0]} for query {query_id!r}; the other "
                    f"searches earn {earned}"
                )
    return None


def _appends(case: EnvCase) -> bool:
    """Whether the retriever is sent the query too."""
    return getattr(case.task, "compose", "replace") == "append"


def _unlike_raw_query(case: EnvCase, alone: dict[str, float]) -> str | None:
    """A query that earns something else as a rewrite of its own, where the environment can be made to replace it."""
    spec = copy.deepcopy(case.env.spec)
    if spec is None or spec.kwargs.get("compose") != "append":
        return None
    spec.kwargs |= {"compose": "replace", "query_weight": 1}
    with closing(gym.make(spec)) as env:
        for query_id, worth in alone.items():
            _, opening = env.reset(options={"query_id": query_id})
            earned = env.step(opening["query"])[1]
            if earned != worth:
                return f"the empty rewrite earns {worth} for query {query_id!r}; the raw query earns {earned}"
    return None


@clause("batch")
def check_batch(case: EnvCase) -> str | None:
    """A batch gives what its members give alone: ``task.rewards``, coalition values, the native vector environment."""
    episodes = [(case.play(seed, text), text) for seed, text in case.episodes]
    ids, texts = [played.query_id for played, _ in episodes], [text for _, text in episodes]
    games = [_segments(text, case) for text in texts]
    spans, matrices = [span for span, _ in games], [np.tril(np.ones((row.shape[1],) * 2, bool)) for _, row in games]
    rewards = case.task.rewards(ids, texts)
    worths = case.task.coalition_values(ids, texts, spans, matrices)
    for b, (played, text) in enumerate(episodes):
        alone = case.task.rewards(ids[b : b + 1], texts[b : b + 1])[0]
        if rewards[b] != alone:
            return f"{where(played, text)} earns {rewards[b]} in a batch and {alone} alone"
        (worth,) = case.task.coalition_values(ids[b : b + 1], texts[b : b + 1], spans[b : b + 1], matrices[b : b + 1])
        if not np.array_equal(worths[b], worth):
            return f"coalitions of {where(played, text)} are worth {worths[b]} in a batch and {worth} alone"
    return _vector(case)


def _vector(case: EnvCase) -> str | None:
    """A counter-example of the native vector environment, if there is one."""
    spec = case.env.spec
    if spec is None or spec.vector_entry_point is None or spec.additional_wrappers:
        return None
    vector: Any = gym.make_vec(copy.deepcopy(spec), num_envs=len(case.seeds), vectorization_mode="vector_entry_point")
    with closing(vector):
        for text in case.texts:
            texts = [text, *itertools.islice(itertools.cycle(case.texts), len(case.seeds) - 1)]
            observations, _ = vector.reset(seed=list(case.seeds))
            rewards = _vector_rewards(vector, [script(case.env, one) for one in texts])
            for index, seed in enumerate(case.seeds):
                played = case.play(seed, texts[index])
                if (observations[index], rewards[index]) != (played.observation, played.reward):
                    return (
                        f"{where(played, texts[index])} earns {played.reward} for {played.observation!r} in a single "
                        f"environment, {rewards[index]} for {observations[index]!r} in a vector of them"
                    )
    return None


def _vector_rewards(vector: Any, scripts: list[list[str]]) -> NDArray[np.float64]:
    """Rewards of the open episodes of N environments of a vector, each with actions of its own: (N,)."""
    earned = np.zeros(len(scripts))
    running = np.ones(len(scripts), dtype=np.bool_)
    for step in range(max(map(len, scripts))):
        actions = [actions[min(step, len(actions) - 1)] for actions in scripts]
        _, rewards, terminations, truncations, _ = vector.step(actions)
        earned += np.where(running, rewards, 0.0)
        running &= ~(terminations | truncations)
    return earned


@clause("bounds")
def check_bounds(case: EnvCase) -> str | None:
    """Rewards are finite and in [0, 1], less at most the prices of all turns; the last step terminates the episode."""
    lowest = _lowest(case)
    for seed, text in case.episodes:
        played = case.play(seed, text)
        if not lowest <= played.reward <= 1.0:  # NaN is not
            return f"{where(played, text)} earns {played.reward}, expected a number in [{lowest:g}, 1]"
        if not played.ended:
            return f"a step with {where(played, text)} does not terminate the episode, or truncates it"
    return None


@clause("hostile")
def check_hostile(case: EnvCase) -> str | None:
    """Any string is safe: lone surrogates, 100,000 characters, control characters, either direction of writing."""
    for text in _HOSTILE_TEXTS:
        try:
            earned = case.play(case.seeds[0], text).reward
            shown = case.env.render() if case.env.render_mode == "ansi" else ""
            str(shown).encode()
        except Exception as error:  # anybody's code
            return f"{quoted(text)} makes it raise {type(error).__name__}: {error}"
        if not _lowest(case) <= earned <= 1.0:
            return f"{quoted(text)} earns {earned}, expected a number in [{_lowest(case):g}, 1]"
    return None


def _segments(text: str, case: EnvCase) -> tuple[list[tuple[int, int]], NDArray[np.bool_]]:
    """Spans that tile a text, a word each with what follows it, and the grand coalition of them (1, N)."""
    edges = [0, *(start for start, _ in token_spans(text)[1:]), len(text)]
    if in_turns(case.env):
        edges = sorted({*edges, *(start for start, _ in turn_spans(text))})
    spans = list(itertools.pairwise(edges)) if text else []
    return spans, np.ones((1, len(spans)), dtype=np.bool_)


def _lowest(case: EnvCase) -> float:
    """The lowest reward that the task can give."""
    return float(getattr(case.task, "lowest_reward", 0.0))
