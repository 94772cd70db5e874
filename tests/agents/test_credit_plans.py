"""Plans and solves: what is asked, how often, in which order, and what is said when it does not fit."""

import time

import numpy as np
import pytest

from credit_games import TableGame, brute_force_shapley, random_game
from ospo_agents.credit import (
    SOLUTIONS,
    contiguous_credit,
    leave_one_out,
    make_solution,
    myerson_values,
    owen_values,
    permutation_owen_values,
    permutation_shapley_values,
    prefix_potential,
    shapley_values,
)
from ospo_agents.errors import AgentError

SAMPLED = {"sampled_shapley", "permutation_shapley", "sampled_owen", "state_shapley"}
EXACT = sorted(set(SOLUTIONS) - SAMPLED)
PAIRS = [[0, 1], [2, 3], [4]]


def unions_of(n):
    return [list(range(k, min(k + 2, n))) for k in range(0, n, 2)]


def test_the_table_holds_the_names_of_the_method():
    assert list(SOLUTIONS) == [
        "shapley",
        "owen",
        "myerson",
        "contiguous",
        "leave_one_out",
        "prefix_potential",
        "sampled_shapley",
        "permutation_shapley",
        "sampled_owen",
        "state_shapley",
    ]
    assert all(name == solution.name for name, solution in SOLUTIONS.items())
    assert {name for name, solution in SOLUTIONS.items() if solution.solve_with_error} == set(SOLUTIONS) - set(EXACT)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("name", SOLUTIONS)
def test_every_plan_can_be_solved(name, n):
    solution = SOLUTIONS[name]
    plan = solution.plan(n, unions=unions_of(n), seed=4)
    assert plan.dtype == bool
    assert plan.shape[1] == n
    assert len(plan) or n == 0
    credit = solution.solve(plan, np.arange(len(plan), dtype=float), unions_of(n))
    assert credit.shape == (n,)
    assert credit.dtype == np.float64
    assert np.isfinite(credit).all()


@pytest.mark.parametrize("name", SOLUTIONS)
def test_one_segment_gets_everything(name):
    solution = SOLUTIONS[name]
    plan = solution.plan(1, unions=[[0]])
    np.testing.assert_allclose(solution.solve(plan, plan[:, 0] * 0.75, [[0]]), [0.75])


@pytest.mark.parametrize("name", EXACT)
def test_rows_may_come_in_any_order_and_more_than_once(name):
    game, solution = random_game(5, 8), SOLUTIONS[name]
    plan = solution.plan(5, unions=PAIRS, seed=1)
    shuffled = np.random.default_rng(0).permutation(np.vstack([plan, plan[:3]]))
    expected = solution.solve(plan, game(plan), PAIRS)
    np.testing.assert_allclose(solution.solve(shuffled, game(shuffled), PAIRS), expected, rtol=0, atol=1e-13)
    if name != "leave_one_out":
        wrong = solution.solve(plan, game(plan)[::-1], PAIRS)  # the negative control: worths of other rows
        assert np.abs(wrong - expected).max() > 1e-2


@pytest.mark.parametrize("name", sorted(set(EXACT) - {"contiguous"}))
def test_a_missing_coalition_is_reported(name):
    game, solution = random_game(5, 8), SOLUTIONS[name]
    plan = solution.plan(5, unions=PAIRS)
    for row in range(len(plan)):
        rest = np.delete(plan, row, axis=0)
        with pytest.raises(AgentError, match="needs every coalition of the plan"):
            solution.solve(rest, game(rest), PAIRS)


@pytest.mark.parametrize(("name", "budget"), [("permutation_shapley", 30), ("sampled_owen", 21)])
def test_plans_of_orders_keep_their_order(name, budget):
    game, solution = random_game(5, 8), make_solution(name, budget=budget)
    plan = solution.plan(5, unions=PAIRS)
    across_pairs = np.vstack([plan[:6], plan[10:14], plan[6:10], plan[14:]])
    for wrong in (plan[::-1], plan[:-1], plan[:-4], plan[1:], across_pairs):
        with pytest.raises(AgentError, match="in their order"):
            solution.solve(wrong, game(wrong), PAIRS)


def test_sampled_owen_refuses_orders_that_split_a_union():
    plan = make_solution("permutation_shapley", budget=20).plan(5)
    with pytest.raises(AgentError, match="keep each union together"):
        make_solution("sampled_owen", budget=20).solve(plan, plan.sum(axis=1).astype(float), PAIRS)


