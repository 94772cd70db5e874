"""Fitted scores and interpolated worths, against independent solves of the same model."""

import numpy as np
import pytest
from scipy import optimize

from ospo_env.scoring.call_choice import choose_coalitions
from ospo_env.scoring.estimates import ScoreFit, interpolated_worths
from shop import all_coalitions

N, P = 4, 6
EVERY = all_coalitions(N)
SINGLE = [1, 2, 4, 8]
CALLED = [*SINGLE, 15, 6, 9, 7]


def random_scores(seed, low=0.1):
    return np.random.default_rng(seed).uniform(low, 1.0, (16, P))


def ranks(scores):
    return np.argsort(-scores, axis=1, kind="stable")


def centred(rows):
    return rows - rows.mean(axis=1, keepdims=True)


def distances(some, others):
    return np.array([[sum(a != b for a, b in zip(one, two, strict=True)) for two in others] for one in some])


def by_least_squares(scores, called, coalitions):
    """The fit as a penalised least-squares problem, solved numerically one document at a time.

    Residual weights w minimise |r - K w|^2 / noise + w' K w, whose solution is that of the Gaussian process.
    """
    means = np.array([centred(scores[SINGLE])[row].mean(axis=0) for row in coalitions[:, :N]])
    at = np.array([centred(scores[SINGLE])[row].mean(axis=0) for row in EVERY[called]])
    rows = centred(scores[called])
    scales = np.array([np.dot(row, mean) / np.dot(mean, mean) for row, mean in zip(rows, at, strict=True)])
    residuals = rows / np.maximum(scales, 0.25)[:, None] - at
    kernel = 0.85 ** distances(EVERY[called], EVERY[called])
    factor = np.linalg.cholesky(kernel)
    stacked = np.vstack([kernel / np.sqrt(0.05), factor.T])
    fitted = []
    for residual in residuals.T:
        target = np.concatenate([residual / np.sqrt(0.05), np.zeros(len(called))])
        fitted.append(optimize.lsq_linear(stacked, target, tol=1e-14).x)
    return means + 0.85 ** distances(coalitions, EVERY[called]) @ np.array(fitted).T


@pytest.mark.parametrize("seed", range(5))
def test_fitted_scores_are_a_penalised_least_squares_solution(seed):
    scores = random_scores(seed)
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE])(EVERY[1:])
    expected = by_least_squares(scores, CALLED, EVERY[1:])
    scale = np.abs(expected).max(axis=1, keepdims=True)
    np.testing.assert_allclose(fit / 2.0**30, expected / scale, atol=1e-7)
    other = ScoreFit(EVERY[CALLED[:-1]], scores[CALLED[:-1]], scores[SINGLE])(EVERY[1:])
    assert np.abs(other / 2.0**30 - expected / scale).max() > 1e-3


def test_sums_and_means_of_segments_are_ranked_exactly():
    rng = np.random.default_rng(3)
    singles = rng.uniform(0.1, 1.0, (N, P))
    sums = EVERY @ singles
    for scores in (sums, sums / np.maximum(EVERY.sum(axis=1, keepdims=True), 1), 5 * sums + 2):
        fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE])(EVERY[1:])
        np.testing.assert_array_equal(ranks(fit), ranks(sums[1:]))
    products = np.array([singles[row].prod(axis=0) for row in EVERY])  # negative control
    fit = ScoreFit(EVERY[CALLED[:5]], products[CALLED[:5]], products[SINGLE])(EVERY[1:])
    assert (ranks(fit) != ranks(products[1:])).any()


def test_means_with_a_query_in_front_are_ranked_exactly():
    rng = np.random.default_rng(3)
    query, own = rng.uniform(size=P), rng.uniform(size=(N, P))
    scores = (3 * query + EVERY @ own) / (3 + EVERY.sum(axis=1, keepdims=True))
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE], scores[0])(EVERY)
    np.testing.assert_array_equal(ranks(fit), ranks(scores))


def test_sums_behind_a_query_are_ranked_exactly():
    rng = np.random.default_rng(0)
    query, own = rng.uniform(size=P), rng.uniform(size=(N, P))
    scores = 4 * query + EVERY @ own
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE], scores[0])(EVERY)
    np.testing.assert_array_equal(ranks(fit), ranks(scores))


