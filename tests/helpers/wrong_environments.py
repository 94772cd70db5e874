"""Environments that each break one clause of the contract and keep all others, to test the conformance kit with."""

import os

import gymnasium as gym
import numpy as np

from ospo_env import RetrievalTask, RewriteEnv, RewriteVectorEnv, SearchEnv, SearchTask
from shop import shop


class Right(RewriteEnv):
    """The shop, with a hook for the task that is to go wrong."""

    task_kind = RetrievalTask

    def __init__(self, **arguments):
        super().__init__(data=shop(), **arguments)
        self.task = self.task_kind(shop())


class Gymnasium(Right):
    """It is seeded as long ago."""

    def seed(self, seed=None):
        self.reset(seed=seed)


class Reward(Right):
    """The reward that a person would print."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, round(reward, 3), *rest


class _GrandFromSums(RetrievalTask):
    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)
        return [
            np.where(rows.all(1) & rows.any(1), value * (1 - 1e-12), value)
            for value, rows in zip(values, coalitions, strict=True)
        ]


class GrandCoalition(Right):
    """It goes another way than the step, and the last bits differ."""

    task_kind = _GrandFromSums


class OwnCoalitions(Right):
    """The environment's own coalition values are those of another prompt."""

    def coalition_values(self, text, spans, coalitions):
        (values,) = self.task.coalition_values(["q02"], [text], [spans], [coalitions])
        return values


class _PaysEmpty(RetrievalTask):
    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)
        return [np.where(rows.any(1), value, 0.01) for value, rows in zip(values, coalitions, strict=True)]


class EmptyCoalition(Right):
    task_kind = _PaysEmpty


class BlankText(Right):
    """A text without a word is taken for the raw query."""

    def step(self, action):
        return super().step(self._queries[self._row] if action in ("", " ") else action)


class Appended(RetrievalTask):
    """The query is sent too."""

    def __init__(self, data):
        super().__init__(data, compose="append", query_weight=2, repeats="once")


class RightAppended(Right):
    task_kind = Appended


class _ForgetsTheQuery(Appended):
    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)
        return [np.where(rows.any(1), value, 0.0) for value, rows in zip(values, coalitions, strict=True)]


class EmptyAppended(Right):
    """The empty coalition is worth 0, though the query is in it."""

    task_kind = _ForgetsTheQuery


class BlankAppended(RightAppended):
    """A blank text earns nothing, though the query is sent."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward if action != " " else 0.0, *rest


class RightInTurns(SearchEnv):
    """The shop in turns, with a hook for the task that is to go wrong."""

    task_kind = SearchTask

    def __init__(self, **arguments):
        super().__init__(data=shop(), **arguments)
        self.task = self.task_kind(self.task.retrieval)


class _ChargesAllTurns(SearchTask):
    def coalition_values(self, prompt_ids, texts, spans, coalitions):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions)
        for value, text, tiles, rows in zip(values, texts, spans, coalitions, strict=True):
            turn = np.array([text.count("\n", 0, start) for start, _ in tiles])
            for number in np.unique(turn):
                value[rows.any(1) & ~rows[:, turn == number].any(1)] -= self.price
        return values


class DroppedTurns(RightInTurns):
    """A turn that a coalition drops has to be paid for."""

    task_kind = _ChargesAllTurns


class _PaysNothing(SearchTask):
    def coalition_values(self, prompt_ids, texts, spans, coalitions):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions)
        return [np.where(rows.any(1), value, 0.01) for value, rows in zip(values, coalitions, strict=True)]


class EmptyInTurns(RightInTurns):
    """The coalition without a search earns something."""

    task_kind = _PaysNothing


class OtherQuery(RewriteEnv):
    """In front of a rewrite stands another query than the shopper's."""

    def __init__(self, compose="append", **arguments):
        super().__init__(data=shop(), compose=compose, **arguments)
        if compose == "append":
            self.task._composer._queries = [f"{query} red wool" for query in self.task._composer._queries]


gym.register("Wrong/OtherQuery-v0", entry_point=OtherQuery, kwargs={"compose": "append"})


def other_query():
    return gym.make("Wrong/OtherQuery-v0")


class _Batches(RetrievalTask):
    def rewards(self, prompt_ids, texts):
        return super().rewards(prompt_ids, texts) * (0.5 if len(texts) > 1 else 1.0)


class Batch(Right):
    task_kind = _Batches


class _BatchedWorths(RetrievalTask):
    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        values = super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)
        return [value * (0.5 if len(texts) > 1 else 1.0) for value in values]


class BatchedWorths(Right):
    task_kind = _BatchedWorths


class ShiftedVector(RewriteVectorEnv):
    """Rewards of the neighbours."""

    def __init__(self, num_envs=1, **arguments):
        super().__init__(num_envs, data=shop(), **arguments)

    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, np.roll(rewards, 1), *rest


