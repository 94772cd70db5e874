"""Ranking the whole corpus: the same worths as a pool that holds every document, and what is wrong is said."""

import pickle
from dataclasses import replace

import gymnasium as gym
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.scoring.corpus_scorer import DEPTH
from ospo_env.task import RetrievalTask
from shop import SETTINGS, Wrapped, all_coalitions, cut_texts, shop

NAMES = ("bm25", "lsa", "chargram")
IDS = shop().queries["query_id"].to_list()
EVERY_ROW = pl.Series("doc_rows", [list(range(shop().documents.height))] * len(IDS), dtype=pl.List(pl.Int32))
WIDE = replace(shop(), pools=shop().pools.with_columns(EVERY_ROW))

CORPUS = {name: RetrievalTask(shop(), name, candidates="corpus") for name in NAMES}
POOL = {name: RetrievalTask(WIDE, name) for name in NAMES}

each = pytest.mark.parametrize("name", NAMES)


@each
@SETTINGS
@given(text=st.sampled_from(["", "red coat", "linen", "wool red wool", "zzz", "レザー", "the bag of linen"]))
def test_equal_to_a_pool_of_all_documents(name, text):
    texts = [text] * len(IDS)
    wide, corpus = POOL[name].evaluate(IDS, texts), CORPUS[name].evaluate(IDS, texts)
    assert all((wide[metric] == corpus[metric]).all() for metric in wide)
    assert POOL[name].rankings(IDS, texts) == CORPUS[name].rankings(IDS, texts)
    assert (CORPUS[name].rewards(IDS, texts) == wide["nDCG@10"]).all()


@each
@SETTINGS
@given(cut=cut_texts(), prompt_id=st.sampled_from(IDS))
def test_coalitions_are_worth_what_they_are_in_such_a_pool(name, cut, prompt_id):
    text, spans = cut
    every = all_coalitions(len(spans))
    asked = ([prompt_id], [text], [spans], [every])
    (wide,), (corpus,) = POOL[name].coalition_values(*asked), CORPUS[name].coalition_values(*asked)
    assert (wide == corpus).all()
    assert corpus[-1] == CORPUS[name].rewards([prompt_id], [text])[0] or not spans


def test_the_corpus_is_harder_than_the_pool():
    narrow = RetrievalTask(shop(), "bm25").rewards(IDS, ["red"] * len(IDS))
    assert (CORPUS["bm25"].rewards(IDS, ["red"] * len(IDS)) != narrow).any()


def test_a_text_is_ranked_once_for_all_queries():
    task = RetrievalTask(shop(), "bm25", candidates="corpus")
    task.rewards(IDS, ["red coat"] * len(IDS))
    assert task.counters == {"asked": len(IDS), "distinct": 1, "cached": 0, "estimated": 0, "stored": 0}
    task.rewards(IDS[:1], ["red coat"])
    assert task.counters["cached"] == 1


class Ranks(Wrapped):
    def __init__(self, rows):
        super().__init__(CORPUS["bm25"].retriever, linear=True)
        self.rows = rows

    def rank_corpus(self, text, k):
        if self.rows is None:
            raise OSError("the index is gone")
        return np.array(self.rows), np.zeros(len(self.rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "failed on ranking the corpus: OSError: the index is gone"),
        ([3, 3], "distinct document rows"),
        ([0.5], "distinct document rows"),
        ([[1]], "distinct document rows"),
        ([3, -1], "distinct document rows"),
        ([3, 10**6], "distinct document rows below 61"),
        (range(DEPTH + 1), "at most 1000"),
    ],
)
def test_a_wrong_ranking_is_an_error(rows, message):
    task = RetrievalTask(shop(), Ranks(rows), candidates="corpus")
    with pytest.raises(RetrieverError, match=message):
        task.rewards(IDS[:1], ["red coat"])


def test_unknown_candidates():
    with pytest.raises(TaskError, match="did you mean 'corpus'"):
        RetrievalTask(shop(), "bm25", candidates="corpse")


def test_the_environment():
    env = gym.make("OSPO-ESCI-v0", candidates="corpus")
    _, info = env.reset(seed=1)
    oracle = ", ".join(env.unwrapped.task.query(info["query_id"]).intent)
    _, reward, *_, info = env.step(oracle)
    assert 0 < reward <= 1
    assert 100 < len(info["ranking"]) <= DEPTH
    assert pickle.loads(pickle.dumps(env.unwrapped.task)).candidates == "corpus"
