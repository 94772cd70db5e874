"""Verdicts and tables of phrases beside SciPy's tests one at a time, plain loops, and tables of pure chance."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ospo_env.evaluation.phrase_table import FALSE_DISCOVERIES, SORTS, phrase_table
from ospo_env.evaluation.verdict import count_signs, make_verdict, query_means, sign_test


def test_sign_tests_are_scipys():
    pairs = list(itertools.product(range(12), repeat=2))
    wins, losses = np.array(pairs).T
    expected = [stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0 for a, b in pairs]
    np.testing.assert_allclose(sign_test(wins, losses), expected, rtol=1e-12)


def test_a_verdict_by_hand():
    verdict = make_verdict(np.array([0.5, -0.25, 0.0, 1e-12, 0.25, 0.25]))
    assert verdict.gain.value == pytest.approx(0.125)
    assert verdict.gain.low < 0.125 < verdict.gain.high
    assert verdict.signs[:3] == (3, 2, 1)
    assert verdict.signs.p_value == 0.625  # (1 + 4) / 16 on each side
    assert verdict.as_json()["losses"] == 1
    assert make_verdict(np.array([0.5])).as_json()["gain"] == [0.5, None, None]


def test_rounding_is_a_tie_and_a_small_loss_is_none():
    assert count_signs(np.array([1e-10, -1e-10, 1e-8, -1e-8]))[:3] == (1, 2, 1)


def test_a_query_counts_once_whatever_its_rewrites():
    values = np.array([1.0, 0.0, 0.0, 0.25])
    assert query_means(values, ["b", "a", "b", "b"], ["a", "b"]).tolist() == [0.0, pytest.approx(1.25 / 3)]


def occurrences(rng, phrases=12, queries=40, size=600):
    """Occurrences with several of a phrase in a query, ties among them, and some without a word."""
    names = [["", *(f"p{n:02d}" for n in range(phrases))][n] for n in rng.integers(phrases + 1, size=size)]
    asked = [f"q{n}" for n in rng.integers(queries, size=size)]
    credit = rng.normal(0.02, 0.1, size) * (rng.random(size) < 0.7)
    return names, asked, credit


def plain_table(phrases, queries, credit, fewest):
    """Rows by loops, with SciPy's tests one phrase at a time and the step-up procedure by hand."""
    by_phrase = {}
    for phrase, query, value in zip(phrases, queries, credit, strict=True):
        by_phrase.setdefault(phrase, {}).setdefault(query, []).append(value)
    rows = []
    for phrase, of_queries in by_phrase.items():
        means = np.array([np.mean(values) for values in of_queries.values()])
        if phrase and len(means) >= fewest:
            signs = [int((means > 1e-9).sum()), int((means < -1e-9).sum())]
            p = stats.binomtest(signs[0], sum(signs)).pvalue if sum(signs) else 1.0
            low, high = stats.ttest_1samp(means, 0).confidence_interval(0.95)
            rows.append([phrase, len(means), means.mean(), low, high, *signs, p])
    ordered, q = sorted(rows, key=lambda row: row[-1]), 1.0
    for rank in range(len(ordered), 0, -1):
        q = min(q, ordered[rank - 1][-1] * len(ordered) / rank)
        ordered[rank - 1].append(q)
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("fewest", [2, 25])
def test_a_table_is_that_of_loops(fewest):
    phrases, queries, credit = occurrences(np.random.default_rng(0))
    table = phrase_table(phrases, queries, credit, fewest)
    expected = plain_table(phrases, queries, credit, fewest)
    assert {row.phrase for row in table} == expected.keys()
    assert 5 < len(expected) <= 12
    for row in table:
        cells = [row.queries, *row.credit, row.helps, row.hurts, row.p_value, row.q_value]
        np.testing.assert_allclose(cells, expected[row.phrase], rtol=1e-9, atol=1e-12)
        assert row.total == pytest.approx(row.queries * row.credit.value)


def test_the_order_is_the_one_that_is_asked_for():
    given = occurrences(np.random.default_rng(1))
    tables = {sort: phrase_table(*given, 2, sort) for sort in SORTS}
    measures = {
        "credit": lambda row: row.credit.value,
        "total": lambda row: row.total,
        "queries": lambda row: row.queries,
        "helps": lambda row: row.helps / row.queries,
        "hurts": lambda row: row.hurts / row.queries,
    }
    for sort, measure in measures.items():
        values = [measure(row) for row in tables[sort]]
        assert values == sorted(values, reverse=True)
    names = [row.phrase for row in tables["phrase"]]
    assert names == sorted(names)
    assert len({tuple(row.phrase for row in table) for table in tables.values()}) == len(SORTS)


def test_phrases_are_listed_by_sign_and_mean():
    queries = [f"q{n}" for n in range(12)] * 3
    good, bad = np.full(12, 0.1), np.full(12, -0.1)
    mixed = np.array([0.01] * 11 + [-1.0])  # helps nearly always and costs more than it brings
    table = phrase_table(["good"] * 12 + ["bad"] * 12 + ["mixed"] * 12, queries, np.concatenate([good, bad, mixed]), 6)
    verdicts = {row.phrase: row.verdict for row in table}
    assert verdicts == {"good": "keep", "bad": "stop", "mixed": ""}
    assert max(row.q_value for row in table) <= FALSE_DISCOVERIES


def test_chance_alone_is_seldom_listed():
    """Of 200 phrases without any effect one is listed in 1 of 20 tables; tests one by one find some in nearly all."""
    listed, uncorrected = [], []
    phrases = [f"p{n}" for n in range(200) for _ in range(30)]
    queries = [f"q{n}" for _ in range(200) for n in range(30)]
    for seed in range(40):
        credit = np.random.default_rng(seed).normal(size=6000)
        table = phrase_table(phrases, queries, credit, 6)
        listed.append(any(row.verdict for row in table))
        uncorrected.append(any(row.p_value <= FALSE_DISCOVERIES for row in table))
    assert np.mean(listed) <= 0.1
    assert np.mean(uncorrected) >= 0.9


def test_a_table_may_be_empty():
    assert phrase_table([], [], np.array([])) == ()
    assert phrase_table(["", "rare"], ["q", "q"], np.array([0.1, 0.2])) == ()
