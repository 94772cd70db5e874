"""The scorer: one call of the retriever, duplicates removed, a bounded cache, and failures that are never rewards."""

import numpy as np
import pytest

from ospo_env.composition import Composition
from ospo_env.errors import RetrieverError
from ospo_env.metrics import parse_metric
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.composer import Composer
from ospo_env.scoring.pool_scorer import PoolScorer
from shop import EachWordOnce, Wrapped, all_coalitions, shop, task

TEXT = "red wool, linen coat"
SPANS = np.array([(0, 4), (4, 10), (10, 16), (16, 20)])
POOLS = CandidatePools(shop())


def scorer(retriever, metric="nDCG@10", **arguments):
    composer = Composer(Composition(), shop().queries["query"].to_list(), retriever)
    return PoolScorer(retriever, POOLS, parse_metric(metric), composer, **arguments)


@pytest.fixture
def counting():
    return Wrapped(task("bm25").retriever)


def test_one_call_on_distinct_texts(counting):
    made = scorer(counting)
    values = made.rewards(np.array([0, 1, 0, 0]), ["red", "red", "red", "blue"])
    assert counting.batches == [["red", "red", "blue"]]  # for query 0, query 1 and query 0
    assert values[0] == values[2]
    assert made.counters == {"asked": 4, "distinct": 3, "cached": 0, "estimated": 0, "stored": 0}
    np.testing.assert_array_equal(made.rewards(np.array([0, 1]), ["red", "blue"]), [values[0], made_alone(1, "blue")])
    assert counting.batches[1] == ["blue"]
    assert made.counters == {"asked": 6, "distinct": 5, "cached": 1, "estimated": 0, "stored": 0}


def made_alone(query, text):
    """A reward from a scorer that has seen nothing else."""
    return scorer(task("bm25").retriever).rewards(np.array([query]), [text])[0]


def test_nothing_new_is_no_call(counting):
    made = scorer(counting)
    for _ in range(2):
        made.rewards(np.array([0]), ["red"])
        made.worths(np.array([0]), ["red"], [np.array([(0, 3)])], [np.array([[False]])])
    assert len(counting.batches) == 1
    assert made.rewards(np.empty(0, dtype=np.int64), []).shape == (0,)
    assert made.worths(np.empty(0, dtype=np.int64), [], [], []) == []
    assert len(counting.batches) == 1


def test_linear_coalitions_cost_their_segments(counting):
    made = scorer(counting)
    coalitions = np.concatenate([all_coalitions(4)] * 2)
    worths = made.worths(np.array([0, 0]), [TEXT] * 2, [SPANS] * 2, [coalitions, coalitions[:3]])
    assert [sorted(batch) for batch in counting.batches] == [sorted([TEXT, "red ", "wool, ", "linen ", "coat"])]
    assert made.counters == {"asked": 35, "distinct": 5, "cached": 0, "estimated": 0, "stored": 0}
    np.testing.assert_array_equal(worths[0][:16], worths[0][16:])
    np.testing.assert_array_equal(worths[0][:3], worths[1])


def test_other_coalitions_cost_their_distinct_texts():
    retriever = Wrapped(task("bm25").retriever, linear=False)
    made = scorer(retriever)
    coalitions = np.concatenate([all_coalitions(4)] * 2)
    worths = made.worths(np.array([0]), [TEXT], [SPANS], [coalitions])[0]
    (batch,) = retriever.batches
    assert len(batch) == len(set(batch)) == 15
    assert TEXT in batch
    assert "" not in batch  # the empty coalition is worth 0 by definition
    np.testing.assert_array_equal(worths[:16], worths[16:])


def test_only_segments_that_take_part_are_scored(counting):
    made = scorer(counting)
    made.worths(np.array([0]), [TEXT], [SPANS], [np.array([[True, False, True, False]])])
    assert counting.batches == [["red ", "linen "]]


def test_a_cut_word_takes_the_text_way(counting):
    cut = np.array([(0, 2), (2, 10), (10, 20)])  # re|d
    made = scorer(counting)
    linear = made.worths(np.array([0]), [TEXT], [cut], [all_coalitions(3)])[0]
    assert "re linen coat" in counting.batches[0]
    texts = Wrapped(task("bm25").retriever, linear=False)
    np.testing.assert_array_equal(linear, scorer(texts).worths(np.array([0]), [TEXT], [cut], [all_coalitions(3)])[0])


