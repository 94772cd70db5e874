"""Grades, and queries that are documents, in the layout of BEIR: rewards are the published evaluation's nDCG."""

import json

import gymnasium as gym
import numpy as np
import polars as pl
import pytest
import pytrec_eval

import ospo_env  # noqa: F401 - registers the environments
from envs_data import DataError, load_prepared, prepare_beir, prepare_tables
from ospo_cli import prepare
from own_files import own_tables, write_beir, write_own
from paths import SHARED_DATA


def published_ndcg(source, split, rankings):
    """nDCG@10 of trec_eval on a published file of judgements, by query, a document of the query's id left out."""
    qrels = {}
    for line in (source / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        qrels.setdefault(query, {})[document] = int(score)
    run = {
        query: {document: -float(rank) for rank, document in enumerate(ranking) if document != query}
        for query, ranking in rankings.items()
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate({q: r for q, r in run.items() if r})
    positive = [query for query, judged in qrels.items() if max(judged.values()) > 0]
    return {query: found.get(query, {"ndcg_cut_10": 0.0})["ndcg_cut_10"] for query in positive}


def measure(data_directory, split, candidates="corpus"):
    """Rewards and rankings of the raw queries under bm25, by query."""
    with gym.make(
        "OSPO-Rewrite-v0", data=str(data_directory), split=split, candidates=candidates, metric="nDCG@10"
    ) as env:
        task = env.unwrapped.task
        ids, _ = task.prompts(split)
        outcomes = task.outcomes(ids, [task.query(query_id).query for query_id in ids])
    return {query: one.reward for query, one in zip(ids, outcomes, strict=True)}, {
        query: one.ranking for query, one in zip(ids, outcomes, strict=True)
    }


def graded_beir(directory):
    """Grades 0 to 3 and -1; every third query has no document of the top grade, one no positive one."""
    rng = np.random.default_rng(0)
    source = write_beir(directory)
    lines = ["query-id\tcorpus-id\tscore"]
    for number, query in enumerate(range(100, 130)):
        documents = rng.choice(90, size=8, replace=False)
        grades = rng.integers(-1, 3 if number % 3 == 0 else 4, size=8)
        grades[0] = 3 if number % 3 else 2
        if number == 7:
            grades = np.minimum(grades, 0)
        lines += [f"{query}\tp{row:02d}\t{grade}" for row, grade in zip(documents, grades, strict=True)]
    (source / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return source


def test_grades_and_all_queries(tmp_path):
    """Rewards are trec_eval's nDCG on the published file, for every query with a positive judgement."""
    source = graded_beir(tmp_path / "in")
    data = prepare_beir(source, tmp_path / "out", keep_splits=True, graded=True, pool_size=20)
    assert set(data.qrels["gain"]) == {0.0, 1.0, 2.0, 3.0}
    assert data.manifest["counts"]["queries_without_full_gain"] == 1
    rewards, rankings = measure(tmp_path / "out", "test")
    expected = published_ndcg(source, "test", rankings)
    assert (len(rewards), set(rewards)) == (29, set(expected))
    np.testing.assert_allclose([rewards[query] for query in expected], list(expected.values()), atol=1e-12)
    assert 0.01 < np.mean(list(rewards.values())) < 0.9
    for full_gain, n_queries in ((1.0, 29), (3.0, 19)):  # the negative controls: binary; grades, and fewer queries
        prepare_beir(source, tmp_path / "other", keep_splits=True, full_gain=full_gain, pool_size=20)
        other, _ = measure(tmp_path / "other", "test")
        assert len(other) == n_queries
        if full_gain == 1.0:
            assert np.abs([other[query] - expected[query] for query in expected]).max() > 0.05


def test_graded_gains_are_divided_by_the_full_level(tmp_path):
    files = write_own(tmp_path / "in")
    data = prepare_tables(**files, out=tmp_path / "out", full_gain=2, graded=True, pool_size=20)
    assert set(data.qrels["gain"]) == {0.5, 1.0, 1.5}
    capped = prepare_tables(**files, out=tmp_path / "capped", full_gain=2, pool_size=20)
    assert set(capped.qrels["gain"]) == {0.5, 1.0}
    assert data.pools.equals(capped.pools)  # of which a gain of at least 1 decides, in both
    with pytest.raises(DataError, match="times the largest number"):
        prepare_tables(**files, out=tmp_path / "out", full_gain=5e-324, graded=True)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
def test_grades_of_a_published_data_set(tmp_path):
    source = SHARED_DATA / "nfcorpus"
    prepare_beir(source, tmp_path / "out", keep_splits=True, graded=True, pool_size=20)
    rewards, rankings = measure(tmp_path / "out", "test")
    expected = published_ndcg(source, "test", rankings)
    assert (len(rewards), set(rewards)) == (323, set(expected))
    np.testing.assert_allclose([rewards[query] for query in expected], list(expected.values()), atol=1e-12)


def self_retrieving(directory):
    """Each query is the text of a document of the same id, as in ArguAna; two are judged relevant to themselves."""
    source = write_beir(directory)
    tables = own_tables()
    texts = dict(tables["documents"].select("doc_id", pl.concat_str("title", "text", separator=" ")).iter_rows())
    queries = [f"p{number:02d}" for number in range(0, 60, 2)]
    lines = [json.dumps({"_id": query, "text": texts[query]}) for query in queries]
    (source / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = [f"{query}\tp{int(query[1:]) + 1:02d}\t1" for query in queries]
    rows += ["p00\tp00\t1", "p02\tp02\t1", "p04\tp06\t0"]
    (source / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return source


def test_a_document_with_the_id_of_a_query_is_in_no_pool_of_it(tmp_path, capsys):
    source = self_retrieving(tmp_path / "in")
    out = str(tmp_path / "out")
    prepare.main(["beir", "--source", str(source), "--out", out, "--keep-splits", "--pool-size", "89"])
    told = capsys.readouterr().out
    assert "  30 queries have the id of a document, which is never ranked for them" in told
    assert "  2 judgements name a document with the id of their query" in told
    data = load_prepared(out)
    counts = data.manifest["counts"]
    assert (counts["queries_identical_to_document"], counts["judgements_identical_to_query"]) == (30, 2)
    ids = data.documents["doc_id"]
    assert ids.gather(data.own_documents).to_list() == data.queries["query_id"].to_list()
    for query, rows in data.pools.iter_rows():
        assert set(ids.gather(rows)) == set(ids) - {query}  # 89 of 90 documents: all others
    rewards, rankings = measure(out, "test", candidates="pool")
    assert not any(query in ranking for query, ranking in rankings.items())
    expected = published_ndcg(source, "test", rankings)
    np.testing.assert_allclose([rewards[query] for query in expected], list(expected.values()), atol=1e-12)
    assert rewards["p00"] < 1 / (1 + 1 / np.log2(3)) + 1e-12  # its own judgement stays in the ideal ranking


def test_a_query_that_only_itself_answers_is_left_out(tmp_path):
    source = self_retrieving(tmp_path / "in")
    qrels = source / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text().replace("p00\tp01\t1\n", ""))
    data = prepare_beir(source, tmp_path / "out", pool_size=20)
    assert "p00" not in set(data.queries["query_id"])
    assert data.manifest["counts"]["queries_without_full_gain"] == 1
    assert data.manifest["counts"]["judgements_identical_to_query"] == 1


def test_equal_ids_of_tables_of_ones_own_mean_nothing(tmp_path):
    tables = own_tables()
    tables["queries"] = tables["queries"].with_columns(query_id=pl.format("p{}", pl.col("query_id").str.tail(2)))
    tables["qrels"] = tables["qrels"].with_columns(query_id=pl.format("p{}", pl.col("query_id").str.tail(2)))
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=90)
    assert set(data.queries["query_id"]) <= set(data.documents["doc_id"])
    assert data.own_documents.null_count() == 30
    assert (data.pools["doc_rows"].list.len() == 90).all()
