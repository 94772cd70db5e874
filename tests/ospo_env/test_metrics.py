"""Metrics: hand-derived values, the tie rule, and agreement with ir-measures."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.errors import TaskError
from ospo_env.metrics import Metric, parse_metric, ranked_gains, ranking
from shop import SETTINGS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its providers' imports
    import ir_measures

NAMES = ["nDCG@1", "nDCG@3", "nDCG@10", "nDCG@50", "RR", "RR@2", "R@1", "R@5", "R@50", "AP"]


def measure(name, scores, gains, judged=None):
    """A metric of one ranking from the gains of all columns; judged by default in the pool only."""
    scores, gains = np.asarray([scores], dtype=float), np.asarray(gains, dtype=float)
    columns = np.flatnonzero(gains)
    judged = np.sort(gains if judged is None else np.asarray(judged, dtype=float))[::-1]
    return parse_metric(name)(scores, columns[None], gains[columns][None], judged[None])[0]


def test_hand_derived_values():
    scores, gains = [9, 8, 7, 6, -np.inf], [0.1, 1.0, 0.0, 1.0, 1.0]
    ideal = 1 + 1 / np.log2(3) + 1 / 2 + 0.1 / np.log2(5)
    np.testing.assert_allclose(
        measure("nDCG@10", scores, gains), (0.1 + 1 / np.log2(3) + 1 / np.log2(5)) / ideal, rtol=1e-15
    )
    np.testing.assert_allclose(measure("nDCG@2", scores, gains), (0.1 + 1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert measure("RR", scores, gains) == 1 / 2
    assert measure("RR@1", scores, gains) == 0
    np.testing.assert_allclose(measure("R@3", scores, gains), 1 / 3)
    np.testing.assert_allclose(measure("AP", scores, gains), (1 / 2 + 2 / 4) / 3)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_ranked_earns_nothing(name):
    nothing = [-np.inf] * 4
    assert measure(name, nothing, [1, 1, 0, 0]) == 0
    assert measure(name, [0.0] * 4, [1, 1, 0, 0]) > 0  # negative control: a tie of matched documents is a ranking


def test_ties_break_by_column():
    assert measure("RR", [5, 5, 5], [1, 0, 0]) == 1
    assert measure("RR", [5, 5, 5], [0, 0, 1]) == 1 / 3
    assert measure("RR", [5, 5, 6], [0, 1, 0]) == 1 / 3


def test_the_ideal_counts_judged_documents_outside_the_pool():
    assert measure("nDCG@10", [2, 1], [1, 0.1]) == 1.0
    assert measure("nDCG@10", [2, 1], [1, 0.1], judged=[1, 1, 0.1]) < 1.0
    assert measure("R@5", [2, 1], [1, 0], judged=[1, 1]) == 0.5


@SETTINGS
@given(st.lists(st.sampled_from([0, 0.01, 0.1, 1.0]), min_size=1, max_size=12), st.sampled_from([1, 3, 10]))
def test_best_order_is_exactly_one(gains, cutoff):
    best = np.argsort(np.argsort(-np.array(gains), kind="stable"))
    assert measure(f"nDCG@{cutoff}", -best, gains) == (1.0 if max(gains) > 0 else 0.0)


@SETTINGS
@given(st.data(), st.integers(1, 12), st.integers(1, 8))
def test_ranked_gains_are_those_of_a_sort(data, pool, batch):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scores = rng.integers(-2, 4, (batch, pool)).astype(float)
    scores[rng.random((batch, pool)) < 0.2] = -np.inf
    gains = rng.choice([0, 0, 0.1, 1.0], (batch, pool))
    columns = np.argsort(gains == 0, axis=1, kind="stable")
    found = ranked_gains(scores, columns, np.take_along_axis(gains, columns, axis=1), pool)
    for row in range(batch):
        order = sorted(
            (column for column in range(pool) if scores[row, column] > -np.inf), key=lambda c: (-scores[row, c], c)
        )
        expected = [*gains[row, order], *[0.0] * (pool - len(order))]
        np.testing.assert_array_equal(found[row], expected)
        np.testing.assert_array_equal(ranking(scores)[row], order)


@pytest.mark.parametrize("few", [24, 25, 96, 97])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_are_the_same_whether_counted_or_sorted(few, dtype):
    """Above these numbers of documents with gain pools are sorted; ties and unranked documents are as ever."""
    rng = np.random.default_rng(few)
    pool, batch = 120, 40
    scores = rng.integers(0, 30, (batch, pool)).astype(dtype)
    scores[rng.random((batch, pool)) < 0.1] = -np.inf
    columns = np.stack([rng.permutation(pool)[:few] for _ in range(batch)])
    gains = rng.choice([0.0, 0.1, 0.5, 1.0], (batch, few))

    def sorted_gains(row, own_columns, own_gains):
        gain_of = np.zeros(pool)
        gain_of[own_columns] = own_gains
        order = sorted(np.flatnonzero(scores[row] > -np.inf), key=lambda c: (-scores[row, c], c))
        return [*gain_of[order], *[0.0] * (pool - len(order))]

    each = ranked_gains(scores, columns, gains, pool)
    in_one = ranked_gains(scores, columns[:1], gains[:1], pool)
    for row in range(batch):
        np.testing.assert_array_equal(each[row], sorted_gains(row, columns[row], gains[row]))
        np.testing.assert_array_equal(in_one[row], sorted_gains(row, columns[0], gains[0]))
    assert not np.array_equal(each, in_one), "the negative control"


def random_runs(seed, queries=20, pool=30):
    """Scores, gains inside the pool and judged gains outside it, a query a row."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (queries, pool)).astype(float)
    scores[rng.random((queries, pool)) < 0.3] = -np.inf
    scores[0] = -np.inf
    gains = rng.choice([0, 0.01, 0.1, 1.0], (queries, pool), p=[0.6, 0.1, 0.15, 0.15])
    gains[:, 0] = 1.0
    return scores, gains, rng.choice([0, 0.1, 1.0], (queries, 4))