gym.register("Wrong/ShiftedVector-v0", entry_point=Right, vector_entry_point=ShiftedVector)


def shifted_vector():
    return gym.make("Wrong/ShiftedVector-v0")


class Seeds(Right):
    """Episodes after the first go on from one to the next, over seeded resets too."""

    turn = 0

    def reset(self, *, seed=None, options=None):
        if seed is None and not options:
            self.turn += 1
            super().reset()
            options = {"query_id": self._prompt_ids[self.turn % len(self._prompt_ids)]}
        return super().reset(seed=seed, options=options)


class Info(Right):
    """The metrics lie in one dictionary."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.metrics = {}

    def step(self, action):
        *rest, info = super().step(action)
        self.metrics.update(info["metrics"])
        return *rest, info | {"metrics": self.metrics}


class EmptiedInfo(Right):
    """What a caller takes out of an info is gone."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.words = {query_id: [query_id, "please"] for query_id in self._prompt_ids}

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, info | {"words": self.words[self.prompt_id]}


class _Generous(RetrievalTask):
    """Everything earns a quarter more."""

    def outcomes(self, prompt_ids, texts):
        return [outcome._replace(reward=outcome.reward * 1.25) for outcome in super().outcomes(prompt_ids, texts)]

    def rewards(self, prompt_ids, texts):
        return super().rewards(prompt_ids, texts) * 1.25

    def coalition_values(self, prompt_ids, texts, spans, coalitions, **limits):
        return [value * 1.25 for value in super().coalition_values(prompt_ids, texts, spans, coalitions, **limits)]


class Bounds(Right):
    task_kind = _Generous


class GoesOn(Right):
    """An episode that earned something has ended, and does not say so."""

    def step(self, action):
        observation, reward, _, *rest = super().step(action)
        return observation, reward, reward == 0.0, *rest


class Hostile(Right):
    """It writes actions down."""

    def step(self, action):
        if isinstance(action, str):
            action.encode()
        return super().step(action)


class LongTexts(Right):
    """Long texts earn what is no number."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, float("nan") if len(action) > 50_000 else reward, *rest


class Types(Right):
    """Everything can be printed, so everything is a text."""

    def step(self, action):
        return super().step(str(action))


class TypesLong(Right):
    """A text that the action space does not contain is taken."""

    def step(self, action):
        if isinstance(action, str) and action not in self.action_space:
            action = action[: self.action_space.max_length]
        return super().step(action)


class TypesEnd(Right):
    """What is no string ends the episode, if not the program."""

    def step(self, action):
        if not isinstance(action, str):
            self.check_running()
            self.conclude("", self.task.outcomes([self.prompt_id], [""])[0])
        return super().step(action)


class Ended(Right):
    """One step more."""

    def check_running(self):
        self._current()


class Unopened(Right):
    """A step before the first reset makes one."""

    def check_running(self):
        if self._row is None:
            self.reset()
        super().check_running()


class Options(Right):
    """Options are not read."""

    def reset(self, *, seed=None, options=None):
        self.pinned_row(options)
        return super().reset(seed=seed)


class OptionsDraw(Right):
    """A query that was asked for costs a draw."""

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        if options:
            self.np_random.integers(2)
        return result


class OptionsForgive(Right):
    """An unknown option is passed over."""

    def pinned_row(self, options):
        return super().pinned_row({"query_id": (options or {}).get("query_id")})


class OptionsEnd(Right):
    """An unknown query ends the episode."""

    def pinned_row(self, options):
        row, self._row = self._row, None
        pinned = super().pinned_row(options)
        self._row = row
        return pinned


class Processes(Right):
    """Something of a set's order is in the info."""

    key = staticmethod(lambda: hash("some text"))

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        return observation, info | {"key": self.key()}


class Threads(Processes):
    """Something of the number of threads is there instead."""

    key = staticmethod(lambda: os.environ.get("OMP_NUM_THREADS"))


WRONG = {
    Gymnasium: "gymnasium",
    Reward: "reward",
    GrandCoalition: "reward",
    OwnCoalitions: "reward",
    EmptyCoalition: "empty",
    BlankText: "empty",
    EmptyAppended: "empty",
    BlankAppended: "empty",
    EmptyInTurns: "empty",
    DroppedTurns: "turns",
    other_query: "empty",
    Batch: "batch",
    BatchedWorths: "batch",
    shifted_vector: "batch",
    Seeds: "seeds",
    Info: "info",
    EmptiedInfo: "info",
    Bounds: "bounds",
    GoesOn: "bounds",
    Hostile: "hostile",
    LongTexts: "hostile",
    Types: "types",
    TypesEnd: "types",
    TypesLong: "types",
    Ended: "ended",
    Unopened: "ended",
    Options: "options",
    OptionsDraw: "options",
    OptionsForgive: "options",
    OptionsEnd: "options",
    Processes: "processes",
    Threads: "processes",
}
"""The clause that each breaks."""
