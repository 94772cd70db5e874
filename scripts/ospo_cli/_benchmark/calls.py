"""Rows of a bound on calls: error of credit beside that of permutations, under a sentence encoder."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs_data.sample import sample_data
from ospo_agents import AgentError
from ospo_agents.credit import make_solution
from ospo_agents.credit.shapley_value import shapley_of_table
from ospo_cli._benchmark.estimators import TableGame
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.work import Rollouts, fresh_task, make_rollouts, open_data
from ospo_env.task import RetrievalTask

__all__ = ["Errors", "call_rows", "game_errors"]

_SIZES = (8, 10)
_CALLS = (8, 16, 32, 64)
_MOST_OF_PERMUTATIONS = 0.35
_TARGETS_FROM = 16
_SEEDS = 3
_LEAST_SPREAD = 0.005  # of exact credit; below it there is nothing to estimate


class Errors(NamedTuple):
    """Errors of credit of one game: root mean square, over the standard deviation of the exact credit.

    Attributes:
        bounded: By calls, one for each seed.
        permutations: By evaluations, likewise.
        at_the_end: Greatest difference of worths from the exact ones where all texts may be called.
    """

    bounded: Mapping[int, Sequence[float]]
    permutations: Mapping[int, Sequence[float]]
    at_the_end: float


def call_rows(arguments: Namespace) -> list[Row]:
    """Errors on rewrites of each shop and of --dense-data, and what has to be exact."""
    if arguments.model is None:
        raise AgentError("--only calls: expected --model, the directory of a sentence-transformers model")
    sizes, number = ((4,), 2) if arguments.quick else (_SIZES, 8)
    kinds = {shop: sample_data(shop) for shop in ("shopping", "fashion")}
    if arguments.dense_data is not None:
        kinds["--dense-data"] = open_data(arguments.dense_data)
    rows = []
    for kind, data in kinds.items():
        for retriever in (f"dense:{arguments.model}", "bm25"):
            for n in sizes:
                errors = game_errors(fresh_task(data, retriever), n, number)
                where = f"{kind}, {retriever.partition(':')[0]}, N = {n}"
                rows += list(_rows(where, n, errors, linear=retriever == "bm25"))
    return rows


def game_errors(task: RetrievalTask, n: int, number: int) -> list[Errors]:
    """Errors on as many rewrites of n segments as asked, of those whose exact credit differs between segments."""
    solution = make_solution("shapley", budget=2**n)
    every = solution.plan(n)
    found: list[Errors] = []
    for prompt_id, text, spans in zip(*make_rollouts(task, 2 * number, 1, [n], "leave_one_out")[:3], strict=True):
        worths = partial(_worths, task, Rollouts([prompt_id], [text], [spans], [every]))
        table = TableGame(worths(None, None))
        exact = shapley_of_table(table.worths)
        if exact.std() <= _LEAST_SPREAD:
            continue
        calls = [bound for bound in _CALLS if n < bound < 2**n]
        bounded = {
            bound: [_error(shapley_of_table(worths(bound, seed)), exact) for seed in range(_SEEDS)] for bound in calls
        }
        permutations = {
            bound: [_error(_permuted(table, max(bound, 2 * n), seed), exact) for seed in range(_SEEDS)]
            for bound in calls
        }
        at_the_end = worths(2**n - 1, 0)
        found.append(Errors(bounded, permutations, float(np.abs(at_the_end - table.worths).max())))
        if len(found) == number:
            break
    return found


def _worths(task: RetrievalTask, game: Rollouts, calls: int | None, seed: int | None) -> NDArray[np.float64]:
    """Worths of one rewrite's coalitions."""
    (worths,) = task.coalition_values(*game, calls=calls, seeds=None if seed is None else [seed])
    return worths


def _permuted(game: TableGame, budget: int, seed: int) -> NDArray[np.float64]:
    """Shapley values by antithetic pairs of orders; one pair needs 2 n evaluations."""
    solution = make_solution("permutation_shapley", budget=budget)
    plan = solution.plan(game.n, seed=seed)
    return solution.solve(plan, game(plan))


def _error(estimate: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    return float(np.sqrt(((estimate - exact) ** 2).mean()) / exact.std())


def _rows(where: str, n: int, errors: Sequence[Errors], *, linear: bool) -> Iterator[Row]:
    end = max((one.at_the_end for one in errors), default=0.0)
    yield Row(f"worths at {2**n - 1} calls, {where}, greatest difference", "0", end, "", most=0.0)
    for bound in errors[0].bounded if errors else ():
        own = np.array([one.bounded[bound] for one in errors])
        if linear:
            yield Row(f"credit at {bound} calls, {where}, greatest error", "0", float(own.max()), "", most=0.0)
            continue
        others = np.array([one.permutations[bound] for one in errors])
        error, permuted = float(np.median(own)), float(np.median(others))
        details = {"error": error, "permutations": permuted, "games": len(errors)}
        yield Row(f"error of credit at {bound} calls, {where}", "", error, "", details=details)
        most = _MOST_OF_PERMUTATIONS if bound >= _TARGETS_FROM else None
        work = f"the same, of that of permutations with {max(bound, 2 * n)} evaluations"
        yield Row(work, "" if most is None else f"<= {most:g}", error / permuted, "", most=most, details=details)
