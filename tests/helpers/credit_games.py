"""Games with known values, and values by brute force, for the tests of credit."""

from itertools import permutations

import numpy as np


class TableGame:
    """A game given by its worths in the order of bit fields; counts what it is asked."""

    def __init__(self, worths):
        self.worths = np.asarray(worths, dtype=float)
        self.n = len(self.worths).bit_length() - 1
        self.asked = 0
        self.calls = 0

    def __call__(self, coalitions):
        self.asked += len(coalitions)
        self.calls += 1
        return self.worths[np.asarray(coalitions) @ (1 << np.arange(self.n))]

    def at(self, players):
        return self.worths[sum(1 << player for player in players)]


def random_game(n, seed):
    """Random worths, the empty coalition's included, so that nothing relies on its being 0."""
    return TableGame(np.random.default_rng(seed).normal(size=2**n))


def sum_of_unanimity_games(n, terms):
    """v(S) = sum of the coefficients of the sets that S holds."""

    def game(coalitions):
        return sum(
            coefficient * coalitions[:, list(players)].all(axis=1).astype(float) for players, coefficient in terms
        )

    return game


def tabulated(game, n):
    """Any game as a table of 2^n worths."""
    return TableGame(game((np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)))


def mean_marginals(game, n, orders):
    """The mean marginal of each player over orders, one at a time."""
    credit = np.zeros(n)
    orders = list(orders)
    for order in orders:
        for place, player in enumerate(order):
            credit[player] += game.at(order[: place + 1]) - game.at(order[:place])
    return credit / len(orders)


def brute_force_shapley(game, n):
    return mean_marginals(game, n, permutations(range(n)))


def brute_force_owen(game, unions):
    n = sum(map(len, unions))
    union_of = {player: k for k, block in enumerate(unions) for player in block}

    def together(order):
        runs = [union_of[order[0]]]
        for player in order[1:]:
            if union_of[player] != runs[-1]:
                runs.append(union_of[player])
        return len(runs) == len(unions)

    return mean_marginals(game, n, filter(together, permutations(range(n))))


def brute_force_myerson(game, n):
    """Shapley of the game that values a coalition by its connected parts on a line."""
    worths = []
    for bits in range(2**n):
        players = [player for player in range(n) if bits >> player & 1]
        parts = []
        for player in players:
            if parts and parts[-1][-1] == player - 1:
                parts[-1].append(player)
            else:
                parts.append([player])
        worths.append(sum(game.at(part) - game.at([]) for part in parts))
    return brute_force_shapley(TableGame(worths), n)
