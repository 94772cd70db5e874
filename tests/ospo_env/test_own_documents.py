"""A query that is a document too, under the same id, is never ranked for itself in the layout of BEIR."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import polars as pl
import pytest

from envs_data import prepare_beir
from ospo_env import RetrievalTask, make_reference_policy
from ospo_env.evaluation.reference_policies import _candidates
from ospo_env.scoring.candidate_pools import own_document_rows
from ospo_env.scoring.corpus_scorer import DEPTH
from paths import SHARED_CASES
from shop import all_coalitions

BOTH = pytest.mark.parametrize("candidates", ["pool", "corpus"])
ARGUMENTS = {  # each is answered by its counterpart, which shares two of three words
    "a": "tax sugar health",
    "a-con": "tax sugar freedom",
    "b": "ban cars city",
    "b-con": "ban cars suburb",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four documents, of which two are queries, as their own texts."""
    source = tmp_path_factory.mktemp("beir")
    documents = [{"_id": name, "title": "", "text": text} for name, text in ARGUMENTS.items()]
    queries = [{"_id": name, "text": ARGUMENTS[name]} for name in ("a", "b")]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (source / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (source / "qrels").mkdir()
    (source / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\ta-con\t1\nb\tb-con\t1\n")
    return source


@pytest.fixture(scope="module")
def data(source, tmp_path_factory):
    return prepare_beir(source, tmp_path_factory.mktemp("own") / "data", keep_splits=True)


@BOTH
def test_the_answer_is_first_and_the_query_itself_is_not_there(data, candidates):
    task = RetrievalTask(data, metric="RR", candidates=candidates)
    ids, prompts = task.prompts("test")
    assert sorted(ids) == ["a", "b"]
    texts = make_reference_policy("query", task)(ids, prompts)
    assert task.rewards(ids, texts).tolist() == [1.0, 1.0]
    for prompt_id, ranking in zip(ids, task.rankings(ids, texts), strict=True):
        assert ranking == (f"{prompt_id}-con",)
    spans = [(0, 4), (4, 10), (10, len(ARGUMENTS["a"]))]
    (worths,) = task.coalition_values(["a"], [ARGUMENTS["a"]], [spans], [all_coalitions(3)])
    assert worths.tolist() == [0, 1, 1, 1, 0, 1, 1, 1]  # "health" is in no other document


@BOTH
def test_in_other_data_equal_ids_mean_nothing(data, candidates):
    """The negative control: the same tables, as a user's own."""
    own = replace(data, manifest={**data.manifest, "dataset": "own"})
    assert (own_document_rows(own) == -1).all()
    task = RetrievalTask(own, metric="RR", candidates="corpus")
    assert task.rankings(["a"], [ARGUMENTS["a"]]) == [("a", "a-con")]
    assert task.rewards(["a"], [ARGUMENTS["a"]]) == [0.5]


def test_rows_by_id(data):
    doc_ids = data.documents["doc_id"].to_list()
    assert [doc_ids[row] for row in own_document_rows(data)] == data.queries["query_id"].to_list()


def test_feedback_reads_other_documents(data):
    """The one feedback document of a query is its counterpart, whose third word is added."""
    task = RetrievalTask(data)
    write = gym.make("OSPO-Rewrite-v0", data=data, split="test").unwrapped  # the task behind an environment does too
    for made in (task, write.task):
        texts = make_reference_policy("prf", made)(["a", "b"], ["", ""])
        assert "freedom" in texts[0]
        assert "suburb" in texts[1]


def test_the_oracle_reads_other_documents(data):
    """A query that judges itself: BEIR keeps such a judgement, and its document is no answer."""
    own_row = int(own_document_rows(data)[0])
    query_id = data.queries["query_id"][0]
    judged = {"query_id": [query_id], "doc_row": [own_row], "gain": [1.0]}
    qrels = pl.concat([data.qrels, pl.DataFrame(judged, schema=data.qrels.schema)])
    task = RetrievalTask(replace(data, qrels=qrels), max_words=2)
    tried = _candidates(task, [query_id])[query_id]
    assert tried == _candidates(RetrievalTask(data, max_words=2), [query_id])[query_id]
    elsewhere = replace(data, qrels=qrels, manifest={**data.manifest, "dataset": "own"})
    assert tried != _candidates(RetrievalTask(elsewhere, max_words=2), [query_id])[query_id]  # the negative control


def test_a_full_ranking_stays_full(data, tmp_path):
    """A ranking of the best 1,000 has 1,000 documents, of which none is the query."""
    source = tmp_path / "many"
    (source / "qrels").mkdir(parents=True)
    rows = [{"_id": f"d{number}", "title": "", "text": "same words"} for number in range(DEPTH + 200)]
    (source / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (source / "queries.jsonl").write_text(json.dumps({"_id": "d7", "text": "same"}) + "\n")
    (source / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nd7\td8\t1\n")
    task = RetrievalTask(prepare_beir(source, tmp_path / "data", keep_splits=True), candidates="corpus")
    (ranking,) = task.rankings(["d7"], ["same"])
    assert len(set(ranking)) == DEPTH
    assert "d7" not in ranking


@BOTH
@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"needs {SHARED_CASES}")
def test_forty_arguments(tmp_path, candidates):
    """Each of the 40 queries is one of the 80 documents, and its counterpart is the next: right is 1."""
    prepare_beir(SHARED_CASES / "F1_query_in_corpus", tmp_path / "data", keep_splits=True)
    task = gym.make("OSPO-Rewrite-v0", data=str(tmp_path / "data"), split="test", candidates=candidates).unwrapped.task
    ids, prompts = task.prompts("test")
    assert task.rewards(ids, make_reference_policy("query", task)(ids, prompts)).mean() == 1.0
    np.testing.assert_array_equal(own_document_rows(task.data) >= 0, True)
