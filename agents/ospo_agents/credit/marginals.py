"""Credit from single marginals: the loss without a segment, and the gain over the segments before it."""

import numpy as np

from ospo_agents.credit.coalitions import Credit, Game, Worths, WorthTable, check_players, evaluate
from ospo_agents.protocols import Coalitions

__all__ = [
    "leave_one_out",
    "plan_leave_one_out",
    "plan_prefix_potential",
    "prefix_potential",
    "solve_leave_one_out",
    "solve_prefix_potential",
]


def leave_one_out(game: Game, n: int) -> Credit:
    """phi_i = v(N) - v(N without i), float64 (n,).

    Keeps null player, symmetry and linearity; **not** efficiency: of two segments that say the same, both get 0.

    >>> leave_one_out(lambda coalitions: coalitions.any(axis=1), 2)
    array([0., 0.])
    """
    coalitions = plan_leave_one_out(n)
    return solve_leave_one_out(coalitions, evaluate(game, coalitions))


def plan_leave_one_out(n: int) -> Coalitions:
    """The grand coalition, then each without one player: bool (n + 1, n); none for no players."""
    check_players(n)
    return np.vstack([np.ones((1, n), dtype=bool), ~np.eye(n, dtype=bool)]) if n else np.zeros((0, 0), dtype=bool)


def solve_leave_one_out(coalitions: Coalitions, worths: Worths) -> Credit:
    """Losses, float64 (N,), from the coalitions of :func:`plan_leave_one_out` in any order."""
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0)
    values = WorthTable(coalitions, worths)(plan_leave_one_out(n))
    losses: Credit = values[0] - values[1:]
    return losses


def prefix_potential(game: Game, n: int) -> Credit:
    """phi_i = v(first i segments) - v(first i - 1), float64 (n,).

    Keeps efficiency, null player and linearity, **not** symmetry: of two segments that say the same, the first gets
    all. Its running sum is the worth of the text so far, a function of the state: the credit to use with
    :func:`ospo_agents.advantages.potential` (A. Y. Ng, D. Harada, S. Russell, "Policy invariance under reward
    transformations", 1999).

    >>> prefix_potential(lambda coalitions: coalitions.any(axis=1), 2)
    array([1., 0.])
    """
    coalitions = plan_prefix_potential(n)
    return solve_prefix_potential(coalitions, evaluate(game, coalitions))


def plan_prefix_potential(n: int) -> Coalitions:
    """The empty coalition and the first 1, ..., n segments: bool (n + 1, n); none for no players."""
    check_players(n)
    return np.tri(n + 1, n, -1, dtype=bool) if n else np.zeros((0, 0), dtype=bool)


def solve_prefix_potential(coalitions: Coalitions, worths: Worths) -> Credit:
    """Gains, float64 (N,), from the coalitions of :func:`plan_prefix_potential` in any order."""
    n = coalitions.shape[1]
    return np.diff(WorthTable(coalitions, worths)(plan_prefix_potential(n))) if n else np.zeros(0)
