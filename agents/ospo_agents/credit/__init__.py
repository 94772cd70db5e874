"""Credit: the share of the reward that a solution of the cooperative game gives each segment.

A game is a callable ``bool (C, N) -> float (C,)``; segments are its N players. ``shapley_values(game, n)`` and its
kind solve a game at once; :data:`SOLUTIONS` and :func:`make_solution` give the same in two steps, ``plan`` and
``solve``, so that many games are valued in one call. Worths of the empty coalition need not be 0.
"""

from ospo_agents.credit.coalitions import EXACT_BUDGET, Game, Unions
from ospo_agents.credit.interpolated import interpolated_shapley_values
from ospo_agents.credit.marginals import leave_one_out, prefix_potential
from ospo_agents.credit.owen_value import owen_values
from ospo_agents.credit.permutations import permutation_owen_values, permutation_shapley_values
from ospo_agents.credit.shapley_value import shapley_values
from ospo_agents.credit.state_value import state_shapley_values
from ospo_agents.credit.table import (
    SOLUTIONS,
    Solution,
    contiguous,
    make_solution,
    myerson,
    owen,
    permutation_shapley,
    sampled_owen,
    sampled_shapley,
    shapley,
    state_shapley,
)
from ospo_agents.credit.windows import contiguous_credit, myerson_values

__all__ = [
    "EXACT_BUDGET",
    "SOLUTIONS",
    "Game",
    "Solution",
    "Unions",
    "contiguous",
    "contiguous_credit",
    "interpolated_shapley_values",
    "leave_one_out",
    "make_solution",
    "myerson",
    "myerson_values",
    "owen",
    "owen_values",
    "permutation_owen_values",
    "permutation_shapley",
    "permutation_shapley_values",
    "prefix_potential",
    "sampled_owen",
    "sampled_shapley",
    "shapley",
    "shapley_values",
    "state_shapley",
    "state_shapley_values",
]