WITHIN = {
    "sampled_shapley": ("shapley", 2**5),
    "permutation_shapley": ("shapley", 2**5),
    "sampled_owen": ("owen", 2**3 + 2**2 * 2 + 2**2 * 2),
}
"""Solutions with a budget: their exact forms, and the evaluations that those need of 5 players in PAIRS."""


@pytest.mark.parametrize("name", WITHIN)
def test_exact_whenever_the_coalitions_fit_the_budget(name):
    exact, evaluations = WITHIN[name]
    game = random_game(5, 8)
    for budget in (evaluations, 4 * evaluations):
        solution = make_solution(name, budget=budget)
        plan = solution.plan(5, PAIRS, seed=3)
        assert len(plan) == evaluations
        credit, error = solution.solve_with_error(plan, game(plan), PAIRS)
        every = SOLUTIONS[exact].plan(5, PAIRS)
        assert credit.tobytes() == SOLUTIONS[exact].solve(every, game(every), PAIRS).tobytes()
        assert not error.any()
    short = make_solution(name, budget=evaluations - 1)
    plan = short.plan(5, PAIRS, seed=3)
    assert len(plan) < evaluations
    credit, error = short.solve_with_error(plan, game(plan), PAIRS)
    assert error.any(), "the negative control: below that budget credit is an estimate, and says so"


