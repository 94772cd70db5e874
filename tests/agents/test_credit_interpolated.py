"""Interpolated Shapley values: the closed forms by brute force, exactness, plans, and calibrated errors."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from math import comb

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.credit import game_model, make_solution
from ospo_agents.credit import interpolated as module
from ospo_agents.credit.coalitions import all_coalitions
from ospo_agents.credit.interpolated import interpolated_shapley_values, plan_pairs, solve_pairs
from ospo_agents.credit.shapley_value import shapley_of_table


def smooth_game(n, seed):
    """Random Walsh coefficients that fade with the degree: bool (C, n) -> float (C,), and its 2^n worths."""
    rng = np.random.default_rng(seed)
    subsets = [subset for degree in range(4) for subset in combinations(range(n), degree)]
    weights = [rng.normal() / comb(n, len(subset)) ** 0.5 / 2 ** len(subset) for subset in subsets]

    def game(coalitions):
        signs = 1.0 - 2.0 * np.asarray(coalitions)
        return sum(
            weight * signs[:, list(subset)].prod(axis=1) for weight, subset in zip(weights, subsets, strict=True)
        )

    return game, game(all_coalitions(n))


def walsh(n, coalitions):
    """Each Walsh function of odd degree at coalitions: {subset: (C,)}."""
    signs = 1.0 - 2.0 * np.asarray(coalitions)
    return {
        subset: signs[:, list(subset)].prod(axis=1)
        for degree in range(1, n + 1, 2)
        for subset in combinations(range(n), degree)
    }


class TestClosedForms:
    def test_krawtchouk_is_the_mean_of_walsh_functions(self):
        for n, degree, distance in [(5, 0, 3), (5, 1, 2), (5, 3, 4), (6, 4, 1), (4, 4, 3)]:
            flipped = np.arange(n) < distance
            values = [(-1.0) ** flipped[list(subset)].sum() for subset in combinations(range(n), degree)]
            assert game_model.krawtchouk(n, degree)[distance] == pytest.approx(np.mean(values))

    def test_the_posterior_mean_is_that_of_the_model_in_full(self):
        """The definition by brute force: Walsh coefficients as a Gaussian vector, conditioned on the differences."""
        n = 5
        coalitions = plan_pairs(n, 14, seed=3)
        game, _ = smooth_game(n, 0)
        credit, errors = solve_pairs(coalitions, game(coalitions))
        shares = game_model.shares(n)
        half = coalitions[::2]
        basis = walsh(n, half)
        prior = np.array([shares[len(subset)] / comb(n, len(subset)) for subset in basis])
        design = np.stack(list(basis.values()), axis=1)
        # phi_i = -2 * sum over odd A with i of c_A / |A|
        effect = np.array([[-2 / len(subset) * (i in subset) for subset in basis] for i in range(n)])
        observed = (game(half) - game(~half)) / 2
        gain = prior[:, None] * design.T @ np.linalg.inv(design * prior @ design.T)
        posterior = np.diag(prior) - gain @ (design * prior)
        scale = observed @ np.linalg.inv(design * prior @ design.T) @ observed / len(half)
        np.testing.assert_allclose(credit, effect @ gain @ observed, atol=1e-8)
        np.testing.assert_allclose(errors, np.sqrt(scale * np.diag(effect @ posterior @ effect.T)), atol=1e-5)

    def test_another_prior_gives_other_values(self, monkeypatch):
        """The negative control of the test above."""
        game, _ = smooth_game(5, 0)
        coalitions = plan_pairs(5, 14, seed=3)
        before = solve_pairs(coalitions, game(coalitions))[0]
        monkeypatch.setattr(module, "odd_covariance", lambda n: 0.2 ** np.arange(n + 1))
        monkeypatch.setattr(module, "_kept_design", module._design)
        assert np.abs(solve_pairs(coalitions, game(coalitions))[0] - before).max() > 1e-4


class TestValues:
    @pytest.mark.parametrize("n", range(1, 9))
    def test_exact_once_every_coalition_is_valued(self, n):
        worths = np.random.default_rng(n).random(2**n)  # no structure at all
        coalitions = all_coalitions(n)
        order = np.random.default_rng(0).permutation(2**n)
        credit, errors = solve_pairs(coalitions[order], worths[order])
        np.testing.assert_allclose(credit, shapley_of_table(worths), atol=1e-6)
        assert errors.max() < 1e-3

    @pytest.mark.parametrize("n", [5, 9, 12])
    def test_efficiency_and_linearity(self, n):
        coalitions = plan_pairs(n, 40, seed=1)
        (first, _), (second, _) = smooth_game(n, 1), smooth_game(n, 2)
        one, two = (solve_pairs(coalitions, game(coalitions))[0] for game in (first, second))
        both = solve_pairs(coalitions, 2 * first(coalitions) - second(coalitions))[0]
        np.testing.assert_allclose(both, 2 * one - two, atol=1e-9)
        ends = first(np.stack([np.ones(n, dtype=bool), np.zeros(n, dtype=bool)]))
        assert one.sum() == pytest.approx(ends[0] - ends[1], abs=1e-8)

    def test_rows_of_worths_that_do_not_belong_together_break_efficiency(self):
        """The negative control: worths in another order than the coalitions."""
        coalitions = plan_pairs(9, 40, seed=1)
        worths = smooth_game(9, 1)[0](coalitions)
        credit = solve_pairs(coalitions, np.roll(worths, 1))[0]
        assert abs(credit.sum() - (worths[1] - worths[0])) > 1e-3

    def test_close_on_smooth_games_and_errors_say_how_close(self):
        scores, ratios = [], []
        for seed in range(30):
            game, worths = smooth_game(10, seed)
            exact = shapley_of_table(worths)
            credit, errors = interpolated_shapley_values(game, 10, budget=256, seed=seed)
            scores.append((credit - exact) / errors)
            ratios.append(((credit - exact) ** 2).sum() / (exact**2).sum())
        assert np.median(ratios) < 0.01
        assert 0.3 < np.sqrt(np.mean(np.square(scores))) < 2

    def test_more_evaluations_are_closer(self):
        def error(budget):
            pairs = [(smooth_game(10, seed), seed) for seed in range(20)]
            return np.median(
                [
                    ((interpolated_shapley_values(game, 10, budget, seed)[0] - shapley_of_table(worths)) ** 2).sum()
                    for (game, worths), seed in pairs
                ]
            )

        assert error(512) < error(128) < error(32)

    def test_a_missing_complement_is_told(self):
        coalitions = plan_pairs(6, 30, seed=0)
        with pytest.raises(AgentError, match="worth of the coalition"):
            solve_pairs(coalitions[:-1], np.zeros(len(coalitions) - 1))
        with pytest.raises(AgentError, match="worth of the coalition"):
            solve_pairs(coalitions[2:], np.zeros(len(coalitions) - 2))


class TestKeptDesigns:
    def test_kept_or_made_anew_credit_is_the_same(self, monkeypatch):
        """Texts that share a plan share its design, and nothing of another plan or another game."""
        games = [smooth_game(11, seed)[0] for seed in range(3)]
        plans = [plan_pairs(11, 128, seed) for seed in (0, 1)]
        kept = [solve_pairs(plan, game(plan)) for _ in range(2) for plan in plans for game in games]
        monkeypatch.setattr(module, "_kept_design", module._design)
        anew = [solve_pairs(plan, game(plan)) for _ in range(2) for plan in plans for game in games]
        for (credit, errors), (other, other_errors) in zip(kept, anew, strict=True):
            np.testing.assert_array_equal(credit, other)
            np.testing.assert_array_equal(errors, other_errors)
        assert np.abs(kept[0][0] - kept[3][0]).max() > 1e-6  # of the same game by another plan

    def test_threads_share_a_design(self):
        """Solve in one thread as in four that share a plan."""
        solution = make_solution("sampled_shapley")
        plan = solution.plan(11, seed=0)
        worths = np.random.default_rng(0).normal(size=(400, len(plan)))
        alone = [solution.solve(plan, one) for one in worths]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda one: solution.solve(plan, one), worths))
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_coalition_may_stand_twice_with_one_worth(self):
        game, _ = smooth_game(6, 0)
        plan = plan_pairs(6, 30, seed=0)
        twice = np.vstack([plan, plan[3:9]])
        for result, expected in zip(solve_pairs(twice, game(twice)), solve_pairs(plan, game(plan)), strict=True):
            np.testing.assert_allclose(result, expected, atol=1e-12)
        worths = game(twice)
        worths[-1] += 1
        with pytest.raises(AgentError, match="different worths"):
            solve_pairs(twice, worths)

    def test_a_solution_has_eight_plans_for_a_number_of_players(self):
        solution = make_solution("sampled_shapley")
        plans = [solution.plan(11, seed=seed) for seed in range(40)]
        assert len({plan.tobytes() for plan in plans}) == 8
        np.testing.assert_array_equal(plans[3], plans[35])
        np.testing.assert_array_equal(plans[3], plan_pairs(11, 512, seed=3))
        assert not plans[3].flags.writeable


class TestPlans:
    @pytest.mark.parametrize(
        ("n", "budget"), [(1, 2), (1, 9), (2, 4), (3, 7), (6, 30), (10, 512), (12, 512), (40, 512), (300, 64), (300, 2)]
    )
    def test_distinct_pairs_within_the_budget(self, n, budget):
        coalitions = plan_pairs(n, budget, seed=7)
        assert len(coalitions) == min(2**n, budget // 2 * 2)
        assert len(np.unique(coalitions, axis=0)) == len(coalitions)
        np.testing.assert_array_equal(coalitions[1::2], ~coalitions[::2])
        assert not coalitions[0].any()
        sizes = np.minimum(coalitions.sum(axis=1), n - coalitions.sum(axis=1))
        assert (sizes == 1).sum() == (min(2 * n, len(coalitions) - 2) if n > 1 else 0)

    def test_the_spread_over_sizes_by_hand(self):
        """n = 10, 99 pairs: 10 singles; 89 left by 1/(k(10-k)) = 1/16, 1/21, 1/24, 1/25.

        Quotas are 29.1, 22.2, 19.4, 18.6 (45, 120, 210 and 126 pairs are there); floors sum to 87, and the two
        largest remainders are those of sizes 5 and 4.
        """
        weights = np.array([1 / 16, 1 / 21, 1 / 24, 1 / 25])
        quota = 89 * weights / weights.sum()
        expected = np.floor(quota).astype(int)
        expected[np.argsort(quota - np.floor(quota))[-(89 - expected.sum()) :]] += 1
        assert list(module._allocate(10, 99).values()) == [10, *expected]
        assert module._allocate(10, 511) == {1: 10, 2: 45, 3: 120, 4: 210, 5: 126}
        assert module._allocate(10, 400)[2] == 45  # all there are; the rest goes to larger sizes

    def test_seeds(self):
        first, again, other = (plan_pairs(12, 100, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_each_player_is_drawn_equally_often(self):
        held = sum(plan_pairs(9, 60, seed=seed)[::2].sum(axis=0) for seed in range(400))
        assert np.abs(held / held.mean() - 1).max() < 0.03

    def test_no_players_and_a_budget_that_is_too_small(self):
        assert plan_pairs(0, 8, seed=0).shape == (0, 0)
        assert [array.shape for array in solve_pairs(np.zeros((0, 0), dtype=bool), np.zeros(0))] == [(0,), (0,)]
        with pytest.raises(AgentError, match="at least 2 evaluations, but got 1"):
            plan_pairs(3, 1, seed=0)
