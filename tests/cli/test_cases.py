"""Small inputs of public bug reports, through `ospo prepare` and `ospo evaluate`: each gives the right numbers.

Right values are computed by hand (in most of these inputs one document answers a query, and one word finds it), or by
trec_eval's own code on the files that went in.
"""

import json

import numpy as np
import polars as pl
import pytest
import pytrec_eval

from envs_data import DataError, FileFaults, load_prepared
from minilm import DIRECTORY, needs_minilm
from ospo_cli import evaluate, prepare
from paths import SHARED_CASES

pytestmark = pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"needs {SHARED_CASES}")


@pytest.fixture
def run(tmp_path):
    return Commands(tmp_path)


class Commands:
    """The two commands on one of the inputs, and what they write."""

    def __init__(self, directory):
        self.out, self.json, self.trec = directory / "out", directory / "metrics.json", directory / "trec"

    def table(self, case, *options, **files):
        """The prepared tables of files of the case, each by its name there."""
        command = [part for name, file in files.items() for part in (f"--{name}", str(SHARED_CASES / case / file))]
        prepare.main(["table", *command, "--out", str(self.out), *options])
        return load_prepared(self.out)

    def beir(self, case, *options):
        prepare.main(["beir", "--source", str(SHARED_CASES / case), "--out", str(self.out), *options])
        return load_prepared(self.out)

    def evaluate(self, *options, policy="query", retriever="bm25", metric="nDCG@10"):
        """The mean of a metric over the test queries."""
        command = ["--env", "OSPO-Rewrite-v0", "--data", str(self.out), "--policy", policy, "--retrievers", retriever]
        evaluate.main([*command, "--metric", metric, "--json", str(self.json), "--trec", str(self.trec), *options])
        return json.loads(self.json.read_text())["policies"][policy]["metrics"][retriever][metric]

    def trec_run(self, name="query.bm25"):
        """Scores of each query's documents, in the TREC file that was written."""
        scores = {}
        for line in (self.trec / f"{name}.run").read_text().splitlines():
            query, _, document, _, score, _ = line.split()
            scores.setdefault(query, {})[document] = float(score)
        return scores


def ndcg(qrels, scores):
    """nDCG@10 of trec_eval, of the queries that have a line."""
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(scores)
    return {query: values["ndcg_cut_10"] for query, values in found.items()}


def read_qrels(path, separator):
    frame = pl.read_csv(path, separator=separator, new_columns=["query", "document", "level"])
    qrels = {}
    for query, document, level in frame.iter_rows():
        qrels.setdefault(query, {})[document] = level
    return qrels


BOTH = pytest.mark.parametrize("candidates", ["pool", "corpus"])
SHOES = {"documents": "documents.csv", "queries": "queries.csv", "qrels": "qrels.csv"}


@BOTH
def test_f1_a_query_that_is_a_document_is_not_ranked_for_itself(run, candidates, capsys):
    """Each query is the document `argNa`, and `argNb` is the only one that shares most of its words."""
    data = run.beir("F1_query_in_corpus", "--keep-splits")
    assert data.manifest["counts"]["queries_identical_to_document"] == 40
    assert "40 queries have the id of a document, which is never ranked for them" in capsys.readouterr().out
    assert run.evaluate("--candidates", candidates) == 1.0
    assert all(query not in ranked for query, ranked in run.trec_run().items())


def test_f2_a_list_or_object_is_one_even_if_its_first_member_is_null(run, tmp_path):
    for file in ("documents.jsonl", "documents_refused.jsonl"):
        with pytest.raises(FileFaults) as caught:
            run.table("F2_null_first", documents=file, queries="queries.jsonl", qrels="qrels.csv")
        rows = [f"{SHARED_CASES / 'F2_null_first' / file}, row {row}, column text: expected a" for row in (31, 32)]
        assert [fault.startswith(row) for fault, row in zip(caught.value.faults, rows, strict=True)] == [True, True]
    texts = (SHARED_CASES / "F2_null_first" / "documents.jsonl").read_text().splitlines()[:30]
    documents = tmp_path / "documents.jsonl"
    documents.write_text("\n".join(texts))
    data = run.table("F2_null_first", documents=documents, queries="queries.jsonl", qrels="qrels.csv")
    assert data.queries["history"].to_list() == [["red dress"]] * 20
    assert run.evaluate() == 1.0


@BOTH
@pytest.mark.parametrize("options", [[], ["--graded"]])
def test_f3_negative_judgements_are_judged_and_not_relevant(run, candidates, options):
    data = run.beir("F3_negative_judgements", "--keep-splits", *options)
    assert (data.queries.height, data.qrels.height) == (20, 22)
    assert data.manifest["counts"]["judgements_negative"] == 2
    assert (data.qrels["gain"] == 0).sum() == 2
    mean = run.evaluate("--candidates", candidates)
    scores = ndcg(read_qrels(SHARED_CASES / "F3_negative_judgements" / "qrels" / "test.tsv", "\t"), run.trec_run())
    assert mean == pytest.approx(np.mean(list(scores.values())), abs=1e-12)
    assert mean == 1.0  # the only word of a query that only its document has


