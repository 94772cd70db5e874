"""Summaries of evaluations and the intervals in them, beside values computed by hand or by SciPy."""

import numpy as np
import pytest
from scipy import stats

from ospo_env.evaluation.intervals import seed_interval
from ospo_env.evaluation.summary import summarise


def evaluated(*rows):
    return {"bm25": {"nDCG@10": np.array(rows)}}


def test_gains_are_paired():
    """A policy a tenth above the raw query in each query gains a tenth without any spread, however queries differ."""
    raw = evaluated(0.0, 0.3, 0.9, 0.6)
    policy = evaluated(0.1, 0.4, 1.0, 0.7)
    summary = summarise({"query": raw, "policy": policy}, raw)
    assert summary["policy"]["metrics"]["bm25"]["nDCG@10"] == pytest.approx(0.55)
    assert summary["policy"]["gains"]["bm25"]["nDCG@10"] == pytest.approx([0.1] * 3)
    assert summary["query"]["gains"]["bm25"]["nDCG@10"] == [0.0, 0.0, 0.0]
    value, low, high = summary["policy"]["intervals"]["bm25"]["nDCG@10"]
    assert low < value < high


def test_unpaired_gains_have_a_spread():
    """The negative control: the same values against another order of queries."""
    policy = evaluated(0.1, 0.4, 1.0, 0.7)
    gain, low, high = summarise({"policy": policy}, evaluated(0.9, 0.6, 0.0, 0.3))["policy"]["gains"]["bm25"]["nDCG@10"]
    assert gain == pytest.approx(0.1)
    assert high - low > 0.5


def test_a_single_query_has_no_interval():
    raw = evaluated(0.25)
    summary = summarise({"query": raw}, raw)
    assert summary["query"]["intervals"]["bm25"]["nDCG@10"] == [0.25, None, None]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_seed_intervals_are_students(size):
    values = np.random.default_rng(size).random(size)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert seed_interval(values) == pytest.approx((values.mean(), low, high))
