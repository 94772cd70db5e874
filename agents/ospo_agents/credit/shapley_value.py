"""The Shapley value, exactly: L. S. Shapley, "A value for n-person games", 1953.

phi_i = sum over S without i of |S|! (N - |S| - 1)! / N! * (v(S + i) - v(S))
"""

from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    EXACT_BUDGET,
    Credit,
    Game,
    Worths,
    WorthTable,
    all_coalitions,
    check_budget,
    check_players,
    check_worths,
    evaluate,
)
from ospo_agents.protocols import Coalitions

__all__ = ["plan_shapley", "shapley_of_table", "shapley_values", "solve_shapley"]


def shapley_values(game: Game, n: int, budget: int = EXACT_BUDGET) -> Credit:
    """Shapley values of a game of n players, float64 (n,).

    Keeps efficiency (they sum to v(N) - v(empty)), symmetry, null player and linearity.

    Raises:
        AgentError: 2^n evaluations exceed the budget.

    >>> shapley_values(lambda coalitions: coalitions.all(axis=1), 2)
    array([0.5, 0.5])
    """
    coalitions = plan_shapley(n, budget)
    return solve_shapley(coalitions, evaluate(game, coalitions))


def plan_shapley(n: int, budget: int = EXACT_BUDGET) -> Coalitions:
    """All 2^n coalitions, bool (2^n, n); none for no players."""
    check_players(n)
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    check_budget("shapley", n, 2**n, budget, "the solution 'sampled_shapley'")
    return all_coalitions(n)


def solve_shapley(coalitions: Coalitions, worths: Worths) -> Credit:
    """Shapley values, float64 (N,), from the worths of all coalitions in any order."""
    coalitions, values = check_worths(coalitions, worths)
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0)
    every = all_coalitions(n)
    if np.array_equal(coalitions, every):  # the plan's own order needs no search
        return shapley_of_table(values)
    return shapley_of_table(WorthTable(coalitions, values)(every))


def shapley_of_table(worths: NDArray[np.float64]) -> Credit:
    """Shapley values, float64 (n,), from worths in the order of ``all_coalitions``, float64 (2^n,)."""
    n = len(worths).bit_length() - 1
    weights = _weights(n)
    credit = np.empty(n)
    for player in range(n):
        pairs = worths.reshape(-1, 2, 2**player)
        credit[player] = ((pairs[:, 1] - pairs[:, 0]).ravel() * weights).sum()
    return credit


@lru_cache(maxsize=16)
def _weights(n: int) -> NDArray[np.float64]:
    """Weight of a player's contribution to each coalition without it, in order: float64 (2^(n-1),), read-only."""
    weight_of_size = np.array([1 / (n * comb(n - 1, size)) for size in range(n)])
    sizes = np.zeros(1, dtype=np.int64)
    for _ in range(n - 1):
        sizes = np.concatenate([sizes, sizes + 1])
    weights: NDArray[np.float64] = weight_of_size[sizes]
    weights.flags.writeable = False
    return weights
