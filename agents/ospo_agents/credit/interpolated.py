"""Shapley values estimated by interpolating the game with the Gaussian process of ``credit.game_model``.

The Shapley value depends on odd Walsh degrees only, so coalitions are valued in pairs, each with its complement, and
the model is of half their difference g:

cov(g(S), g(T)) = sum over odd d of w_d kappa_d(|S xor T|; n)
cov(phi_i, g(T)) = +-2 / n * sum over odd d of w_d kappa_{d-1}(|T without i|; n - 1), + where T holds i
"""

from functools import lru_cache
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    Credit,
    Game,
    Worths,
    WorthTable,
    check_players,
    check_worths,
    evaluate,
)
from ospo_agents.credit.game_model import (
    Posterior,
    condition,
    distances,
    odd_covariance,
    shapley_covariance,
    shapley_variance,
)
from ospo_agents.errors import AgentError
from ospo_agents.protocols import Coalitions

__all__ = ["interpolated_shapley_values", "plan_pairs", "solve_pairs"]


_KEPT = 128  # designs, and plans, that are kept since texts share them
_KEPT_ROWS = 512  # of a plan whose design is kept: half a megabyte of the precision


def interpolated_shapley_values(game: Game, n: int, budget: int = 512, seed: int = 0) -> tuple[Credit, Credit]:
    """Posterior means of Shapley values and their posterior standard deviations, two float64 (n,).

    Efficiency and linearity hold in every draw; symmetry in expectation only. Estimates are biased towards games with
    weak interactions, and consistent: they are exact once every coalition is valued.

    Args:
        game: Worths of coalitions.
        n: Number of players.
        budget: Game evaluations allowed, at least 2.
        seed: Seed of the choice of coalitions.

    Raises:
        AgentError: The budget is below 2.

    >>> interpolated_shapley_values(lambda coalitions: coalitions.sum(axis=1), 2, budget=4)[0]
    array([1., 1.])
    """
    coalitions = plan_pairs(n, budget, seed)
    return solve_pairs(coalitions, evaluate(game, coalitions))


@lru_cache(maxsize=_KEPT)
def plan_pairs(n: int, budget: int, seed: int) -> Coalitions:
    """Distinct coalitions in pairs with their complements: bool (C, n), C even and at most the budget; read-only.

    The empty and the grand coalition come first, then single players with their complements, as far as the budget
    reaches; what is left is spread over larger sizes by the Shapley kernel, 1 / (k (n - k)) for size k, and drawn
    without replacement within a size. All 2^n coalitions are there if the budget allows. None for no players.

    Args:
        n: Number of players.
        budget: Rows at most, at least 2.
        seed: Seed of the draw.

    Raises:
        AgentError: The budget is below 2.
    """
    check_players(n)
    if n == 0:
        return np.zeros((0, 0), dtype=bool)
    if budget < 2:
        raise AgentError(f"expected a budget of at least 2 evaluations, but got {budget}")
    rng = np.random.default_rng(seed)
    halves = [np.zeros((1, n), dtype=bool)]
    halves += [_subsets(n, size, count, rng) for size, count in _allocate(n, budget // 2 - 1).items() if count]
    half = np.vstack(halves)
    coalitions = np.stack([half, ~half], axis=1).reshape(-1, n)
    coalitions.flags.writeable = False
    return coalitions


def solve_pairs(coalitions: Coalitions, worths: Worths) -> tuple[Credit, Credit]:
    """Posterior means and standard deviations, two float64 (N,), from the worths of :func:`plan_pairs` in any order.

    Raises:
        AgentError: A coalition's complement, or the empty and the grand coalition, has no worth.
    """
    coalitions, values = check_worths(coalitions, worths)
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0), np.zeros(0)
    design = (_kept_design if len(coalitions) <= _KEPT_ROWS else _design)(n, coalitions.tobytes())
    if design.distinct < len(values):
        WorthTable(coalitions, values)  # raises where equal coalitions have different worths
    differences = (values[design.half] - values[design.complement]) / 2
    credit, errors = design.posterior(differences)
    total = 2 * differences[design.grand]
    return credit + (total - credit.sum()) / n, errors  # efficient to rounding, however near to singular the system is


class _Design(NamedTuple):
    """Parts of credit that depend on the coalitions alone; they are computed once for all texts with the same plan.

    Attributes:
        distinct: Number of distinct coalitions.
        half: int (P,), rows of the coalitions that hold the first player, one of each pair.
        complement: int (P,), rows of their complements.
        grand: Place of the pair of the grand coalition.
        posterior: Posterior of the Shapley values, from half the differences of the pairs' worths.
    """

    distinct: int
    half: NDArray[np.intp]
    complement: NDArray[np.intp]
    grand: int
    posterior: Posterior


def _design(n: int, content: bytes) -> _Design:
    """The design of coalitions, bool (C, n), given as their bytes."""
    coalitions = np.frombuffer(content, dtype=bool).reshape(-1, n)
    distinct, first = np.unique(coalitions, axis=0, return_index=True)
    rows = WorthTable(distinct, first)
    rows(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))  # raises where one of them is missing
    complement = rows(~distinct).astype(np.intp)
    with_first = distinct[:, 0]
    half = distinct[with_first]
    prior = np.full(n, shapley_variance(n))
    posterior = condition(odd_covariance(n)[distances(half)], shapley_covariance(half), prior)
    grand = int(np.flatnonzero(half.all(axis=1))[0])
    return _Design(len(distinct), first[with_first], complement[with_first], grand, posterior)