def test_documents_that_no_kept_segment_matches_are_unranked():
    scores = random_scores(1)
    scores[:, 0] = -np.inf
    scores[~EVERY[:, 1], 2] = -np.inf  # of the second segment alone
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE])(EVERY)
    np.testing.assert_array_equal(fit > -np.inf, (scores > -np.inf) & EVERY.any(axis=1, keepdims=True))
    raw = np.full(P, -np.inf)
    raw[0] = 1.0  # the query matches it, whatever is kept
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE], raw)(EVERY)
    assert (fit[:, 0] > -np.inf).all()


def test_equal_documents_tie():
    scores = random_scores(2)
    scores[:, 4] = scores[:, 1]
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE])(EVERY[1:])
    np.testing.assert_array_equal(fit[:, 4], fit[:, 1])
    assert (fit[:, 4] != fit[:, 2]).any()


@pytest.mark.parametrize("score", [0.0, -np.inf, 7.0])
def test_scores_that_tell_nothing(score):
    scores = np.full((16, P), score)
    fit = ScoreFit(EVERY[CALLED], scores[CALLED], scores[SINGLE])(EVERY[1:])
    assert not np.isnan(fit).any()
    assert (fit == fit[:, :1]).all()


def test_interpolated_worths_against_the_conditional_normal_distribution():
    rng = np.random.default_rng(0)
    known = [0, 15, *SINGLE, 3]
    worths = rng.uniform(0.2, 0.8, 16)
    worths[0] = 0.0
    line = EVERY.sum(axis=1) / N * worths[15]
    joint = 0.85 ** distances(EVERY, EVERY)
    precision = np.linalg.inv(joint[np.ix_(known, known)] + 0.05 * np.eye(len(known)))
    expected = line + joint[:, known] @ precision @ (worths - line)[known]
    estimated = interpolated_worths(EVERY[known], worths[known], EVERY)
    np.testing.assert_allclose(estimated, np.clip(expected, 0, 1), atol=1e-12)
    assert np.abs(interpolated_worths(EVERY[known[:-1]], worths[known[:-1]], EVERY) - expected).max() > 1e-3


def test_interpolated_worths_stay_worths():
    known = EVERY[[0, 15, 1, 2, 4, 8]]
    estimated = interpolated_worths(known, np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]), EVERY)
    assert estimated.min() >= 0
    assert estimated.max() <= 1


def test_single_players_and_all_are_chosen_first():
    for calls in range(5, 15):
        chosen = choose_coalitions(EVERY, range(16), [], calls, 0)
        assert {1, 2, 4, 8, 15} <= {*chosen}
        assert len(chosen) == calls
        assert 0 not in chosen
        others = [row for row in chosen if row not in (1, 2, 4, 8, 15) and 15 - row in range(16)]
        assert sum(15 - row not in chosen for row in others) <= 1  # pairs, but for the last one
    assert choose_coalitions(EVERY, range(16), [], 15, 0) == [*range(1, 16)]


def test_draws_follow_the_shapley_kernel():
    every = all_coalitions(6)
    sizes = every.sum(axis=1)
    counts = np.zeros(64)
    for seed in range(4000):
        drawn = [row for row in choose_coalitions(every, range(64), [], 8, seed) if 1 < sizes[row] < 6]
        counts[drawn] += 1
    by_size = np.array([counts[sizes == size].sum() for size in (2, 3, 4, 5)])
    # one draw a seed; its rate is 1 / (s (6 - s)) for each size
    expected = np.array([1 / 8, 1 / 9, 1 / 8, 1 / 5]) * 4000 / (1 / 8 + 1 / 9 + 1 / 8 + 1 / 5)
    assert by_size.sum() == 4000
    np.testing.assert_allclose(by_size, expected, rtol=0.1)


def test_equal_texts_are_chosen_once_and_free_ones_never():
    texts = [row & 7 for row in range(16)]  # the last player adds nothing
    chosen = choose_coalitions(EVERY, texts, [0], 5, 0)
    assert [texts[row] for row in chosen].count(7) == 1
    assert len({texts[row] for row in chosen}) == len(chosen) == 5
    assert 0 not in {texts[row] for row in chosen}
