"""Shapley and Owen values from random orders of the players, with a budget and a standard error.

The value is the mean marginal of a player over orders: all orders for Shapley, those that keep each union together
for Owen. Orders come in antithetic pairs, an order and its reverse (R. Mitchell, J. Cooper, E. Frank, G. Holmes,
"Sampling permutations for Shapley value estimation", 2022); both estimators stay unbiased, since the reverse of a
uniform order is uniform.
"""

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    Credit,
    Game,
    Unions,
    Worths,
    check_players,
    check_worths,
    evaluate,
    partition,
)
from ospo_agents.errors import AgentError, BudgetError
from ospo_agents.protocols import Coalitions

__all__ = ["permutation_owen_values", "permutation_shapley_values", "plan_permutations", "solve_permutations"]


def permutation_shapley_values(game: Game, n: int, budget: int = 512, seed: int = 0) -> tuple[Credit, Credit]:
    """Unbiased estimates of Shapley values and their standard errors, two float64 (n,).

    Efficiency, null player and linearity hold in every draw; symmetry in expectation only.

    Args:
        game: Worths of coalitions.
        n: Number of players.
        budget: Game evaluations allowed, at least 2 n.
        seed: Seed of the orders.

    Raises:
        BudgetError: The budget does not pay for one antithetic pair.
    """
    coalitions = plan_permutations(n, budget, seed)
    return solve_permutations(coalitions, evaluate(game, coalitions))


def permutation_owen_values(game: Game, unions: Unions, budget: int = 512, seed: int = 0) -> tuple[Credit, Credit]:
    """Unbiased estimates of Owen values and their standard errors, two float64 (N,); as the Shapley form."""
    coalitions = plan_permutations(sum(len(block) for block in unions), budget, seed, unions)
    return solve_permutations(coalitions, evaluate(game, coalitions), unions)


def plan_permutations(n: int, budget: int, seed: int, unions: Unions | None = None) -> Coalitions:
    """The empty and the grand coalition, then the inner prefixes of each order: bool (2 + 2 P (n - 1), n).

    P pairs of orders are drawn, as many as the budget pays for when no coalition comes twice; the rows of an order
    and of its reverse follow each other. None for no players.

    Args:
        n: Number of players.
        budget: Rows at most.
        seed: Seed of the orders.
        unions: A partition of the players; orders then keep each union together. None for any order.

    Raises:
        BudgetError: The budget does not pay for one pair.
        AgentError: The unions are no partition.
    """
    check_players(n)
    blocks = None if unions is None else partition(unions, n)
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    pairs = (budget - 2) // (2 * (n - 1)) if n > 1 else min(budget - 1, 1)
    if pairs < 1:
        raise BudgetError(
            f"expected a budget of at least {2 * n} evaluations for a pair of orders of {n} segments, but got {budget}"
        )
    rng = np.random.default_rng(seed)
    if blocks is None:
        orders = rng.permuted(np.tile(np.arange(n), (pairs, 1)), axis=1)
    else:
        orders = np.stack([_union_order(blocks, rng) for _ in range(pairs)])
    both = np.stack([orders, orders[:, ::-1]], axis=1).reshape(-1, n)
    position = np.argsort(both, axis=1)
    inner = position[:, None, :] < np.arange(1, n)[:, None]
    return np.vstack([np.zeros((1, n), dtype=bool), np.ones((1, n), dtype=bool), inner.reshape(-1, n)])


def solve_permutations(coalitions: Coalitions, worths: Worths, unions: Unions | None = None) -> tuple[Credit, Credit]:
    """Mean marginals and their standard errors, two float64 (N,).

    The standard error is that of the mean over antithetic pairs, which are independent; it is nan for a single pair,
    and 0 for a single player.

    Args:
        coalitions: bool (C, N), rows of :func:`plan_permutations` in their order, which tells the orders apart.
        worths: float (C,).
        unions: The unions of the plan.

    Raises:
        AgentError: The rows are not those of a plan.
    """
    coalitions, values = check_worths(coalitions, worths)
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0), np.zeros(0)
    orders = _orders(coalitions, unions)
    if n == 1:
        return values[1:2] - values[:1], np.zeros(1)
    inner = values[2:].reshape(-1, n - 1)
    edges = np.ones((len(inner), 1))
    chain = np.hstack([edges * values[0], inner, edges * values[1]])
    marginals = np.empty_like(orders, dtype=np.float64)
    np.put_along_axis(marginals, orders, np.diff(chain, axis=1), axis=1)
    pairs = marginals.reshape(-1, 2, n).mean(axis=1)
    if len(pairs) == 1:
        return pairs[0], np.full(n, np.nan)
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))


def _union_order(blocks: list[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order of all players that keeps each union together: int64 (N,)."""
    return np.concatenate([rng.permutation(blocks[k]) for k in rng.permutation(len(blocks))])


def _orders(coalitions: Coalitions, unions: Unions | None) -> NDArray[np.int64]:
    """The orders whose prefixes a plan's rows are, in antithetic pairs: int64 (2 P, N)."""
    n = coalitions.shape[1]
    wrong = AgentError("expected the rows of a sampled plan in their order, but the coalitions are not nested as such")
    if len(coalitions) < 2 or coalitions[0].any() or not coalitions[1].all() or (len(coalitions) - 2) % max(n - 1, 1):
        raise wrong
    if n == 1:
        return np.zeros((0, 1), dtype=np.int64)
    inner = coalitions[2:].reshape(-1, n - 1, n)
    edges = np.ones((len(inner), 1, n), dtype=bool)
    steps = np.diff(np.concatenate([~edges, inner, edges], axis=1).astype(np.int8), axis=1)
    if not len(inner) or len(inner) % 2 or (steps < 0).any() or (steps.sum(axis=2) != 1).any():
        raise wrong
    orders: NDArray[np.int64] = steps.argmax(axis=2)
    if not np.array_equal(orders[::2], orders[1::2, ::-1]):
        raise wrong
    if unions is not None:
        union = np.empty(n, dtype=np.int64)
        for k, block in enumerate(partition(unions, n)):
            union[block] = k
        if (np.count_nonzero(np.diff(union[orders], axis=1), axis=1) != len(unions) - 1).any():
            raise AgentError("expected orders that keep each union together, but the coalitions split one")
    return orders
