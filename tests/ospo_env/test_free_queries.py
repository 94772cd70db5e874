"""Free queries: the target is the top of the whole rewrite, so that credit says what caused it."""

import numpy as np
import pytest

from credit_games import brute_force_shapley, tabulated
from ospo_agents import assign_credit
from ospo_agents.segments import phrases
from ospo_env import TaskError
from ospo_env.evaluation.free_queries import open_free_task
from shop import task

QUERIES = ["something warm", "zzz", "red dress"]
REWRITES = ["red wool, coat", "leather shoe, blue", "linen"]


@pytest.mark.parametrize("compose", ["replace", "append"])
@pytest.mark.parametrize("metric", ["nDCG@10", "nDCG@3", "R@10", "AP", "RR", "nDCG@30"])
@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
def test_the_whole_rewrite_is_worth_one(retriever, metric, compose):
    free = open_free_task(task(retriever, metric=metric, compose=compose), QUERIES, REWRITES)
    assert free.places == (0, 1, 2)
    np.testing.assert_allclose(free.task.rewards(free.prompt_ids, REWRITES), 1.0, rtol=0, atol=1e-12)
    others = free.task.rewards(free.prompt_ids, [*REWRITES[1:], REWRITES[0]])
    assert (others < 1).all() or metric == "RR"  # the negative control: a target is not another rewrite's


def test_credit_is_the_share_of_the_target_that_a_phrase_brings():
    """Worths by hand: the discounted share of the ten documents in the ranking that the task gives for a text."""
    on = task(candidates="corpus", compose="append")
    free = open_free_task(task(compose="append"), QUERIES[:1], REWRITES[:1])
    ids, text = on.prompts("test")[0][:1], "red wool, coat"
    assert task().query(ids[0]).query != QUERIES[0]
    target = set(task(candidates="corpus").rankings(ids, [f"{QUERIES[0]} {text}"])[0][:10])
    assert len(target) == 10

    def worth(kept):
        ranking = task(candidates="corpus").rankings(ids, [f"{QUERIES[0]} {kept}".strip()])[0][:10]
        discounts = 1 / np.log2(np.arange(2, 12))
        return sum(d for d, doc_id in zip(discounts, ranking, strict=False) if doc_id in target) / discounts.sum()

    pieces = [text[start:end] for start, end in phrases(text)]

    def worths(rows):
        return np.array([worth(" ".join(p for p, one in zip(pieces, row, strict=True) if one)) for row in rows])

    (credited,) = assign_credit(free.task, free.prompt_ids, [text])
    expected = brute_force_shapley(tabulated(worths, len(pieces)), len(pieces))
    np.testing.assert_allclose(credited.credit, expected, rtol=0, atol=1e-12)
    assert credited.credit.sum() == pytest.approx(1 - worth(""))
    assert len(set(credited.credit.round(6))) > 1


def test_rewrites_that_match_nothing_are_left_out():
    free = open_free_task(task(), QUERIES, ["qqq", "red wool", ""])
    assert free.places == (1,)
    assert free.task.query(free.prompt_ids[0]).query == "zzz"
    with pytest.raises(TaskError, match="no ranking to explain"):
        open_free_task(task(), QUERIES, ["qqq", "xxx", ""])
    with pytest.raises(TaskError, match="not blank; query 2 is"):
        open_free_task(task(), ["a", " "], ["red", "red"])