@pytest.mark.parametrize("n", range(1, 9))
def test_the_default_is_exact_by_brute_force(n):
    game, solution = random_game(n, n), SOLUTIONS["sampled_shapley"]
    plan = solution.plan(n)
    np.testing.assert_allclose(solution.solve(plan, game(plan)), brute_force_shapley(game, n), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_worths_must_be_finite(name, wrong):
    plan = SOLUTIONS[name].plan(3, unions=unions_of(3))
    worths = np.zeros(len(plan))
    worths[1] = wrong
    with pytest.raises(AgentError, match="finite"):
        SOLUTIONS[name].solve(plan, worths, unions_of(3))


def test_one_coalition_has_one_worth():
    with pytest.raises(AgentError, match="different worths"):
        SOLUTIONS["shapley"].solve(np.array([[False], [True], [True]]), np.array([0.0, 1.0, 2.0]))
    with pytest.raises(AgentError, match=r"shapes \(2, 1\) and \(3,\)"):
        SOLUTIONS["shapley"].solve(np.array([[False], [True]]), np.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("value", "distinct"),
    [
        (lambda game: shapley_values(game, 5), 2**5),
        (lambda game: owen_values(game, PAIRS), 2**3 + 2**2 * 2 + 2**2 * 2),
        (lambda game: myerson_values(game, 5), 15 + 1),
        (lambda game: myerson_values(game, 5, width=2), 5 * 2 - 1 + 1 + 1),
        (lambda game: contiguous_credit(game, 5), 15 + 1),
        (lambda game: contiguous_credit(game, 5, budget=7), 7 + 1),
        (lambda game: leave_one_out(game, 5), 5 + 1),
        (lambda game: prefix_potential(game, 5), 5 + 1),
        (lambda game: permutation_shapley_values(game, 5, budget=4000), 2**5),
        (lambda game: permutation_owen_values(game, PAIRS, budget=4000), 2**3 + 2**2 * 2 + 2**2 * 2),
    ],
)
def test_each_distinct_coalition_is_evaluated_once_in_one_call(value, distinct):
    game = random_game(5, 2)
    value(game)
    assert (game.asked, game.calls) == (distinct, 1)


def test_exact_plans_stay_within_their_budget():
    assert len(SOLUTIONS["shapley"].plan(16)) == 65_536
    with pytest.raises(AgentError, match=r"17 segments needs 131,072 evaluations.*65,536.*'sampled_shapley'"):
        SOLUTIONS["shapley"].plan(17)
    assert len(make_solution("shapley", budget=8).plan(3)) == 8
    with pytest.raises(AgentError, match="budget of 7"):
        make_solution("shapley", budget=7).plan(3)
    blocks = [list(range(10 * k, 10 * k + 10)) for k in range(4)]
    assert len(SOLUTIONS["owen"].plan(40, blocks)) == 2**4 + 4 * 2**3 * (2**10 - 2)
    with pytest.raises(AgentError, match=r"40 segments.*'sampled_owen'"):
        SOLUTIONS["owen"].plan(40, [list(range(20)), list(range(20, 40))])
    with pytest.raises(AgentError, match=r"more than the budget of 9.*'sampled_shapley'"):
        make_solution("myerson", budget=9).plan(4)
    assert len(make_solution("myerson", budget=9, width=1).plan(4)) == 4 + 1 + 1


def test_more_players_than_a_bit_field_holds():
    gains = np.arange(200.0)
    for value in (lambda game: myerson_values(game, 200, width=3), lambda game: leave_one_out(game, 200)):
        np.testing.assert_allclose(value(lambda coalitions: coalitions @ gains), gains, atol=1e-8)
    blocks = [list(range(8 * k, 8 * k + 8)) for k in range(9)]
    np.testing.assert_allclose(
        owen_values(lambda rows: rows @ gains[:72], blocks, budget=10**6), gains[:72], atol=1e-10
    )


def test_sixteen_players_are_fast_enough_for_training():
    """No loop over coalitions: all 65,536 of them are planned and solved in well under a second."""
    started = time.perf_counter()
    credit = shapley_values(lambda coalitions: coalitions.sum(axis=1), 16)
    assert time.perf_counter() - started < 2
    np.testing.assert_allclose(credit, 1.0, atol=1e-12)


@pytest.mark.parametrize("name", ["contiguous", "sampled_shapley", "sampled_owen"])
def test_a_seed_decides_a_plan(name):
    solution = make_solution(name, budget=30)
    plans = [solution.plan(9, unions=unions_of(9), seed=seed) for seed in (0, 0, 1)]
    assert plans[0].tobytes() == plans[1].tobytes()
    assert plans[0].tobytes() != plans[2].tobytes()
    assert all(len(plan) <= 31 for plan in plans)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_solution("shaply"), "did you mean 'shapley'"),
        (lambda: make_solution("myerson", widht=2), "unknown myerson setting 'widht'; did you mean 'width'"),
        (lambda: make_solution("leave_one_out", width=2), "unknown leave_one_out setting 'width'"),
        (lambda: make_solution("myerson", width=0), "width that is a whole number of at least 1, but got 0"),
        (lambda: make_solution("contiguous", budget=2.5), "budget that is a whole number of at least 1, but got 2.5"),
        (lambda: make_solution("shapley", budget=True), "but got True"),
        (lambda: SOLUTIONS["owen"].plan(3), "expected unions"),
        (lambda: SOLUTIONS["sampled_owen"].plan(3), "expected unions"),
        (lambda: SOLUTIONS["owen"].plan(3, [[0], [1]]), "hold each of 3 players once"),
        (lambda: SOLUTIONS["owen"].plan(3, [[0, 1], [1, 2]]), "hold each of 3 players once"),
        (lambda: SOLUTIONS["owen"].plan(2, [[0, 1], []]), "hold each of 2 players once"),
        (lambda: SOLUTIONS["shapley"].plan(-1), "at least 0, but got -1"),
        (lambda: make_solution("permutation_shapley", budget=9).plan(5), "at least 10 evaluations"),
        (lambda: make_solution("state_shapley", share=1.5), "expected a share in .0, 1., but got 1.5"),
        (lambda: myerson_values(random_game(3, 0), 3, width=0), "width of at least 1"),
        (lambda: contiguous_credit(random_game(3, 0), 3, budget=0), "budget of at least 1"),
        (lambda: shapley_values(lambda coalitions: 1.0, 3), r"gives \(8,\) worths, but got the shape \(\)"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(call, message):
    with pytest.raises(AgentError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_the_game_sees_the_plan_in_its_own_order():
    seen = []
    myerson_values(lambda coalitions: seen.append(coalitions) or coalitions.sum(axis=1), 4)
    assert seen[0].sum(axis=1).tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4]


def test_null_players_get_exactly_zero():
    """Differences are taken before sums, so that rounding cannot make credit out of nothing."""
    worths = np.repeat(random_game(6, 1).worths, 2)  # player 0 is null
    game = TableGame(worths)
    assert shapley_values(game, 7)[0] == 0
    assert owen_values(game, [[0, 3], [1, 2], [4, 5, 6]])[0] == 0
