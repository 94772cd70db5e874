"""Solutions of the game as a table: each a ``plan`` of the coalitions to value and a ``solve`` of their worths."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from ospo_agents.credit.coalitions import EXACT_BUDGET, Credit, Unions, Worths, require_unions
from ospo_agents.credit.interpolated import plan_pairs, solve_pairs
from ospo_agents.credit.marginals import (
    plan_leave_one_out,
    plan_prefix_potential,
    solve_leave_one_out,
    solve_prefix_potential,
)
from ospo_agents.credit.owen_value import owen_evaluations, plan_owen, solve_owen
from ospo_agents.credit.permutations import plan_permutations, solve_permutations
from ospo_agents.credit.shapley_value import plan_shapley, solve_shapley
from ospo_agents.credit.state_value import plan_state, solve_state
from ospo_agents.credit.windows import plan_contiguous, plan_myerson, solve_contiguous, solve_myerson
from ospo_agents.errors import AgentError, unknown
from ospo_agents.protocols import Coalitions

__all__ = [
    "SOLUTIONS",
    "Solution",
    "contiguous",
    "make_solution",
    "myerson",
    "owen",
    "permutation_shapley",
    "sampled_owen",
    "sampled_shapley",
    "shapley",
    "state_shapley",
]

_PLANS = 8
"""Sampled plans for each number of players: few, so that they are kept; several, so that no error is of all texts."""


class Plan(Protocol):
    """The coalitions of n players to value: bool (C, n), (0, 0) for no players."""

    def __call__(self, n: int, unions: Unions | None = None, seed: int = 0) -> Coalitions:
        """The coalitions. Solutions that need no unions or no seed ignore them."""
        ...


class Solve(Protocol):
    """Credit of each player, float64 (N,), from coalitions (C, N) of a plan and their worths (C,)."""

    def __call__(self, coalitions: Coalitions, worths: Worths, unions: Unions | None = None) -> Credit:
        """The credit; row order matters to sampled solutions only."""
        ...


class SolveWithError(Protocol):
    """Credit and its standard error, two float64 (N,), from coalitions (C, N) of a plan and their worths (C,)."""

    def __call__(self, coalitions: Coalitions, worths: Worths, unions: Unions | None = None) -> tuple[Credit, Credit]:
        """The credit and the standard error of each player."""
        ...


@dataclass(frozen=True)
class Solution:
    """A solution of the game, in two pure functions, so that the plans of a whole batch are valued in one call.

    Attributes:
        name: Its name in the table.
        plan: A number of players to the coalitions to value.
        solve: From these coalitions and their worths to credit.
        solve_with_error: The same with a standard error, for sampled solutions; None for exact ones.
        needs_unions: Whether credit depends on the unions.
    """

    name: str
    plan: Plan
    solve: Solve
    solve_with_error: SolveWithError | None = None
    needs_unions: bool = False


def _check_settings(budget: int, width: int | None = None) -> None:
    """Raise :class:`AgentError` unless budget and width are whole numbers of at least 1."""
    checked: list[tuple[str, Any]] = [("budget", budget), ("width", width)]
    for name, value in checked:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise AgentError(f"expected a {name} that is a whole number of at least 1, but got {value!r}")


def shapley(budget: int = EXACT_BUDGET) -> Solution:
    """Shapley values of all 2^N coalitions (:func:`ospo_agents.credit.shapley_values`)."""
    _check_settings(budget)
    return Solution(
        "shapley",
        lambda n, unions=None, seed=0: plan_shapley(n, budget),
        lambda coalitions, worths, unions=None: solve_shapley(coalitions, worths),
    )


def owen(budget: int = EXACT_BUDGET) -> Solution:
    """Owen values (:func:`ospo_agents.credit.owen_values`); plan and solve need unions."""
    _check_settings(budget)
    return Solution(
        "owen",
        lambda n, unions=None, seed=0: plan_owen(n, require_unions(unions), budget),
        lambda coalitions, worths, unions=None: solve_owen(coalitions, worths, require_unions(unions)),
        needs_unions=True,
    )


def myerson(width: int | None = None, budget: int = EXACT_BUDGET) -> Solution:
    """Myerson values of the line of segments (:func:`ospo_agents.credit.myerson_values`)."""
    _check_settings(budget, width)
    return Solution(
        "myerson",
        lambda n, unions=None, seed=0: plan_myerson(n, width, budget),
        lambda coalitions, worths, unions=None: solve_myerson(coalitions, worths, width),
    )


def contiguous(width: int = 32, budget: int = 64) -> Solution:
    """The published estimator (:func:`ospo_agents.credit.contiguous_credit`), at its settings for ESCI."""
    _check_settings(budget, width)
    return Solution(
        "contiguous",
        lambda n, unions=None, seed=0: plan_contiguous(n, width, budget, seed),
        lambda coalitions, worths, unions=None: solve_contiguous(coalitions, worths),
    )


def sampled_shapley(budget: int = 512) -> Solution:
    """Shapley values within a budget: exact where 2^N fits, else interpolated.

    The interpolation is :func:`ospo_agents.credit.interpolated_shapley_values`. Of its plans for a number of players
    there are eight, by the remainder of the seed: what credit owes to a plan alone is computed once for all texts.
    """
    _check_settings(budget)
    return _exact_within(
        "sampled_shapley",
        budget,
        shapley(budget),
        lambda n, unions: _power(n),
        lambda n, unions, seed: plan_pairs(n, budget, seed % _PLANS),
        lambda coalitions, worths, unions: solve_pairs(coalitions, worths),
    )


def permutation_shapley(budget: int = 512) -> Solution:
    """Shapley values within a budget: exact where 2^N fits, else the mean over antithetic pairs of orders.

    The mean is :func:`ospo_agents.credit.permutation_shapley_values`.
    """
    _check_settings(budget)
    return _exact_within(
        "permutation_shapley",
        budget,
        shapley(budget),
        lambda n, unions: _power(n),
        lambda n, unions, seed: plan_permutations(n, budget, seed),
        lambda coalitions, worths, unions: solve_permutations(coalitions, worths),
    )


def sampled_owen(budget: int = 512) -> Solution:
    """Owen values within a budget: exact where they fit, else the mean over orders that keep unions together.

    The mean is :func:`ospo_agents.credit.permutation_owen_values`; plan and solve need unions.
    """
    _check_settings(budget)
    return _exact_within(
        "sampled_owen",
        budget,
        owen(budget),
        lambda n, unions: owen_evaluations(require_unions(unions)),
        lambda n, unions, seed: plan_permutations(n, budget, seed, require_unions(unions)),
        lambda coalitions, worths, unions: solve_permutations(coalitions, worths, require_unions(unions)),
    )


def state_shapley(budget: int = 512, share: float = 1.0) -> Solution:
    """State-conditional Shapley values within a budget (:func:`ospo_agents.credit.state_shapley_values`).

    Args:
        budget: Game evaluations allowed.
        share: Weight of the state-conditional value, in [0, 1]; the rest is that of the Shapley value.
    """
    _check_settings(budget)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise AgentError(f"expected a share in [0, 1], but got {share!r}")
    return Solution(
        "state_shapley",
        lambda n, unions=None, seed=0: plan_state(n, budget, seed % _PLANS),
        lambda coalitions, worths, unions=None: solve_state(coalitions, worths, share)[0],
        lambda coalitions, worths, unions=None: solve_state(coalitions, worths, share),
    )


def _exact_within(
    name: str,
    budget: int,
    exact: Solution,
    evaluations: Callable[[int, Unions | None], int],
    plan_estimate: Callable[[int, Unions | None, int], Coalitions],
    solve_estimate: Callable[[Coalitions, Worths, Unions | None], tuple[Credit, Credit]],
) -> Solution:
    """A solution that is exact, with standard error 0, where its evaluations fit the budget, and estimated elsewhere.

    The number of players and the unions tell whether they fit, so ``solve`` decides as ``plan`` did.
    """

    def plan(n: int, unions: Unions | None = None, seed: int = 0) -> Coalitions:
        fits = evaluations(n, unions) <= budget
        return exact.plan(n, unions, seed) if fits else plan_estimate(n, unions, seed)

    def solve_with_error(coalitions: Coalitions, worths: Worths, unions: Unions | None = None) -> tuple[Credit, Credit]:
        n = coalitions.shape[1]
        if evaluations(n, unions) <= budget:
            return exact.solve(coalitions, worths, unions), np.zeros(n)
        return solve_estimate(coalitions, worths, unions)

    def solve(coalitions: Coalitions, worths: Worths, unions: Unions | None = None) -> Credit:
        return solve_with_error(coalitions, worths, unions)[0]

    return Solution(name, plan, solve, solve_with_error, exact.needs_unions)


def _power(n: int) -> int:
    """Coalitions of n players."""
    return int(2**n)


def _leave_one_out() -> Solution:
    return Solution(
        "leave_one_out",
        lambda n, unions=None, seed=0: plan_leave_one_out(n),
        lambda coalitions, worths, unions=None: solve_leave_one_out(coalitions, worths),
    )


def _prefix_potential() -> Solution:
    return Solution(
        "prefix_potential",
        lambda n, unions=None, seed=0: plan_prefix_potential(n),
        lambda coalitions, worths, unions=None: solve_prefix_potential(coalitions, worths),
    )


_FACTORIES: Mapping[str, Callable[..., Solution]] = MappingProxyType(
    {
        "shapley": shapley,
        "owen": owen,
        "myerson": myerson,
        "contiguous": contiguous,
        "leave_one_out": _leave_one_out,
        "prefix_potential": _prefix_potential,
        "sampled_shapley": sampled_shapley,
        "permutation_shapley": permutation_shapley,
        "sampled_owen": sampled_owen,
        "state_shapley": state_shapley,
    }
)

SOLUTIONS: Mapping[str, Solution] = MappingProxyType({name: make() for name, make in _FACTORIES.items()})
"""Every solution at its defaults, by name."""


def make_solution(name: str, **settings: Any) -> Solution:
    """A solution by name, with settings of its own.

    Args:
        name: A name in :data:`SOLUTIONS`.
        **settings: ``budget`` (all but ``leave_one_out`` and ``prefix_potential``), ``width`` (``myerson``,
            ``contiguous``) and ``share`` (``state_shapley``).

    Raises:
        AgentError: The name or a setting is unknown, or a setting is out of range.

    >>> make_solution("myerson", width=2).plan(4).sum(axis=1).tolist()
    [0, 1, 1, 1, 1, 2, 2, 2, 4]
    """
    if name not in _FACTORIES:
        raise unknown("solution", name, _FACTORIES)
    names = list(inspect.signature(_FACTORIES[name]).parameters)
    for setting in settings:
        if setting not in names:
            raise unknown(f"{name} setting", setting, names)
    return _FACTORIES[name](**settings)
