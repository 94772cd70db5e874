"""State-conditional Shapley values: by brute force over orders, axioms with negative controls, estimates."""

from itertools import combinations, permutations

import numpy as np
import pytest

from credit_games import random_game, sum_of_unanimity_games, tabulated
from ospo_agents import AgentError
from ospo_agents.credit import make_solution, state_value
from ospo_agents.credit.coalitions import all_coalitions
from ospo_agents.credit.marginals import leave_one_out, prefix_potential
from ospo_agents.credit.state_value import _effects, _mismatches, plan_state, solve_state, state_shapley_values


def brute_force(game, n):
    """The mean marginal of each player over all orders in which the players before it stand first as a block."""
    credit = np.zeros(n)
    for player in range(n):
        marginals = []
        for order in permutations(range(n)):
            if set(order[:player]) == set(range(player)):
                place = order.index(player)
                marginals.append(game.at(order[: place + 1]) - game.at(order[:place]))
        credit[player] = np.mean(marginals)
    return credit


@pytest.mark.parametrize("n", range(1, 7))
def test_exact_values_are_the_definition(n):
    game = random_game(n, seed=n)
    credit, errors = state_shapley_values(game, n)
    np.testing.assert_allclose(credit, brute_force(game, n), atol=1e-12)
    assert not errors.any()


def test_exact_in_any_order_of_rows_up_to_eight():
    game = random_game(8, seed=0)
    coalitions = all_coalitions(8)[np.random.default_rng(0).permutation(256)]
    np.testing.assert_allclose(
        solve_state(coalitions, game(coalitions))[0], state_shapley_values(game, 8)[0], atol=1e-12
    )


def test_between_the_prefix_potential_and_leave_one_out():
    """Of two segments the first is the mean of both forms; the last of any number is leave-one-out."""
    game = random_game(2, seed=4)
    ends = prefix_potential(game, 2)[0], leave_one_out(game, 2)[0]
    assert state_shapley_values(game, 2)[0][0] == pytest.approx(np.mean(ends))
    game = random_game(5, seed=4)
    assert state_shapley_values(game, 5)[0][-1] == pytest.approx(leave_one_out(game, 5)[-1])


def test_a_repetition_gets_nothing_and_the_first_copy_something():
    """Worth 1 if player 0 or its copy, 3, is there; players 1 and 2 add a half each.

    The copy stands after player 0, among the others, in half of the orders before it comes in: 0 gets 1/2, its copy 0.
    """
    game = tabulated(lambda rows: (rows[:, 0] | rows[:, 3]) + rows[:, 1] / 2 + rows[:, 2] / 2, 4)
    credit = state_shapley_values(game, 4)[0]
    np.testing.assert_allclose(credit, [0.5, 0.5, 0.5, 0.0], atol=1e-12)


def test_null_player_and_linearity_and_not_efficiency():
    first = tabulated(sum_of_unanimity_games(5, [((0, 2), 1.0), ((4,), 0.5)]), 5)
    second = random_game(5, seed=9)
    one, two = state_shapley_values(first, 5)[0], state_shapley_values(second, 5)[0]
    assert one[1] == pytest.approx(0) and one[3] == pytest.approx(0)  # noqa: PT018 - one property
    both = tabulated(lambda rows: 2 * first(rows) - second(rows), 5)
    np.testing.assert_allclose(state_shapley_values(both, 5)[0], 2 * one - two, atol=1e-12)
    assert abs(two[1]) > 0.01  # the negative control: no null player
    assert abs(one.sum() - 1.5) > 0.1  # an advantage is no share


