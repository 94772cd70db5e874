"""Sampled estimators: unbiased, with a standard error that tells their spread, and efficient in every draw."""

from itertools import permutations

import numpy as np
import pytest

from credit_games import random_game
from ospo_agents.credit import (
    make_solution,
    owen_values,
    permutation_owen_values,
    permutation_shapley_values,
    shapley_values,
)
from ospo_agents.credit.permutations import plan_permutations

N, DRAWS, BUDGET = 6, 400, 82  # eight pairs of orders a draw
UNIONS = [[0, 5], [1, 2, 3], [4]]
GAME = random_game(N, 21)
FORMS = {
    "shapley": (lambda seed: permutation_shapley_values(GAME, N, BUDGET, seed), shapley_values(GAME, N)),
    "owen": (lambda seed: permutation_owen_values(GAME, UNIONS, BUDGET, seed), owen_values(GAME, UNIONS)),
}


def draws(form):
    credits, errors = zip(*(FORMS[form][0](seed) for seed in range(DRAWS)), strict=True)
    return np.array(credits), np.array(errors)


@pytest.mark.parametrize("form", FORMS)
def test_unbiased(form):
    credits, _ = draws(form)
    standard_error = credits.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    distance = {
        name: np.abs((credits.mean(axis=0) - exact) / standard_error).max() for name, (_, exact) in FORMS.items()
    }
    other = "owen" if form == "shapley" else "shapley"
    assert distance[form] < 4
    assert distance[other] > 10, "the negative control: these are not estimates of the other value"


@pytest.mark.parametrize("form", FORMS)
def test_the_standard_error_is_that_of_the_estimate(form):
    credits, errors = draws(form)
    spread = credits.std(axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), spread, rtol=0.15)
    assert np.abs(np.sqrt((errors**2).mean(axis=0)) * np.sqrt(2) / spread - 1).min() > 0.15  # pairs are not independent


@pytest.mark.parametrize("form", FORMS)
def test_efficient_in_every_draw(form):
    credits, _ = draws(form)
    np.testing.assert_allclose(credits.sum(axis=1), GAME.worths[-1] - GAME.worths[0], rtol=0, atol=1e-12)
    assert np.ptp(credits, axis=0).min() > 1e-2  # while the credit itself varies


def test_more_budget_gives_less_error():
    errors = [np.mean(permutation_shapley_values(GAME, N, budget, 0)[1]) for budget in (100, 400, 6400)]
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.3)
    assert errors[0] > errors[1] > errors[2]


def test_orders_keep_unions_together_and_reach_all_of_them():
    """Every order of unions and of players in them is drawn about equally often."""
    plan = plan_permutations(4, budget=20_000, seed=0, unions=[[0, 2], [1, 3]])
    places = 3 - plan[2:].reshape(-1, 3, 4).sum(axis=1)
    orders, counts = np.unique(places, axis=0, return_counts=True)
    kept = [order for order in permutations(range(4)) if abs(order[0] - order[2]) == abs(order[1] - order[3]) == 1]
    assert sorted(map(tuple, orders)) == sorted(kept)
    assert len(kept) == 8
    assert counts.min() / counts.sum() > 1 / 8 * 0.9


def test_a_single_pair_has_no_standard_error():
    credit, error = permutation_shapley_values(GAME, N, 2 * N, 0)
    assert np.isfinite(credit).all()
    assert np.isnan(error).all()


def test_antithetic_pairs_are_exact_for_pairwise_games():
    """An order and its reverse together see every pair of players in both orders."""
    rng = np.random.default_rng(2)
    single, pairwise = rng.normal(size=N), rng.normal(size=(N, N))

    def game(coalitions):
        inside = coalitions.astype(float)
        return inside @ single + np.einsum("ci,ij,cj->c", inside, pairwise, inside)

    credit, _ = permutation_shapley_values(game, N, 2 * N, 3)
    np.testing.assert_allclose(credit, shapley_values(game, N), rtol=0, atol=1e-12)
    assert np.abs(permutation_shapley_values(GAME, N, 2 * N, 3)[0] - shapley_values(GAME, N)).max() > 1e-2


def test_a_solution_gives_its_error():
    solution = make_solution("permutation_shapley", budget=2**N - 1)
    plan = solution.plan(N, seed=7)
    credit, error = solution.solve_with_error(plan, GAME(plan))
    expected, expected_error = permutation_shapley_values(GAME, N, 2**N - 1, 7)
    assert credit.tobytes() == expected.tobytes() == solution.solve(plan, GAME(plan)).tobytes()
    assert error.tobytes() == expected_error.tobytes()
