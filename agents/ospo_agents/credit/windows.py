"""Solutions on contiguous windows of the segments: the Myerson value of a line, and the published estimator.

A window ``[a, b]`` is the coalition of all segments from a to b.
"""

from math import comb

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    EXACT_BUDGET,
    Credit,
    Game,
    Worths,
    WorthTable,
    check_budget,
    check_players,
    evaluate,
)
from ospo_agents.errors import AgentError
from ospo_agents.protocols import Coalitions

__all__ = [
    "contiguous_credit",
    "myerson_values",
    "plan_contiguous",
    "plan_myerson",
    "solve_contiguous",
    "solve_myerson",
]


def myerson_values(game: Game, n: int, width: int | None = None, budget: int = EXACT_BUDGET) -> Credit:
    """Myerson values on the path graph of n segments, float64 (n,); see :func:`solve_myerson`.

    Args:
        game: Worths of coalitions.
        n: Number of segments in a line.
        width: Longest window, at least 1; None for all.
        budget: Game evaluations allowed.
    """
    coalitions = plan_myerson(n, width, budget)
    return solve_myerson(coalitions, evaluate(game, coalitions), width)


def plan_myerson(n: int, width: int | None = None, budget: int = EXACT_BUDGET) -> Coalitions:
    """The empty coalition, all windows up to the width, and the grand coalition: bool (C, n).

    With w = min(width, n), C = 1 + n w - w (w - 1) / 2, and one more where w < n; none for no players.
    """
    check_players(n)
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    w = _width(width, n)
    check_budget(
        "myerson", n, 1 + n * w - w * (w - 1) // 2 + (w < n), budget, "a smaller width, the solution 'sampled_shapley'"
    )
    return np.vstack([np.zeros((1, n), dtype=bool), _windows(n, w), np.ones((int(w < n), n), dtype=bool)])


def solve_myerson(coalitions: Coalitions, worths: Worths, width: int | None = None) -> Credit:
    """Myerson values of a line: R. B. Myerson, "Graphs and cooperation in games", 1977.

    Only windows have dividends, D[a,b] = v[a,b] - v[a+1,b] - v[a,b-1] + v[a+1,b-1], and phi_i is the sum over
    windows that hold i of D / length. With a width cap, the residual v(N) - v(empty) - sum of D is shared equally.
    Keeps efficiency at every width, and linearity. Not null player: a segment that adds nothing is paid where it
    stands between two that need each other, as the bridge of their window, and under a width cap it shares the
    residual; without a cap, null segments at the ends of the line get 0. Not symmetry: place in the line counts.

    Args:
        coalitions: bool (C, N), those of :func:`plan_myerson` in any order.
        worths: float (C,).
        width: The width of the plan.

    Returns:
        float64 (N,).
    """
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0)
    w = _width(width, n)
    table = WorthTable(coalitions, worths)
    windows = _windows(n, w)
    starts, lengths = windows.argmax(axis=1), windows.sum(axis=1)
    empty = float(table(np.zeros((1, n), dtype=bool))[0])
    worth = np.full((w + 1, n + 2), empty)  # [length, start]; a window without segments is the empty coalition
    worth[lengths, starts] = table(windows)
    shorter = np.maximum(lengths - 2, 0)
    dividends = (worth[lengths, starts] - worth[lengths - 1, starts + 1]) - (
        worth[lengths - 1, starts] - worth[shorter, starts + 1]
    )
    credit: Credit = (dividends / lengths) @ windows
    if w < n:
        grand = float(table(np.ones((1, n), dtype=bool))[0])
        credit += (grand - empty - dividends.sum()) / n
    return credit


def contiguous_credit(game: Game, n: int, width: int = 32, budget: int = 64, seed: int = 0) -> Credit:
    """The published estimator, float64 (n,); see :func:`solve_contiguous`.

    Args:
        game: Worths of coalitions.
        n: Number of segments in a line.
        width: Longest window, at least 1.
        budget: Windows evaluated at most, at least 1; the empty coalition is not counted.
        seed: Seed of the random subset beyond the budget.
    """
    coalitions = plan_contiguous(n, width, budget, seed)
    return solve_contiguous(coalitions, evaluate(game, coalitions))


def plan_contiguous(n: int, width: int = 32, budget: int = 64, seed: int = 0) -> Coalitions:
    """The empty coalition, and windows up to the width with the grand coalition: bool (C, n), C <= budget + 1.

    Beyond the budget a uniformly random subset of them is kept, in order; none for no players.
    """
    check_players(n)
    if budget < 1:
        raise AgentError(f"expected a budget of at least 1 evaluation, but got {budget}")
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    w = _width(width, n)
    stored = np.vstack([_windows(n, w), np.ones((int(w < n), n), dtype=bool)])
    if len(stored) > budget:
        rows = np.random.default_rng(seed).choice(len(stored), size=budget, replace=False)
        stored = stored[np.sort(rows)]
    return np.vstack([np.zeros((1, n), dtype=bool), stored])


def solve_contiguous(coalitions: Coalitions, worths: Worths) -> Credit:
    """The estimator of arXiv 2601.08403 as published, kept for comparison.

    phi_i = sum over stored pairs (S, S + i) of (v(S + i) - v(S)) / (N C(N - 1, |S|)). These are the Shapley value's
    weights, but most of its pairs are not windows: the weights of a player sum to less than 1, least in the middle
    (for N = 8 to 0.18, at the edges to 0.31). It keeps the null player and linearity; **not** efficiency, and not
    symmetry.

    Args:
        coalitions: bool (C, N) in any order; whatever is there is used, so every set of coalitions is enough.
        worths: float (C,).

    Returns:
        float64 (N,).
    """
    n = coalitions.shape[1]
    table = WorthTable(coalitions, worths)
    credit = np.zeros(n)
    stored = np.unique(coalitions, axis=0) if n else coalitions
    weights = np.array([1 / (n * comb(n - 1, size)) for size in range(n)])
    for player in range(n):
        without = stored[~stored[:, player]]
        joined = without.copy()
        joined[:, player] = True
        paired = table.contains(joined)
        marginals = table(joined[paired]) - table(without[paired])
        credit[player] = marginals @ weights[without[paired].sum(axis=1)]
    return credit


def _width(width: int | None, n: int) -> int:
    if width is not None and width < 1:
        raise AgentError(f"expected a width of at least 1 segment, but got {width}")
    return n if width is None else min(width, n)


def _windows(n: int, width: int) -> NDArray[np.bool_]:
    """Windows of at most ``width`` segments, shortest first: bool (n w - w (w - 1) / 2, n)."""
    lengths = np.repeat(np.arange(1, width + 1), n - np.arange(width))
    starts = np.concatenate([np.arange(n - length + 1) for length in range(1, width + 1)])
    players = np.arange(n)
    return (players >= starts[:, None]) & (players < (starts + lengths)[:, None])
