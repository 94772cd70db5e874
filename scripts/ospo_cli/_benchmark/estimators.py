"""Rows of the estimators of credit: error against evaluations, on games whose exact values are known.

A game is a text made of phrases of its query's own pool; its 2^N worths are computed once. The prior of
``ospo_agents.credit.game_model`` was chosen on bm25 games of the prepared directory and of the embedded shops; games
under lsa are held out: they were looked at only here.
"""

import importlib.util
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs_data.sample import sample_data
from ospo_agents.credit import make_solution
from ospo_agents.credit.shapley_value import shapley_of_table
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.work import fresh_task, make_rollouts, open_data
from ospo_cli._terminal import say

__all__ = ["Accuracy", "TableGame", "accuracy", "comparison", "estimator_rows", "estimators", "worth_tables"]

_SIZES = (6, 8, 9, 10, 12, 14, 16, 20)
_BUDGETS = (64, 128, 256, 512)
_DEFAULT, _DEFAULT_BUDGET = "sampled_shapley", 512
_EXACT_TO = 9
_MOST_ERROR = {10: 0.01, 12: 0.01, 14: 0.01, 16: 0.015}
_LEAST_TOP = 0.85
_MOST_MILLISECONDS = 3.0
_TIMED_PLAYERS = 12
_SHAPIQ: Mapping[str, Mapping[str, Any]] = {"KernelSHAP": {"pairing_trick": True}, "SVARM": {}, "OddSHAP": {}}
_LEAST_SPREAD = 0.01  # a game of nearly equal worths has no credit to estimate


