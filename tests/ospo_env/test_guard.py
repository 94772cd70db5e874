"""The guard compares the tops of two rankings of the corpus, and its threshold comes from judged queries."""

import numpy as np
import pytest

from ospo_env import RetrieverError, TaskError
from ospo_env.evaluation.free_queries import free_prompts
from ospo_env.evaluation.guard import DEPTH, THRESHOLDS, Guard, choose_threshold, top_overlaps
from shop import Wrapped, task

TEXTS = ["coat please", "red wool coat", "shoe", "", "zzz", "coat"]


@pytest.mark.parametrize("modes", [{}, {"compose": "append", "query_weight": 2, "repeats": "once"}], ids=str)
@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
def test_overlaps_are_those_of_rankings_of_the_corpus(retriever, modes):
    pools, corpus = task(retriever, **modes), task(retriever, candidates="corpus", **modes)
    ids = [prompt_id for split in ("train", "test") for prompt_id in pools.prompts(split)[0]][: len(TEXTS)]
    overlaps = top_overlaps(pools, ids, TEXTS)
    expected = []
    for raw, rewritten in zip(corpus.rankings(ids, corpus.raw_rewrites(ids)), corpus.rankings(ids, TEXTS), strict=True):
        expected.append(len(set(raw[:DEPTH]) & set(rewritten[:DEPTH])) / len(raw[:DEPTH]))
    np.testing.assert_array_equal(overlaps, expected)
    assert len(set(overlaps.tolist())) > 1
    np.testing.assert_array_equal(top_overlaps(corpus, ids, TEXTS), overlaps)  # whatever the task ranks
    own = [
        len(set(raw[:DEPTH]) & set(rewritten[:DEPTH])) / len(raw[:DEPTH])
        for raw, rewritten in zip(pools.rankings(ids, pools.raw_rewrites(ids)), pools.rankings(ids, TEXTS), strict=True)
    ]
    assert own != expected  # negative control: rankings of pools are others


def test_the_raw_query_overlaps_with_itself_and_a_query_without_documents_loses_nothing():
    one = task()
    ids = one.prompts("train")[0]
    np.testing.assert_array_equal(top_overlaps(one, ids, one.raw_rewrites(ids)), np.ones(len(ids)))
    free = free_prompts(one, ["zzz", "coat", "coat"])
    np.testing.assert_array_equal(top_overlaps(free, free.prompts("test")[0], ["coat", "zzz", "coat"]), [1, 0, 1])


def test_both_texts_of_all_rewrites_are_ranked_once():
    inner = Wrapped(task().retriever)
    ranked = []
    inner.rank_corpus = lambda text, k: ranked.append((text, k)) or task().retriever.rank_corpus(text, k)
    free = free_prompts(task(inner), ["coat", "coat", "shoe"])
    top_overlaps(free, free.prompts("test")[0], ["red coat", "coat", "red coat"])
    assert sorted(ranked) == [("coat", DEPTH), ("red coat", DEPTH), ("shoe", DEPTH)]


def test_a_threshold_is_a_share_and_zero_keeps_all():
    overlaps = np.array(THRESHOLDS)
    for number, threshold in enumerate(THRESHOLDS):
        assert Guard(threshold).keeps(overlaps).sum() == len(THRESHOLDS) - number
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(TaskError, match=r"threshold in \[0, 1\]"):
            Guard(wrong)


def test_the_threshold_of_the_highest_mean_is_chosen():
    overlaps, ids = np.array([0.0, 0.2, 0.4, 1.0]), ["a", "b", "c", "d"]
    harmful = np.array([0.1, 0.1, 0.6, 0.5]), np.array([0.5, 0.3, 0.5, 0.5])
    assert choose_threshold(overlaps, *harmful, ids) == 0.3  # refuses the first two, and no more
    assert choose_threshold(overlaps, *harmful[::-1], ids) == 0.0  # these gain where they overturn
    assert choose_threshold(overlaps, harmful[1], harmful[1], ids) == 0.0  # nothing to choose
    rng = np.random.default_rng(0)
    by_rewrite = 0
    for _ in range(20):
        overlaps, values, raw = rng.integers(0, 11, 30) / 10, rng.random(30), rng.random(30)
        ids = rng.choice(list("abcdef"), 30, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]).tolist()
        means = {}
        for share in THRESHOLDS:
            of_query = {}
            for key, overlap, value, plain in zip(ids, overlaps, values, raw, strict=True):
                of_query.setdefault(key, []).append(value if overlap >= share else plain)
            means[share] = np.mean([np.mean(kept) for kept in of_query.values()])
        chosen = choose_threshold(overlaps, values, raw, ids)
        assert means[chosen] == pytest.approx(max(means.values()))
        rows = [np.where(overlaps >= share, values, raw).mean() for share in THRESHOLDS]
        by_rewrite += means[THRESHOLDS[int(np.argmax(rows))]] < max(means.values()) - 1e-9
    assert by_rewrite  # negative control: the mean over rewrites chooses another


def test_a_query_with_many_rewrites_counts_once():
    ids = ["a"] * 9 + ["b"]
    values, raw = np.array([0.6] * 9 + [0.2]), np.array([0.5] * 9 + [0.9])
    assert choose_threshold(np.full(10, 0.1), values, raw, ids) == 0.2  # +.1 of one query, -.7 of the other
    assert choose_threshold(np.full(10, 0.1), values, raw, list("abcdefghij")) == 0.0


def test_a_failing_engine_is_an_error():
    broken = Wrapped(task().retriever)
    broken.rank_corpus = lambda text, k: 1 / 0
    one = task(broken)
    with pytest.raises(RetrieverError, match="failed on ranking the corpus: ZeroDivisionError"):
        top_overlaps(one, one.prompts("train")[0][:1], ["coat"])
