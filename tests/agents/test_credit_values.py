"""Credit of games whose values are known: closed forms, brute force over orders, another library, and each other."""

import numpy as np
import pytest

from credit_games import (
    brute_force_myerson,
    brute_force_owen,
    brute_force_shapley,
    random_game,
    sum_of_unanimity_games,
    tabulated,
)
from ospo_agents.credit import (
    contiguous_credit,
    leave_one_out,
    myerson_values,
    owen_values,
    prefix_potential,
    shapley_values,
)

CLOSE = {"rtol": 0, "atol": 1e-12}
TERMS = [((0,), 1.0), ((1, 3), -2.0), ((0, 2, 4), 3.0), ((2, 3), 0.5), ((0, 1, 2, 3, 4), 4.0)]
UNANIMITY = sum_of_unanimity_games(5, TERMS)
PARTITIONS = [[[0, 1], [2], [3, 4]], [[0, 2, 4], [1, 3]], [[4, 0], [1], [2], [3]], [[0], [1, 2, 3, 4]]]


def test_shapley_of_unanimity_games_splits_each_coefficient_equally():
    expected = np.zeros(5)
    for players, coefficient in TERMS:
        expected[list(players)] += coefficient / len(players)
    np.testing.assert_allclose(shapley_values(UNANIMITY, 5), expected, **CLOSE)


@pytest.mark.parametrize("unions", PARTITIONS)
def test_owen_of_unanimity_games_splits_between_unions_and_then_within(unions):
    expected = np.zeros(5)
    for players, coefficient in TERMS:
        meeting = [set(block) & set(players) for block in unions if set(block) & set(players)]
        for part in meeting:
            expected[list(part)] += coefficient / len(meeting) / len(part)
    np.testing.assert_allclose(owen_values(UNANIMITY, unions), expected, **CLOSE)


def test_myerson_of_unanimity_games_splits_over_the_shortest_window():
    expected = np.zeros(5)
    for players, coefficient in TERMS:
        window = slice(min(players), max(players) + 1)
        expected[window] += coefficient / (window.stop - window.start)
    np.testing.assert_allclose(myerson_values(UNANIMITY, 5), expected, **CLOSE)


def test_airport_game():
    """Littlechild and Owen 1973: each stretch of the runway is shared by those who need it."""
    costs = np.array([1.0, 3.0, 3.0, 7.0, 10.0])

    def game(coalitions):
        return np.where(coalitions, costs, 0.0).max(axis=1)

    stretches = np.diff(costs, prepend=0.0) / np.arange(5, 0, -1)
    np.testing.assert_allclose(shapley_values(game, 5), stretches.cumsum(), **CLOSE)
    np.testing.assert_allclose(leave_one_out(game, 5), [0, 0, 0, 0, 3], **CLOSE)


