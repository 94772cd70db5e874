"""Pseudo-relevance feedback: the text is the one that the formula gives, and no judgement goes into it."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from envs_data.sample import load_sample
from minilm import DIRECTORY, needs_minilm
from ospo_env import RetrievalTask, RetrieverError, TaskError, make_reference_policy
from ospo_env.evaluation.feedback import feedback_policy
from ospo_env.text import tokens
from shop import Wrapped, documents, shop, task

DENSE = pytest.param(f"dense:{DIRECTORY}", marks=needs_minilm, id="dense")
RETRIEVERS = ["bm25", "lsa", "chargram", "fusion:bm25+lsa", DENSE]


def written(made, *query_ids, **settings):
    return feedback_policy(made, **settings)(query_ids, [""] * len(query_ids))


def model(rows, weights):
    """Words by their part of the divergence, from the definition, without an index."""
    texts = [tokens(text) for text in documents()]
    corpus = Counter(word for text in texts for word in text)
    total = sum(corpus.values())
    relevance = Counter()
    for row, weight in zip(rows, weights, strict=True):
        for word in texts[row]:
            relevance[word] += weight / len(texts[row])
    parts = {word: p * math.log(p / (corpus[word] / total)) for word, p in relevance.items()}
    return sorted((word for word in parts if parts[word] > 0), key=lambda word: (-parts[word], word))


class Fixed(Wrapped):
    """Ranks three documents first, whatever the text, with given scores."""

    rows = (3, 17, 30)

    def __init__(self, inner, scores):
        super().__init__(inner)
        self.found = np.array(scores)

    def rank_corpus(self, text, k):
        return np.array(self.rows[: len(self.found)][:k], dtype=np.int32), self.found[:k]


def fixed(scores, **settings):
    return task(Fixed(task().retriever, scores), **settings)


@pytest.mark.parametrize(
    ("scores", "weights"),
    [
        ([6.0, 3.0, 1.0], [0.6, 0.3, 0.1]),
        ([6e9, 3e9, 1e9], [0.6, 0.3, 0.1]),
        ([2.0, -1.0, -5.0], [1 / 3] * 3),
        ([0.0, 0.0, 0.0], [1 / 3] * 3),
    ],
)
def test_the_text_is_the_query_and_the_most_divergent_words(scores, weights):
    made = fixed(scores, max_words=9)
    assert made.query("q00").query == "coat please"
    expected = [word for word in model(Fixed.rows, weights) if word != "coat"]
    assert written(made, "q00") == [" ".join(["coat please coat please", *expected[:5]])]
    assert written(made, "q00", interpolation=0.0) == [" ".join(["coat please", *expected[:7]])]
    assert written(made, "q00", interpolation=0.0, terms=2) == [" ".join(["coat please", *expected[:2]])]


def test_scores_and_the_number_of_documents_matter():
    """The negative control of the test above: other weights and fewer documents give other texts."""
    texts = {
        written(fixed(scores, max_words=5), "q00", documents=count)[0]
        for scores, count in (([6.0, 3.0, 1.0], 3), ([1.0, 3.0, 6.0], 3), ([6.0, 3.0, 1.0], 1))
    }
    assert len(texts) == 3


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_the_query_stays_in_front_and_the_cap_holds(retriever):
    made = task(retriever, max_words=7)
    ids = made.data.queries["query_id"].to_list()
    texts = written(made, *ids)
    for query_id, text in zip(ids, texts, strict=True):
        query = made.query(query_id).query
        assert text.startswith(f"{query} {query} ")
        rest = tokens(text)[4:]
        assert 1 <= len(rest) <= 3
        assert len({*rest, *tokens(query)}) == len(rest) + 2
    assert written(made, *ids[::-1]) == texts[::-1]


def test_a_query_that_finds_nothing_or_fills_the_cap_is_left():
    assert written(fixed([]), "q00") == ["coat please"]
    assert written(task(max_words=2), "q00") == ["coat please"]
    assert written(task(max_words=1), "q00") == ["coat please"]  # the query itself is never cut


def test_judgements_and_pools_are_not_looked_at():
    data = shop()
    others = data.qrels.with_columns(doc_row=pl.col("doc_row").shuffle(3)).unique(["query_id", "doc_row"])
    pools = data.pools.with_columns(doc_rows=pl.col("doc_rows").list.head(12))
    changed = RetrievalTask(replace(data, qrels=others, pools=pools))
    ids, prompts = changed.prompts("train")
    assert written(changed, *ids) == written(task(), *ids)
    oracle = [make_reference_policy("oracle", made)(ids, prompts) for made in (changed, task())]
    assert oracle[0] != oracle[1], "the change is one that a policy can see"


@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
@pytest.mark.parametrize("kind", ["shopping", "fashion"])
def test_feedback_helps_on_the_embedded_sample(kind, retriever):
    made = RetrievalTask(load_sample(kind), retriever=retriever)
    ids, prompts = made.prompts("validation")
    query, prf = (made.rewards(ids, make_reference_policy(name, made)(ids, prompts)) for name in ("query", "prf"))
    assert prf.mean() > query.mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"documents": 0}, "documents as a whole number of at least 1; got 0"),
        ({"documents": True}, "documents"),
        ({"terms": 1.5}, "terms"),
        ({"interpolation": 1.0}, "below 1; got 1.0"),
        ({"interpolation": float("nan")}, "interpolation"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(TaskError, match=message):
        feedback_policy(task(), **settings)


class Failing(Wrapped):
    def rank_corpus(self, text, k):
        raise OSError("no such index")


def test_a_retriever_that_fails_is_an_error():
    with pytest.raises(RetrieverError, match="on ranking the corpus: OSError: no such index"):
        written(task(Failing(task().retriever)), "q00")
