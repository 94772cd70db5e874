"""The work that is timed: tasks, and rollouts with their segments and coalitions."""

import dataclasses
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data import PreparedData, load_prepared
from envs_data.sample import sample_data
from ospo_agents.credit import make_solution
from ospo_env.retrievers import Retriever
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.task import RetrievalTask

__all__ = ["CUTOFF", "METRIC", "Rollouts", "fresh_task", "graded_pools", "make_rollouts", "open_data", "pool_gains"]

CUTOFF = 10
METRIC = f"nDCG@{CUTOFF}"
MAX_WORDS = 64


class Rollouts(NamedTuple):
    """B rewrites with their segments and coalitions, as a task takes them."""

    prompt_ids: list[str]
    texts: list[str]
    spans: list[list[tuple[int, int]]]
    coalitions: list[NDArray[np.bool_]]

    @property
    def size(self) -> int:
        """Number of coalitions of all rewrites."""
        return sum(map(len, self.coalitions))

    def worths(self, task: RetrievalTask) -> list[NDArray[np.float64]]:
        """Worths of all coalitions, measured by the engine."""
        return task.coalition_values(*self)

    def sample(self, number: int, seed: int) -> list[tuple[int, int]]:
        """A random sample of the coalitions, each a rewrite's number and a row of its matrix."""
        every = [(b, c) for b, matrix in enumerate(self.coalitions) for c in range(len(matrix))]
        chosen = np.random.default_rng(seed).permutation(len(every))[:number]
        return [every[place] for place in chosen.tolist()]

    def text_of(self, b: int, c: int) -> str:
        """The text of a coalition."""
        return coalition_text(self.texts[b], self.spans[b], self.coalitions[b][c])


def open_data(path: Path | None) -> PreparedData:
    """A prepared directory, or the embedded sample of a shop."""
    return sample_data("shopping") if path is None else load_prepared(path)


def graded_pools(data: PreparedData, relevant: int) -> PreparedData:
    """The same data with a bound on the judged documents of positive gain of each query, all of them in its pool."""
    pooled = data.pools.explode("doc_rows").rename({"doc_rows": "doc_row"})
    judged = data.qrels.filter(pl.col("gain") > 0).join(pooled, on=["query_id", "doc_row"], how="semi")
    return dataclasses.replace(data, qrels=judged.group_by("query_id", maintain_order=True).head(relevant))


def make_rollouts(
    task: RetrievalTask, prompts: int, group: int, players: Sequence[int], solution: str = "myerson", **settings: Any
) -> Rollouts:
    """Rewrites of one- and two-word phrases from documents of their query's own pool, seeded.

    Args:
        task: Whose prompts they answer.
        prompts: Prompts.
        group: Rewrites of each.
        players: Segments of a rewrite, drawn from these.
        solution: Whose plan gives the coalitions: all windows by default.
        **settings: Settings of the solution.
    """
    rng = np.random.default_rng(0)
    plan = make_solution(solution, **settings).plan
    rollouts = Rollouts([], [], [], [])
    for prompt_id in task.prompts("train")[0][:prompts]:
        rows = task.data.pools.filter(pl.col("query_id") == prompt_id)["doc_rows"].item().to_numpy()
        for _ in range(group):
            wanted = int(rng.choice(players))
            words: list[str] = []
            while len(words) < 2 * wanted:
                document_words = task.data.documents["text"][int(rng.choice(rows))].replace(",", " ").split()
                words += [word for word in document_words if word.isalpha()]
            words = [words[place] for place in rng.permutation(len(words)).tolist()]
            phrases = [" ".join(words[2 * n : 2 * n + 1 + int(rng.integers(2))]) for n in range(wanted)]
            pieces = [f"{phrase}, " for phrase in phrases[:-1]] + phrases[-1:]
            text = "".join(pieces)
            spans = list(pairwise(accumulate(map(len, pieces), initial=0)))
            rollouts.prompt_ids.append(prompt_id)
            rollouts.texts.append(text)
            rollouts.spans.append(spans)
            rollouts.coalitions.append(plan(len(spans)))
    return rollouts


def pool_gains(task: RetrievalTask, prompt_id: str) -> tuple[dict[int, float], list[float]]:
    """The gain of each document row of a prompt's pool, 0 where it has none, and the gains of all judged documents."""
    rows = task.data.pools.filter(pl.col("query_id") == prompt_id)["doc_rows"].item()
    judged = task.data.qrels.filter(pl.col("query_id") == prompt_id)
    gains = dict(zip(judged["doc_row"], judged["gain"], strict=True))
    return {row: gains.get(row, 0.0) for row in rows}, judged["gain"].to_list()


def fresh_task(data: PreparedData, retriever: str | Retriever) -> RetrievalTask:
    """A task that has scored nothing yet."""
    return RetrievalTask(data, retriever, METRIC, MAX_WORDS)
