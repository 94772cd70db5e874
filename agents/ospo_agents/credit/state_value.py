"""The state-conditional Shapley value: what a segment adds to all that stands before it.

With P_i the players before i and F_i those after it, f = |F_i|,

phi_i = sum over S in F_i of |S|! (f - |S|)! / (f + 1)! * (v(P_i + i + S) - v(P_i + S)),

the mean marginal of i over the orders in which P_i stands first as a block. Each player has orders of its own, so this
is no asymmetric Shapley value (C. Frye, C. Rowat, I. Feige, "Asymmetric Shapley values", 2020), which it resembles. It
lies between the prefix potential (S empty) and leave-one-out (S all of F_i). Of two segments that say the same, the
first gets the credit, and a repetition gets little: what an advantage at its place in the text would be.
"""

from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from ospo_agents.credit.coalitions import (
    Credit,
    Game,
    Worths,
    WorthTable,
    all_coalitions,
    check_players,
    check_worths,
    evaluate,
)
from ospo_agents.credit.game_model import (
    Posterior,
    condition,
    distances,
    shapley_covariance,
    shapley_profile,
    shapley_variance,
    worth_covariance,
)
from ospo_agents.credit.shapley_value import shapley_of_table
from ospo_agents.errors import AgentError
from ospo_agents.protocols import Coalitions

__all__ = ["plan_state", "solve_state", "state_shapley_values"]

_KEPT = 32  # posteriors, and plans, that are kept since texts share them
_KEPT_ROWS = 512  # of a plan whose posterior is kept: two megabytes


def state_shapley_values(
    game: Game, n: int, budget: int = 512, seed: int = 0, share: float = 1.0
) -> tuple[Credit, Credit]:
    """State-conditional Shapley values and their standard errors, two float64 (n,).

    Exact, with standard error 0, where the budget allows all 2^n coalitions. Beyond, posterior means and standard
    deviations of the Gaussian process of ``credit.game_model``. Null player and linearity hold for exact values;
    **not** efficiency and **not** symmetry, since an advantage is not a share.

    Args:
        game: Worths of coalitions.
        n: Number of players.
        budget: Game evaluations allowed, at least 2.
        seed: Seed of the choice of coalitions.
        share: Weight of the state-conditional value, in [0, 1]; the rest is that of the Shapley value.

    Raises:
        AgentError: The budget is below 2.

    >>> state_shapley_values(lambda coalitions: coalitions.any(axis=1), 2)[0]
    array([0.5, 0. ])
    """
    coalitions = plan_state(n, budget, seed)
    return solve_state(coalitions, evaluate(game, coalitions), share)