_kept_design = lru_cache(maxsize=_KEPT)(_design)


def _allocate(n: int, pairs: int) -> dict[int, int]:
    """Pairs of each size 1, ..., n // 2 (of the smaller coalition): as said in :func:`plan_pairs`."""
    available = {size: _pairs_of_size(n, size, pairs) for size in range(1, n // 2 + 1)}
    if n == 1 or pairs >= sum(available.values()):
        return available
    counts = {size: 0 for size in available}
    counts[1] = min(available[1], pairs)
    left = pairs - counts[1]
    weights = {size: 1 / (size * (n - size)) for size in available if size > 1}
    while left and weights:
        total = sum(weights.values())
        quota = {size: left * weight / total for size, weight in weights.items()}
        full = [size for size in weights if available[size] - counts[size] <= quota[size]]
        if not full:
            floors = {size: int(quota[size]) for size in weights}
            by_remainder = sorted(weights, key=lambda size: (floors[size] - quota[size], size))
            for size in by_remainder[: left - sum(floors.values())]:
                floors[size] += 1
            for size, count in floors.items():
                counts[size] += count
            break
        for size in full:
            left -= available[size] - counts[size]
            counts[size] = available[size]
            del weights[size]
    return counts


def _pairs_of_size(n: int, size: int, most: int) -> int:
    """Pairs of subsets of one size and their complements, or a larger number than ``most`` if there are more."""
    ways = 1
    for step in range(size):  # stops long before numbers of thousands of digits
        ways = ways * (n - step) // (step + 1)
        if ways > 2 * most and step < n // 2:
            return most + 1
    return ways // (2 if 2 * size == n else 1)


def _subsets(n: int, size: int, count: int, rng: np.random.Generator) -> Coalitions:
    """Distinct subsets of one size, uniform without replacement, at most one of a subset and its complement."""
    halved = 2 * size == n
    total = comb(n, size) // (2 if halved else 1)
    if 2 * count > total:  # few enough to list
        listed = np.zeros((total, n), dtype=bool)
        chosen = [subset for subset in combinations(range(n), size) if not halved or subset[0] == 0]
        np.put_along_axis(listed, np.array(chosen), True, axis=1)
        return listed if count == total else listed[rng.choice(total, size=count, replace=False)]
    rows: dict[bytes, NDArray[np.bool_]] = {}
    while len(rows) < count:
        drawn = np.zeros((count, n), dtype=bool)
        members = np.argpartition(rng.random((count, n)), size - 1, axis=1)[:, :size]
        np.put_along_axis(drawn, members, True, axis=1)
        if halved:
            drawn ^= ~drawn[:, :1]
        for row in drawn:
            rows.setdefault(row.tobytes(), row)
    return np.stack(list(rows.values())[:count])