class TableGame(NamedTuple):
    """A game given by its worths in the order of ``all_coalitions``: float64 (2^n,)."""

    worths: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.worths).bit_length() - 1

    def __call__(self, coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Worths of coalitions, bool (C, n): float64 (C,)."""
        values: NDArray[np.float64] = self.worths[np.asarray(coalitions, dtype=np.int64) @ (1 << np.arange(self.n))]
        return values


class _Clocked:
    """A game that knows how long its worths took."""

    def __init__(self, game: TableGame) -> None:
        self.n = game.n
        self.seconds = 0.0
        self._game = game

    def __call__(self, coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        start = time.process_time()
        worths = self._game(coalitions)
        self.seconds += time.process_time() - start
        return worths


Estimator = Callable[[_Clocked, int, int], NDArray[np.float64]]
"""Function from a game, a budget and a seed to credit, float64 (n,)."""


class Accuracy(NamedTuple):
    """Accuracy of an estimator on some games of one size, at one budget.

    Attributes:
        error: Median of |estimate - exact|^2 / |exact|^2.
        top: Share of games in which the largest estimate is that of a player of the largest exact value.
        milliseconds: Mean CPU time of a game, its worths left out.
    """

    error: float
    top: float
    milliseconds: float


def estimator_rows(arguments: Namespace) -> list[Row]:
    """Targets of the default estimator; all estimators at all budgets are printed as a table of their own."""
    sizes = _SIZES[:4] if arguments.quick else _SIZES
    number = 4 if arguments.quick else 24
    cells = {
        (kind, n, name, budget): accuracy(estimator, games, budget)
        for kind, tables in _kinds(arguments, sizes, number)
        for n, games in tables.items()
        for name, estimator in estimators().items()
        for budget in _BUDGETS
    }
    say(comparison(cells))
    return [
        row
        for (kind, n, name, budget), cell in cells.items()
        if name == _DEFAULT and budget == _DEFAULT_BUDGET
        for row in _rows(kind, n, cell)
    ]


def comparison(cells: Mapping[tuple[str, int, str, int], Accuracy]) -> str:
    """A table in Markdown: error of each estimator by budget, the median over kinds of games, where it is not exact.

    Args:
        cells: Accuracy by kind of games, number of players, estimator and budget.
    """
    budgets = sorted({budget for *_, budget in cells})
    lines = [
        "| N | estimator |" + "".join(f" {budget} |" for budget in budgets) + f" top phrase right at {budgets[-1]} |"
    ]
    lines.append("|---" * (len(budgets) + 3) + "|")
    for n in sorted({n for _, n, _, _ in cells if n > _EXACT_TO}):
        for name in dict.fromkeys(name for _, _, name, _ in cells):
            by_budget = {
                budget: [one for (_, m, other, spent), one in cells.items() if (m, other, spent) == (n, name, budget)]
                for budget in budgets
            }
            errors = [f"{np.median([one.error for one in by_budget[budget]]):.3g}" for budget in budgets]
            top = np.mean([one.top for one in by_budget[budgets[-1]]])
            lines.append(f"| {n} | {name} | " + " | ".join(errors) + f" | {top:.2f} |")
    return "\n".join([*lines, ""])


def worth_tables(data: Any, retriever: str, sizes: Sequence[int], number: int) -> dict[int, list[TableGame]]:
    """Games of each size, of as many queries as asked, with worths that differ.

    Args:
        data: Prepared data.
        retriever: Retriever that ranks; a linear one values 2^20 coalitions in half a second.
        sizes: Numbers of players.
        number: Games of each size, at most one a query.
    """
    task = fresh_task(data, retriever)
    tables: dict[int, list[TableGame]] = {}
    for n in sizes:
        rollouts = make_rollouts(task, 2 * number, 1, [n], "leave_one_out")
        games = []
        for prompt_id, text, spans in zip(*rollouts[:3], strict=True):
            every = make_solution("shapley", budget=2**n).plan(n)
            game = TableGame(task.coalition_values([prompt_id], [text], [spans], [every])[0])
            if game.worths.std() > _LEAST_SPREAD:
                games.append(game)
        tables[n] = games[: min(number, 4) if n > 16 else number]
    return tables


def estimators() -> dict[str, Estimator]:
    """Estimators of the Shapley value by name; those of shapiq where it is installed."""
    by_name: dict[str, Estimator] = {name: partial(_solve, name) for name in (_DEFAULT, "permutation_shapley")}
    if importlib.util.find_spec("shapiq") is not None:
        import shapiq  # slow to import

        for name, settings in _SHAPIQ.items():
            approximator = getattr(shapiq, name)
            if approximator is not None:  # some of them need further packages
                by_name[f"shapiq {name}"] = partial(_approximate, approximator, settings)
    return by_name


def accuracy(estimator: Estimator, games: Sequence[TableGame], budget: int) -> Accuracy:
    """Accuracy of an estimator on games, seed 0, 1, ... in turn."""
    errors, tops, seconds = [], [], 0.0
    for seed, game in enumerate(games):
        exact = shapley_of_table(game.worths)
        clocked = _Clocked(game)
        start = time.process_time()
        estimate = estimator(clocked, budget, seed)
        seconds += time.process_time() - start - clocked.seconds
        errors.append(((estimate - exact) ** 2).sum() / (exact**2).sum())
        tops.append(exact[estimate.argmax()] >= exact.max() - 1e-9)
    return Accuracy(float(np.median(errors)), float(np.mean(tops)), 1000 * seconds / len(games))


def _kinds(
    arguments: Namespace, sizes: Sequence[int], number: int
) -> Iterator[tuple[str, Mapping[int, list[TableGame]]]]:
    """Kinds of games by name; lsa's are held out from the choice of the estimator."""
    small = [n for n in sizes if n <= 16]
    for shop in ("shopping", "fashion"):
        for retriever in ("bm25", "lsa"):
            yield f"{shop}, {retriever}", worth_tables(sample_data(shop), retriever, small, number)
    if arguments.data is not None:
        for retriever in ("bm25", "lsa"):
            yield f"--data, {retriever}", worth_tables(open_data(arguments.data), retriever, sizes, number)


def _rows(kind: str, n: int, cell: Accuracy) -> Iterator[Row]:
    """Rows of the default estimator on one kind of games."""
    most = 0.0 if n <= _EXACT_TO else _MOST_ERROR.get(n)
    work = f"{_DEFAULT}, {kind}, N = {n}, {_DEFAULT_BUDGET} evaluations"
    target = "" if most is None else f"<= {most:g}"
    yield Row(f"relative squared error of {work}", target, cell.error, "", most=most, details=cell._asdict())
    if n > _EXACT_TO:
        yield Row(f"top phrase right by {work}", f">= {_LEAST_TOP}", cell.top, "", least=_LEAST_TOP)
    if n == _TIMED_PLAYERS:
        target = f"<= {_MOST_MILLISECONDS:g} ms"
        yield Row(f"arithmetic of {work}", target, cell.milliseconds, "ms", most=_MOST_MILLISECONDS)


def _solve(name: str, game: _Clocked, budget: int, seed: int) -> NDArray[np.float64]:
    solution = make_solution(name, budget=budget)
    plan = solution.plan(game.n, seed=seed)
    return solution.solve(plan, game(plan))


def _approximate(
    approximator: Callable[..., Any], settings: Mapping[str, Any], game: _Clocked, budget: int, seed: int
) -> NDArray[np.float64]:
    estimate = approximator(n=game.n, random_state=seed, **settings).approximate(min(budget, 2**game.n), game)
    values: NDArray[np.float64] = estimate.get_n_order_values(1)
    return values