def test_glove_game():
    """One left and two right gloves: a pair is worth 1."""

    def game(coalitions):
        return np.minimum(coalitions[:, :1].sum(axis=1), coalitions[:, 1:].sum(axis=1)).astype(float)

    np.testing.assert_allclose(shapley_values(game, 3), [2 / 3, 1 / 6, 1 / 6], **CLOSE)
    np.testing.assert_allclose(owen_values(game, [[0], [1, 2]]), [1 / 2, 1 / 4, 1 / 4], **CLOSE)
    np.testing.assert_allclose(owen_values(game, [[0, 1], [2]]), [3 / 4, 1 / 4, 0], **CLOSE)
    np.testing.assert_allclose(myerson_values(game, 3), [1 / 2, 1 / 2, 0], **CLOSE)
    np.testing.assert_allclose(leave_one_out(game, 3), [1, 0, 0], **CLOSE)
    np.testing.assert_allclose(prefix_potential(game, 3), [0, 1, 0], **CLOSE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_brute_force(n, seed):
    game = random_game(n, seed)
    np.testing.assert_allclose(shapley_values(game, n), brute_force_shapley(game, n), **CLOSE)
    np.testing.assert_allclose(myerson_values(game, n), brute_force_myerson(game, n), **CLOSE)
    np.testing.assert_allclose(myerson_values(game, n, width=n + 3), brute_force_myerson(game, n), **CLOSE)


@pytest.mark.parametrize("unions", [*PARTITIONS, [[5, 2], [0, 1, 3], [4]]])
def test_owen_by_brute_force(unions):
    game = random_game(sum(map(len, unions)), 3)
    np.testing.assert_allclose(owen_values(game, unions), brute_force_owen(game, unions), **CLOSE)


def test_the_values_are_different_things():
    """The negative control of every agreement here: on a random game no two of them agree."""
    game = random_game(5, 0)
    credits = [
        shapley_values(game, 5),
        owen_values(game, PARTITIONS[0]),
        owen_values(game, PARTITIONS[1]),
        myerson_values(game, 5),
        myerson_values(game, 5, width=2),
        contiguous_credit(game, 5),
        leave_one_out(game, 5),
        prefix_potential(game, 5),
    ]
    for i, first in enumerate(credits):
        for second in credits[:i]:
            assert np.abs(first - second).max() > 1e-2


@pytest.mark.parametrize("n", [3, 6])
def test_shapiq_agrees(n):
    shapiq = pytest.importorskip("shapiq")
    game = random_game(n, 11)
    computed = shapiq.ExactComputer(game=game, n_players=n)("SV").get_n_order_values(1)
    np.testing.assert_allclose(shapley_values(game, n), computed, **CLOSE)
    assert np.abs(owen_values(game, [[0, 1], list(range(2, n))]) - computed).max() > 1e-2


def test_one_union_and_singletons_reduce_owen_to_shapley():
    game = random_game(6, 5)
    shapley = shapley_values(game, 6)
    np.testing.assert_allclose(owen_values(game, [list(range(6))]), shapley, **CLOSE)
    np.testing.assert_allclose(owen_values(game, [[k] for k in (3, 1, 0, 2, 5, 4)]), shapley, **CLOSE)
    assert np.abs(owen_values(game, [[0, 1, 2], [3, 4, 5]]) - shapley).max() > 1e-2


def test_myerson_with_windows_of_one_shares_the_residual_equally():
    game = random_game(4, 1)
    alone = np.array([game.at([i]) - game.at([]) for i in range(4)])
    residual = game.worths[-1] - game.worths[0] - alone.sum()
    np.testing.assert_allclose(myerson_values(game, 4, width=1), alone + residual / 4, **CLOSE)


def test_additive_games_get_one_credit_from_all_but_the_published_estimator():
    gains = np.array([0.5, -1.0, 2.0, 0.0, 3.0])

    def game(coalitions):
        return coalitions @ gains

    for credit in (
        shapley_values(game, 5),
        owen_values(game, PARTITIONS[0]),
        myerson_values(game, 5),
        myerson_values(game, 5, width=2),
        leave_one_out(game, 5),
        prefix_potential(game, 5),
    ):
        np.testing.assert_allclose(credit, gains, **CLOSE)
    assert np.abs(contiguous_credit(game, 5) - gains).max() > 1e-2


def test_the_published_estimator_is_short_and_favours_the_edges():
    """For eight segments that add 1 each, credit is 0.31 at the edges and 0.18 in the middle."""
    credit = contiguous_credit(lambda coalitions: coalitions.sum(axis=1), 8)
    np.testing.assert_allclose(credit[[0, 3, 4, 7]], [0.305, 0.183, 0.183, 0.305], atol=5e-4)
    assert credit.sum() < 8 / 3 * 0.7


def test_the_published_estimator_by_hand():
    """Three segments: pairs from the empty coalition weigh 1/3, from single segments 1/6, from neighbours 1/3."""
    game = tabulated(lambda rows: rows @ np.array([1.0, 2.0, 4.0]) + 8.0 * rows.all(axis=1), 3)
    first = 1 / 3 + 1 / 6 + (1 + 8) / 3
    middle = 2 / 3 + 2 * 2 / 6  # {0, 2} is no window
    last = 4 / 3 + 4 / 6 + (4 + 8) / 3
    np.testing.assert_allclose(contiguous_credit(game, 3), [first, middle, last], **CLOSE)


def test_a_random_subset_destroys_the_pairs_of_the_published_estimator():
    """At N = 20 with 64 of 210 windows about a tenth of the marginals between windows survive."""
    rows = []
    for seed in range(30):
        matrices = []
        contiguous_credit(
            lambda coalitions, matrices=matrices: matrices.append(coalitions) or coalitions[:, 0], 20, seed=seed
        )
        assert len(matrices[0]) == 65  # the empty coalition comes on top
        rows.append(matrices[0][matrices[0].any(axis=1)])
    survived = np.mean([marginals_between(windows) for windows in rows])
    everything = np.array([np.isin(np.arange(20), np.arange(a, b)) for a in range(20) for b in range(a + 1, 21)])
    assert 0.06 < survived / marginals_between(everything) < 0.13


def marginals_between(windows):
    stored = {tuple(row) for row in windows.astype(int)}
    return sum(
        tuple(np.where(np.arange(20) == player, 1, row)) in stored
        for row in stored
        for player in range(20)
        if not row[player]
    )
