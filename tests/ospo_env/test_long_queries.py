"""Queries longer than the word cap: the raw query is scored whole, any other rewrite is cut."""

import gymnasium as gym
import numpy as np
import polars as pl
import pytest

from envs_data import prepare_beir, write_prepared
from ospo_env import RetrievalTask, make_reference_policy
from ospo_env.text import cap_rewrite
from paths import SHARED_CASES

QUERY = "one two three four five six!"
CAP = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A query of six words, whose one relevant document shares only the last with it."""
    texts = ["one", "two three", "six", "nine"]
    texts_of_queries = pl.List(pl.String)
    tables = {
        "documents": pl.DataFrame({"doc_id": ["a", "b", "c", "d"], "title": texts, "text": texts}),
        "queries": pl.DataFrame(
            {"query_id": ["long"], "split": ["train"], "query": [QUERY], "history": [[]], "intent": [[]]},
            schema_overrides={"history": texts_of_queries, "intent": texts_of_queries},
        ),
        "pools": pl.DataFrame({"query_id": ["long"], "doc_rows": [[0, 1, 2, 3]]}),
        "qrels": pl.DataFrame({"query_id": ["long"], "doc_row": [2], "gain": [1.0]}),
        "demonstrations": pl.DataFrame(schema={"query_id": pl.String, "text": pl.String}),
    }
    out = tmp_path_factory.mktemp("long") / "data"
    return write_prepared(out, tables, dataset="own", synthetic=True, arguments={}, sources={}, counts={})


@pytest.fixture(params=["pool", "corpus"])
def task(data, request):
    return RetrievalTask(data, metric="R@3", max_words=CAP, candidates=request.param)


def test_the_raw_query_is_scored_whole(task):
    assert task.rewards(["long"], [QUERY]) == [1.0]
    assert set(task.rankings(["long"], [QUERY])[0]) == {"a", "b", "c"}
    assert task.words_beyond_cap(["long"], [QUERY]) == [0]


def test_another_text_is_cut(task):
    """The negative control: the same words in another order."""
    assert task.rewards(["long"], ["two one three four five six!"]) == [0.0]
    assert task.words_beyond_cap(["long"], ["two one three four five six!"]) == [3]


def test_words_behind_a_long_query_are_cut_and_the_query_is_not(task):
    assert task.rewards(["long"], [f"{QUERY} nine nine"]) == [1.0]
    assert set(task.rankings(["long"], [f"{QUERY} nine nine"])[0]) == {"a", "b", "c"}
    assert task.words_beyond_cap(["long"], [f"{QUERY} nine nine"]) == [2]


def test_no_segment_of_the_raw_query_is_a_null_player(task):
    spans = [(0, 13), (13, 23), (23, 28)]  # one two three | four five | six!
    worths = task.coalition_values(["long"], [QUERY], [spans], [np.eye(3, dtype=bool)])[0]
    np.testing.assert_array_equal(worths, [0.0, 0.0, 1.0])


@pytest.mark.parametrize("name", ["query", "prf"])
def test_reference_policies_write_the_whole_query(task, name):
    assert make_reference_policy(name, task)(["long"], [""]) == [QUERY]


def test_cap_rewrite_compares_words():
    query = "red wool coat"
    assert cap_rewrite("red  wool, coat - blue", 2, query) == ("red  wool, coat", 1)
    assert cap_rewrite("red wool coats blue", 2, query) == ("red wool", 2)
    assert cap_rewrite("red wool coat blue", 3, query) == ("red wool coat", 1)
    assert cap_rewrite("red wool coat blue", 9, query) == ("red wool coat blue", 0)
    assert cap_rewrite("red wool", 1, query) == ("red", 1)
    assert cap_rewrite("red wool", 1, "") == ("red", 1)


@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"needs {SHARED_CASES}")
def test_twenty_words_of_which_the_last_four_tell(tmp_path):
    """In each of the 40 queries, only the last four words lead to the document: right is 1."""
    prepare_beir(SHARED_CASES / "F11_long_queries", tmp_path / "data", keep_splits=True)
    for candidates in ("pool", "corpus"):
        env = gym.make("OSPO-Rewrite-v0", data=str(tmp_path / "data"), split="test", candidates=candidates)
        task = env.unwrapped.task
        ids, prompts = task.prompts("test")
        for name in ("query", "prf"):
            assert task.rewards(ids, make_reference_policy(name, task)(ids, prompts)).mean() == 1.0