def test_f4_quotes_in_tsv_swallow_no_rows(run):
    data = run.table("F4_tsv_quotes", **SHOES | {"documents": "documents.tsv"})
    texts = dict(zip(data.documents["doc_id"], data.documents["text"], strict=True))
    assert len(texts) == 33
    assert [texts[name] for name in ("x1", "x2", "x3")] == ['"big box', "small box", 'lamp 12"']
    assert run.evaluate() == 1.0


def test_f5_gains_of_32_bits_are_their_decimals(run):
    digests = []
    for file in ("qrels_float32.parquet", "qrels_float64.parquet"):
        data = run.table("F5_float32_gain", "--full-gain", "0.7", **SHOES | {"qrels": file})
        assert (data.queries.height, set(data.qrels["gain"])) == (20, {1.0})
        digests.append(data.manifest["files"])
        assert run.evaluate() == 1.0
        data = run.table("F5_float32_gain", "--full-gain", "0.7", "--graded", **SHOES | {"qrels": file})
        assert set(data.qrels["gain"]) == {1.0, 1.0 / 0.7}
    assert digests[0] == digests[1]


def test_f6_a_run_says_which_queries_have_no_line(run, capsys):
    run.table("F6_trec_unmatched", **SHOES)
    capsys.readouterr()
    mean = run.evaluate()
    told = capsys.readouterr().out
    assert "query.bm25.run: 10 of 20 queries have no line, as nothing matches their texts" in told
    assert "call trec_eval with -c" in told
    scores = ndcg(read_qrels(SHARED_CASES / "F6_trec_unmatched" / "qrels.csv", ","), run.trec_run())
    assert len(scores) == 10
    assert mean == pytest.approx(sum(scores.values()) / 20, abs=1e-12)  # what trec_eval -c prints
    assert round(mean, 3) == 0.254
    assert round(np.mean(list(scores.values())), 3) == 0.509  # what it prints without


@needs_minilm
@BOTH
def test_f7_blank_documents_are_matched_by_nothing(run, candidates, capsys):
    data = run.beir("F7_blank_dense", "--keep-splits")
    assert data.manifest["counts"]["documents_blank"] == 3
    assert "3 documents have neither title nor text" in capsys.readouterr().out
    run.evaluate("--candidates", candidates, retriever=f"dense:{DIRECTORY}")
    (file,) = run.trec.glob("*.run")
    rankings = run.trec_run(file.stem)
    with_words = ["d0", "d1", "d2", "d3", "d4", "d5"]
    assert [(query, sorted(ranked)) for query, ranked in sorted(rankings.items())] == [
        (query, with_words) for query in ("q0", "q1", "q2")
    ]


def test_f8_a_text_in_brackets_is_a_text(run):
    tables = [
        run.table("F8_bracket_text", **SHOES | {"documents": file}).manifest["files"]
        for file in ("documents.csv", "documents.jsonl")
    ]
    assert tables[0] == tables[1]
    documents = load_prepared(run.out).documents.frame
    assert documents.filter(pl.col("doc_id") == "x1").rows() == [("x1", "Lamp", "Lamp\n[]")]
    assert run.evaluate() == 1.0


@BOTH
def test_f11_a_long_query_is_not_cut(run, candidates, capsys):
    """The last four of 20 words are those that a query shares with its document."""
    data = run.beir("F11_long_queries", "--keep-splits")
    assert data.manifest["counts"]["queries_over_16_words"] == 40
    assert "40 queries have more than 16 words" in capsys.readouterr().out
    assert run.evaluate("--candidates", candidates) == 1.0


def test_f12_split_files_have_several_names(run, tmp_path):
    data = run.beir("F12_split_names")
    numbers = data.queries.select("split", number=pl.col("query_id").str.slice(1).cast(pl.Int64))
    splits = {name: sorted(numbers.filter(split=name)["number"]) for name in ("train", "validation", "test")}
    assert splits == {"train": [*range(10)], "validation": [*range(10, 20)], "test": [*range(20, 30)]}
    assert run.evaluate() == run.evaluate("--split", "validation") == 1.0
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv", "qrels/validation.tsv", "qrels/test.tsv"):
        copy = tmp_path / "in" / name.replace("validation", "dev2")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((SHARED_CASES / "F12_split_names" / name).read_bytes())
    with pytest.raises(DataError, match=r"got 'dev2\.tsv': rename or move it"):
        prepare.main(["beir", "--source", str(tmp_path / "in"), "--out", str(tmp_path / "other")])