@pytest.mark.parametrize("linear", [True, False])
def test_null_players_are_not_asked_about(linear):
    retriever = Wrapped(task("bm25").retriever, linear=linear)
    spans = np.array([(0, 4), (4, 20), (20, 20)])  # the last one lies beyond a cap
    coalitions = np.array([[True, True, False], [True, True, True], [False, False, True]])
    worths = scorer(retriever).worths(np.array([0]), [TEXT], [spans], [coalitions])[0]
    assert retriever.batches == [[TEXT]]
    assert worths[0] == worths[1] == made_alone(0, TEXT)
    assert worths[2] == 0


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("name", ["bm25", "lsa"])
def test_chunks_and_neighbours_change_nothing(monkeypatch, linear, name):
    retriever = Wrapped(task(name).retriever, linear=linear)
    queries = np.array([0, 5, 0, 11])
    texts, spans = [TEXT] * 4, [SPANS] * 4
    games = [all_coalitions(4), all_coalitions(4)[::3], np.zeros((2, 4), dtype=bool), np.ones((3, 4), dtype=bool)]
    expected = scorer(retriever).worths(queries, texts, spans, games)
    monkeypatch.setattr("ospo_env.scoring.coalition_plans._CHUNK_BYTES", 1)
    monkeypatch.setattr("ospo_env.scoring.pool_scorer._CHUNK", 5)
    found = scorer(retriever).worths(queries, texts, spans, games)
    alone = [
        scorer(retriever).worths(queries[[row]], texts[:1], spans[:1], games[row : row + 1])[0] for row in range(4)
    ]
    for one, two, three in zip(expected, found, alone, strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()


def test_the_cache_is_bounded_in_bytes(counting):
    made = scorer(counting, cache_bytes=20_000)
    texts = [f"red {number}" for number in range(100)]
    queries = np.zeros(100, dtype=np.int64)
    first = made.rewards(queries, texts)
    assert 5 < len(made._cache) < 50
    assert made._cache.size <= 20_000
    np.testing.assert_array_equal(made.rewards(queries, texts), first)
    assert 5 < made.counters["cached"] < 50
    before = len(made._cache)
    assert made.rewards(np.array([0]), ["red " + "x" * 30_000]).shape == (1,)  # larger than the cache
    assert len(made._cache) == before


def test_writing_on_scores_changes_no_later_ones(counting):
    made = scorer(counting)
    first = made.scores(np.array([0]), ["red"])
    kept = first.copy()
    first[0, 0] = 7.0
    np.testing.assert_array_equal(made.scores(np.array([0]), ["red"]), kept)
    assert made.counters["cached"] == 1


def test_a_false_linear_claim_is_caught():
    spans, text = np.array([(0, 4), (4, 8), (8, 12)]), "red red coat"
    coalitions = all_coalitions(3)
    lying = EachWordOnce(task("bm25").retriever, linear=True)
    honest = EachWordOnce(task("bm25").retriever, linear=False)
    games = [
        scorer(retriever, "nDCG@50").worths(np.array([3]), [text], [spans], [coalitions])[0]
        for retriever in (lying, honest)
    ]
    scores = [
        lying.score_pools([part], POOLS.document_batch(np.array([3])))[0] for part in ("red ", "red ", "red red ")
    ]
    assert not np.array_equal(scores[0] + scores[1], scores[2])
    assert games[0][-1] == games[1][-1]  # the grand coalition goes the way of rewards


class Broken(Wrapped):
    """Returns, or raises, whatever it was told."""

    def __init__(self, what):
        super().__init__(task("bm25").retriever)
        self.what = what

    def score_pools(self, texts, pools):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what(super().score_pools(texts, pools))


def spoilt(value):
    def spoil(scores):
        scores[-1, 3] = value
        return scores

    return spoil


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (OSError("server\nis gone"), "failed on a batch of 2 texts: OSError: server is gone"),
        (spoilt(np.nan), "finite.*nan for the text 'blue' and document row"),
        (spoilt(np.inf), "finite.*inf for the text 'blue'"),
        (lambda scores: scores[:1], r"shape \(2, 25\); got float64 of shape \(1, 2[45]\)"),
        (lambda scores: scores[:, :-1], "shape"),
        (lambda scores: scores.astype(str), "numbers"),
        (lambda scores: None, "numbers"),
        (lambda scores: scores > 0, "numbers.*bool"),
        (lambda scores: [[1.0], [2.0, 3.0]], "failed"),
    ],
)
def test_failure_is_never_a_reward(what, match):
    made = scorer(Broken(what))
    queries = np.array([0, 3])
    with pytest.raises(RetrieverError, match=f"retriever 'wrapped-bm25'.*{match}") as error:
        made.rewards(queries, ["red", "blue"])
    assert "\n" not in str(error.value)
    with pytest.raises(RetrieverError):
        made.worths(queries, [TEXT] * 2, [SPANS] * 2, [all_coalitions(4)] * 2)
    assert len(made._cache) == 0


def test_failing_cuts_are_a_failure(counting, monkeypatch):
    monkeypatch.setattr(Wrapped, "cuts_cleanly", lambda self, text, offsets: 1 / 0)
    with pytest.raises(RetrieverError, match="on the cuts of a text: ZeroDivisionError"):
        scorer(counting).worths(np.array([0]), [TEXT], [SPANS], [all_coalitions(4)])