@pytest.mark.parametrize("name", NAMES)
def test_agreement_with_ir_measures(name):
    scores, gains, outside = random_runs(seed=3)
    metric = parse_metric(name)
    theirs = {
        "nDCG": lambda k: ir_measures.nDCG @ k,
        "R": lambda k: ir_measures.R(rel=100) @ k,
        "RR": lambda k: ir_measures.RR(rel=100) @ k if k else ir_measures.RR(rel=100),
        "AP": lambda k: ir_measures.AP(rel=100),
    }[metric.measure](metric.cutoff)
    qrels, run = [], []
    for query in range(len(scores)):
        # whole-numbered gains, and scores made of ranks: measures there disagree on ties
        qrels += [ir_measures.Qrel(f"q{query}", f"d{d}", round(100 * g)) for d, g in enumerate(gains[query])]
        qrels += [ir_measures.Qrel(f"q{query}", f"x{d}", round(100 * g)) for d, g in enumerate(outside[query])]
        run += [
            ir_measures.ScoredDoc(f"q{query}", f"d{d}", float(1000 - rank))
            for rank, d in enumerate(ranking(scores)[query])
        ]
    expected = {value.query_id: value.value for value in ir_measures.iter_calc([theirs], qrels, run)}
    for query in range(len(scores)):
        ours = measure(name, scores[query], gains[query], judged=[*gains[query], *outside[query]])
        np.testing.assert_allclose(ours, expected.get(f"q{query}", 0.0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_does_not_depend_on_its_batch(name):
    scores, gains, outside = random_runs(seed=5, queries=67, pool=41)
    judged = -np.sort(-np.concatenate([gains, outside], axis=1), axis=1)
    columns = np.broadcast_to(np.arange(41), gains.shape)
    metric = parse_metric(name)
    together = metric(scores, columns, gains, judged)
    alone = [metric(*(array[[row]] for array in (scores, columns, gains, judged)))[0] for row in range(67)]
    assert together.tobytes() == np.array(alone).tobytes()
    assert ((together >= 0) & (together <= 1)).all()


def test_names():
    assert [str(parse_metric(name)) for name in NAMES] == NAMES
    assert parse_metric("R@5") == Metric("R", 5)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ndcg@10", "did you mean 'nDCG@10'"),
        ("NDCG@5", "did you mean 'nDCG@5'"),
        ("NDCG@10", "did you mean 'nDCG@10'"),
        ("ap", "did you mean 'AP'"),
        ("rr@3", "did you mean 'RR@3'"),
        ("MRR", "did you mean 'RR'"),
        ("nDCG", "did you mean 'nDCG@k'"),
        ("nDCG@0", "nDCG@k"),
        ("AP@5", "Known"),
        ("nDCG@-1", "Known"),
        ("", "Known"),
        ("nDCG@10\n", "Known"),
    ],
)
def test_unknown_names(name, hint):
    with pytest.raises(TaskError, match="unknown metric") as error:
        parse_metric(name)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [10, None, ["RR"]])
def test_a_name_is_a_string(name):
    with pytest.raises(TaskError, match=f"nDCG@10'; got {type(name).__name__}"):  # a TypeError would get a suffix
        parse_metric(name)