@lru_cache(maxsize=_KEPT)
def plan_state(n: int, budget: int, seed: int) -> Coalitions:
    """Distinct coalitions that tell what segments add to those before: bool (C, n), at most the budget; read-only.

    All 2^n if the budget allows. Else the prefixes and the text without each segment, then pairs that a segment joins:
    the segments before it, and some of those after it. None for no players.

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
    if n < 63 and 2**n <= budget:
        return _read_only(all_coalitions(n))
    rng = np.random.default_rng(seed)
    ends = np.stack([np.zeros(n, dtype=bool), np.ones(n, dtype=bool)])
    rows = {row.tobytes(): row for row in (*ends, *np.tri(n + 1, n, -1, dtype=bool), *~np.eye(n, dtype=bool))}
    while len(rows) < budget:
        player = rng.integers(n)
        after = n - 1 - player
        row = np.arange(n) < player
        row[player + 1 + rng.permutation(after)[: rng.integers(after + 1)]] = True
        rows.setdefault(row.tobytes(), row.copy())
        row[player] = True
        rows.setdefault(row.tobytes(), row)
    return _read_only(np.stack(list(rows.values())[:budget]))


def solve_state(coalitions: Coalitions, worths: Worths, share: float = 1.0) -> tuple[Credit, Credit]:
    """Values and standard errors, two float64 (N,), from the worths of some coalitions in any order.

    Exact where all 2^N have a worth.

    Args:
        coalitions: bool (C, N).
        worths: float64 (C,).
        share: Weight of the state-conditional value, in [0, 1]; the rest is that of the Shapley value.
    """
    coalitions, values = check_worths(coalitions, worths)
    n = coalitions.shape[1]
    if n == 0:
        return np.zeros(0), np.zeros(0)
    table = WorthTable(coalitions, values)
    distinct = table.distinct
    if n < 63 and len(distinct) == 2**n:
        every = table(all_coalitions(n))
        mixed: Credit = share * state_of_table(every) + (1 - share) * shapley_of_table(every)
        return mixed, np.zeros(n)
    posterior = _kept_posterior if len(distinct) <= _KEPT_ROWS else _posterior
    return posterior(n, distinct.tobytes(), share)(table(distinct))


def _posterior(n: int, content: bytes, share: float) -> Posterior:
    """The posterior of the values given the worths of coalitions, bool (C, n), given as their bytes."""
    distinct = np.frombuffer(content, dtype=bool).reshape(-1, n)
    by_distance = worth_covariance(n)
    effects = [_effects(by_distance, n, player) for player in range(n)]
    before: NDArray[np.int64] = np.cumsum(~distinct, axis=1) - ~distinct  # players before each that a coalition lacks
    after = distinct.sum(axis=1)[:, None] - np.cumsum(distinct, axis=1)  # players after each that it holds
    state = np.stack(
        [effects[player][distinct[:, player].astype(int), before[:, player], after[:, player]] for player in range(n)],
        axis=1,
    )
    cross = share * state + (1 - share) * shapley_covariance(distinct)
    variance = np.array([(effect[1, 0] - effect[0, 0]).mean() for effect in effects])
    profile = shapley_profile(n)
    common = np.array([2 * profile[player:].mean() for player in range(n)])  # the covariance of both values
    prior = share**2 * variance + 2 * share * (1 - share) * common + (1 - share) ** 2 * shapley_variance(n)
    return condition(by_distance[distances(distinct)], cross, prior)


_kept_posterior = lru_cache(maxsize=_KEPT)(_posterior)


def _read_only(coalitions: Coalitions) -> Coalitions:
    coalitions.flags.writeable = False
    return coalitions


def state_of_table(worths: NDArray[np.float64]) -> Credit:
    """State-conditional values, float64 (n,), from worths in the order of ``all_coalitions``, float64 (2^n,)."""
    n = len(worths).bit_length() - 1
    # The worths of sets that hold all of 0, ..., i - 1 are every 2^i-th, from 2^i - 1 on.
    return np.array([shapley_of_table(worths[2**player - 1 :: 2**player])[0] for player in range(n)])


def _effects(by_distance: NDArray[np.float64], n: int, player: int) -> NDArray[np.float64]:
    """Covariance of a player's value with the worth of a coalition: float64 (2, player + 1, f + 1).

    Indexed by whether the coalition holds the player, how many of those before it lacks, and how many of the f players
    after it holds.
    """
    after = n - 1 - player
    mismatches = np.stack([_mismatches(after, held) for held in range(after + 1)])
    lacking, extra = np.arange(player + 1)[:, None], np.arange(after + 1)[None, :]
    gain = by_distance[lacking + extra] - by_distance[lacking + extra + 1]  # of a coalition that holds the player
    covariance: NDArray[np.float64] = gain @ mismatches.T
    return np.stack([-covariance, covariance])


def _mismatches(size: int, held: int) -> NDArray[np.float64]:
    """Distribution of the distance of a fixed subset from a random one: float64 (size + 1,).

    The random one has a uniform size and is uniform among those of its size, as in the Shapley value.

    Args:
        size: Players.
        held: Number of players in the fixed coalition.
    """
    chances = np.zeros(size + 1)
    for drawn in range(size + 1):
        for common in range(max(0, drawn + held - size), min(drawn, held) + 1):
            ways = comb(held, common) * comb(size - held, drawn - common) / comb(size, drawn)
            chances[drawn + held - 2 * common] += ways / (size + 1)
    return chances
