"""The Owen value, exactly: G. Owen, "Values of games with a priori unions", 1977.

The Shapley value over the orders of players in which each union stands together. With M unions, of which union k has
m_k players, and Q_H the players of the unions in H: phi_i, for i in union k, is

sum over H without k of |H|! (M - |H| - 1)! / M! * sum over S in k without i of |S|! (m_k - |S| - 1)! / m_k! *
(v(Q_H + S + i) - v(Q_H + S)),

which is the Shapley value of the game u_k(S) = sum over H of |H|! (M - |H| - 1)! / M! * v(Q_H + S) inside union k.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    EXACT_BUDGET,
    Credit,
    Game,
    Unions,
    Worths,
    WorthTable,
    all_coalitions,
    check_budget,
    evaluate,
    partition,
)
from ospo_agents.credit.shapley_value import shapley_of_table
from ospo_agents.protocols import Coalitions

__all__ = ["owen_evaluations", "owen_values", "plan_owen", "solve_owen"]


def owen_values(game: Game, unions: Unions, budget: int = EXACT_BUDGET) -> Credit:
    """Owen values of a game whose N players form unions, float64 (N,).

    Keeps efficiency, linearity, null player, symmetry within a union and between unions, and the quotient game: a
    union's players together get what the Shapley value gives it in the game of unions. Singletons or one union give
    the Shapley value.

    Args:
        game: Worths of coalitions.
        unions: A partition of ``range(N)``.
        budget: Game evaluations allowed.

    Raises:
        AgentError: The unions are no partition, or the evaluations exceed the budget.

    >>> owen_values(lambda coalitions: coalitions.all(axis=1), [[0, 1], [2]])
    array([0.25, 0.25, 0.5 ])
    """
    coalitions = plan_owen(sum(len(block) for block in unions), unions, budget)
    return solve_owen(coalitions, evaluate(game, coalitions), unions)


def plan_owen(n: int, unions: Unions, budget: int = EXACT_BUDGET) -> Coalitions:
    """All sets of whole unions, then of other unions with a proper part of one: bool (C, n).

    C = 2^M + sum over k of 2^(M-1) (2^m_k - 2), each coalition once; none for no players.
    """
    blocks = partition(unions, n)
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    check_budget("owen", n, owen_evaluations(unions), budget, "the solution 'sampled_owen'")
    parts = [_with_part(blocks, k, n)[:, 1:-1].reshape(-1, n) for k in range(len(blocks))]
    return np.vstack([_whole(blocks, n), *parts])


def owen_evaluations(unions: Unions) -> int:
    """Coalitions of :func:`plan_owen`: 2^M + sum over k of 2^(M-1) (2^m_k - 2)."""
    m = len(unions)
    inner: int = sum(2 ** (m - 1) * (2 ** len(block) - 2) for block in unions)
    return int(2**m + inner)


def solve_owen(coalitions: Coalitions, worths: Worths, unions: Unions) -> Credit:
    """Owen values, float64 (N,), from the worths of the coalitions of :func:`plan_owen` in any order."""
    n = coalitions.shape[1]
    blocks = partition(unions, n)
    table = WorthTable(coalitions, worths)
    m = len(blocks)
    sizes = all_coalitions(max(m - 1, 0)).sum(axis=1)
    weights = np.array([1 / (m * comb(m - 1, int(size))) for size in sizes]) if m else np.zeros(0)
    credit = np.zeros(n)
    for k, block in enumerate(blocks):
        inner = table(_with_part(blocks, k, n))  # (2^(M-1), 2^m_k)
        credit[block] = shapley_of_table((weights[:, None] * inner).sum(axis=0))
    return credit


def _whole(blocks: list[NDArray[np.int64]], n: int) -> Coalitions:
    """All sets of whole unions, bool (2^M, n)."""
    union = np.empty(n, dtype=np.int64)
    for k, block in enumerate(blocks):
        union[block] = k
    return all_coalitions(len(blocks))[:, union]


def _with_part(blocks: list[NDArray[np.int64]], k: int, n: int) -> Coalitions:
    """Each set of other unions with each part of union k, none and all of it included: bool (2^(M-1), 2^m_k, n)."""
    others = [block for other, block in enumerate(blocks) if other != k]
    chosen = all_coalitions(len(others))
    parts = all_coalitions(len(blocks[k]))
    joined = np.zeros((len(chosen), len(parts), n), dtype=bool)
    for other, block in enumerate(others):
        joined[:, :, block] = chosen[:, None, other, None]
    joined[:, :, blocks[k]] = parts
    return joined