class TestEstimates:
    def test_effects_are_covariances_by_enumeration(self):
        n, by_distance = 5, 0.7 ** np.arange(6)
        for player in range(n):
            effects = _effects(by_distance, n, player)
            for row in all_coalitions(n)[::3]:
                column = tabulated(lambda rows, row=row: by_distance[(rows ^ row).sum(axis=1)], n)
                expected = brute_force(column, n)[player]
                lacks, holds = (~row[:player]).sum(), row[player + 1 :].sum()
                assert effects[int(row[player]), lacks, holds] == pytest.approx(expected)

    def test_distances_from_a_random_subset_by_enumeration(self):
        for size, held in [(0, 0), (1, 1), (3, 1), (4, 2)]:
            fixed = np.arange(size) < held
            rows = all_coalitions(size)
            sizes = rows.sum(axis=1)
            weight = 1 / ((size + 1) * np.bincount(sizes)[sizes])
            expected = np.bincount((rows ^ fixed).sum(axis=1), weights=weight, minlength=size + 1)
            np.testing.assert_allclose(_mismatches(size, held), expected)

    def test_close_to_exact_and_closer_with_more_evaluations(self):
        rng = np.random.default_rng(0)
        errors, scores = {100: [], 400: []}, []
        for seed in range(12):
            n = 10
            terms = [(rng.choice(n, size=rng.integers(1, 4), replace=False), rng.normal()) for _ in range(25)]
            game = tabulated(sum_of_unanimity_games(n, terms), n)
            exact = state_shapley_values(game, n, budget=2**n)[0]
            for budget, found in errors.items():
                credit, spread = state_shapley_values(game, n, budget, seed)
                found.append(((credit - exact) ** 2).sum() / (exact**2).sum())
                scores.append((credit - exact) / np.maximum(spread, 1e-9))
        assert np.median(errors[400]) < np.median(errors[100]) / 2 < 0.02
        assert 0.2 < np.sqrt(np.mean(np.square(scores))) < 3

    def test_worths_of_other_rows_are_far_off(self):
        """The negative control: the same worths, rolled by one row."""
        game = random_game(10, seed=1)
        coalitions = plan_state(10, 300, seed=0)
        right, wrong = (solve_state(coalitions, np.roll(game(coalitions), by))[0] for by in (0, 1))
        assert ((right - wrong) ** 2).sum() > 0.1

    @pytest.mark.parametrize(("n", "budget"), [(1, 2), (4, 15), (10, 512), (12, 30), (200, 64)])
    def test_plans_are_distinct_within_the_budget_and_seeded(self, n, budget):
        coalitions = plan_state(n, budget, seed=5)
        assert len(coalitions) == min(budget, 2**n)
        assert len(np.unique(coalitions, axis=0)) == len(coalitions)
        np.testing.assert_array_equal(coalitions, plan_state(n, budget, seed=5))
        assert coalitions.all(axis=1).any()
        assert (~coalitions).all(axis=1).any()

    def test_no_players_and_a_budget_that_is_too_small(self):
        assert plan_state(0, 8, seed=0).shape == (0, 0)
        assert [array.shape for array in solve_state(np.zeros((0, 0), dtype=bool), np.zeros(0))] == [(0,), (0,)]
        with pytest.raises(AgentError, match="at least 2 evaluations, but got 1"):
            plan_state(3, 1, seed=0)


def test_kept_or_made_anew_values_are_the_same(monkeypatch):
    """Texts that share a plan share its posterior, and nothing of another plan, another share or another game."""
    solutions = [make_solution("state_shapley", budget=100, share=share) for share in (1.0, 0.5)]
    games = [np.random.default_rng(seed).normal(size=2**9) for seed in range(2)]

    def solved():
        plans = [(solution, solution.plan(9, seed=seed)) for solution in solutions for seed in (0, 1, 8)]
        return [
            solution.solve_with_error(plan, game[plan @ (1 << np.arange(9))])
            for _ in range(2)
            for game in games
            for solution, plan in plans
        ]

    kept = solved()
    monkeypatch.setattr(state_value, "_kept_posterior", state_value._posterior)
    for (credit, errors), (other, other_errors) in zip(kept, solved(), strict=True):
        np.testing.assert_array_equal(credit, other)
        np.testing.assert_array_equal(errors, other_errors)
    np.testing.assert_array_equal(kept[0][0], kept[2][0])  # eight plans for a number of players
    different = [kept[0][0], kept[1][0], kept[3][0], kept[6][0]]
    assert all(np.abs(one - two).max() > 1e-6 for one, two in combinations(different, 2))
