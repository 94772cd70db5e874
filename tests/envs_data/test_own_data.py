"""A user's own data to a prepared directory: the same from every format, seeded, and a task like any other."""

import gymnasium as gym
import ir_measures
import numpy as np
import polars as pl
import pytest

from envs_data import DataError, prepare_tables, write_prepared
from envs_data.files import SYNTHETIC_MARK
from official_files import judged_ids
from ospo_cli import evaluate, prepare
from ospo_env import TaskError
from own_files import FORMATS, own_tables, write_beir, write_own, write_table


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    directory = tmp_path_factory.mktemp("own")
    return prepare_tables(**write_own(directory / "in"), out=directory / "out", pool_size=20)


@pytest.mark.parametrize("ending", [*FORMATS, "jsonl.gz"])
def test_every_format_and_order_gives_the_same_bytes(own, ending, tmp_path):
    shuffled = {name: table.sample(fraction=1, shuffle=True, seed=3) for name, table in own_tables().items()}
    data = prepare_tables(**write_own(tmp_path / "in", shuffled, ending), out=tmp_path / "out", pool_size=20)
    assert data.manifest["files"] == own.manifest["files"]
    assert set(data.manifest["sources"]) == {"documents", "queries", "qrels"}
    other = prepare_tables(**write_own(tmp_path / "in", shuffled, ending), out=tmp_path / "out", pool_size=20, seed=1)
    assert all(other.manifest["files"][name] != digest for name, digest in own.manifest["files"].items())


def test_documents_queries_and_gains_are_those_given(own):
    tables = own_tables()
    given = {row["doc_id"]: row for row in tables["documents"].iter_rows(named=True)}
    for row in own.documents.frame.iter_rows(named=True):
        title, text = given[row["doc_id"]]["title"], given[row["doc_id"]]["text"]
        assert (row["title"], row["text"]) == (title, f"{title}\n{text}" if title else text)
    asked = own.queries.sort("query_id").select("query_id", "query", "history")
    assert asked.equals(tables["queries"])
    expected = {(query, doc): gain / 3 for query, doc, gain in tables["qrels"].iter_rows()}
    assert judged_ids(own) == pytest.approx(expected, abs=1e-15)
    assert own.documents["doc_id"].to_list() != sorted(given)


def test_pools_hold_all_judged_documents(own):
    pools = own.pools.explode("doc_rows").rename({"doc_rows": "doc_row"})
    assert own.qrels.join(pools, on=["query_id", "doc_row"], how="anti").is_empty()
    assert own.pools["doc_rows"].list.len().to_list() == [20] * 30
    counts = own.manifest["counts"]
    assert counts["pool_judged"] == 90
    assert counts["pool_hard"] + counts["pool_hard_missing"] == 30 * 9  # half of 17 places, rounded half up


def test_hard_and_related_negatives(tmp_path):
    kinds = ["target", "hard", "related", "other", "other", "other"]
    titles = {"target": "alpha", "hard": "alpha", "related": "beta"}
    documents = pl.DataFrame(
        {
            "doc_id": [f"{kinds[i % 6]}{i}" for i in range(120)],
            "title": [titles.get(kinds[i % 6], f"gamma{i}") for i in range(120)],
            "text": ["same"] * 120,
        }
    )
    tables = {
        "documents": documents,
        "queries": pl.DataFrame({"query_id": ["q"], "query": ["beta please"]}),
        "qrels": pl.DataFrame({"query_id": ["q"], "doc_id": ["target0"]}),
    }
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=11)
    pool = data.documents["doc_id"].gather(data.pools["doc_rows"][0]).str.replace(r"\d+", "").to_list()
    assert pool.count("hard") + pool.count("target") >= 1 + 5
    assert pool.count("related") >= 3
    assert data.manifest["counts"] | {"pool_hard": 5, "pool_related": 3, "pool_random": 2} == data.manifest["counts"]


def test_without_titles_the_text_stands_for_them(tmp_path):
    tables = own_tables()
    tables["documents"] = tables["documents"].drop("title")
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=20)
    assert set(data.documents["title"]) == {""}
    assert data.manifest["counts"]["pool_hard"] > 0
    assert data.demonstrations.height == 48


@pytest.mark.parametrize(
    ("level", "gains"), [(None, {1 / 3, 2 / 3, 1.0}), (2.0, {0.5, 1.0}), (1.0, {1.0}), (3.0, None)]
)
def test_full_gain(level, gains, own, tmp_path):
    data = prepare_tables(**write_own(tmp_path / "in"), out=tmp_path / "out", pool_size=20, full_gain=level)
    if gains is None:
        assert data.manifest == own.manifest  # the largest level is the default
    else:
        assert set(data.qrels["gain"]) == gains
    assert data.queries.height == 30


def test_queries_that_no_document_answers_in_full_are_left_out_and_counted(tmp_path, capsys):
    tables = own_tables()
    tables["qrels"] = tables["qrels"].filter((pl.col("gain") < 3) | (pl.col("query_id").cast(pl.Int64) < 110))
    files = write_own(tmp_path / "in", tables)
    command = ["table", "--out", str(tmp_path / "out"), "--pool-size", "20"]
    for name, path in files.items():
        command += [f"--{name}", str(path)]
    prepare.main(command)
    printed = capsys.readouterr().out
    assert "queries         10: 8 train, 1 validation, 1 test" in printed
    assert "20 queries without a document of full gain" in printed
    assert "40 judgements of the queries left out" in printed
    assert "Splits: train, validation, test were drawn by seed" in printed
    assert "Warning: most judged queries were left out; a lower --full-gain keeps more of them." in printed
    prepare.main([*command, "--full-gain", "2"])
    printed = capsys.readouterr().out
    assert "queries         30" in printed
    assert "left out" not in printed
    with pytest.raises(DataError, match=r"at least 9, which is full gain, .* the largest is 3"):
        prepare.main([*command, "--full-gain", "9"])


def test_a_column_of_splits_is_kept(tmp_path):
    tables = own_tables()
    names = [("train", "validation", "test")[i % 3] for i in range(30)]
    tables["queries"] = tables["queries"].with_columns(split=pl.Series(names))
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=20)
    found = data.queries.sort("query_id")
    assert found["split"].to_list() == names
    assert data.manifest["arguments"]["splits_drawn"] == []
    assert set(data.demonstrations["query_id"]) == set(found.filter(split="train")["query_id"])


def test_shares_of_drawn_splits(own, tmp_path):
    assert own.queries["split"].value_counts(sort=True)["count"].to_list() == [24, 3, 3]
    files = write_own(tmp_path / "in")
    data = prepare_tables(**files, out=tmp_path / "out", validation_share=0.0, test_share=0.5)
    assert dict(data.queries["split"].value_counts().iter_rows()) == {"train": 15, "test": 15}
    for wrong in ({"validation_share": 1.0}, {"test_share": -0.1}, {"validation_share": 0.6, "test_share": 0.4}):
        with pytest.raises(DataError, match=r"share must be a number from 0|must sum to less than 1"):
            prepare_tables(**files, out=tmp_path / "out", **wrong)
    for wrong in ({"full_gain": 0.0}, {"full_gain": float("nan")}, {"pool_size": 1}, {"seed": -1}):
        with pytest.raises(DataError, match="must be a"):
            prepare_tables(**files, out=tmp_path / "out", **wrong)


def test_unknown_ids_may_be_skipped_and_equal_judgements_repeat(tmp_path):
    tables = own_tables()
    more = [("100", "gone", 1.0), ("nobody", "p01", 1.0), ("100", "p00", 3.0)]
    tables["qrels"] = pl.concat([tables["qrels"], pl.DataFrame(more, schema=tables["qrels"].schema, orient="row")])
    tables["demonstrations"] = pl.DataFrame({"query_id": ["nobody"], "text": ["red kettle"]})
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", skip_unknown=True)
    counts = data.manifest["counts"]
    left = ("judgements_without_document", "judgements_without_query", "judgements_repeated")
    assert [counts[name] for name in (*left, "demonstrations_without_query")] == [1, 1, 1, 1]
    assert data.qrels.height == own_tables()["qrels"].height
    assert data.demonstrations.is_empty()


def test_demonstrations_given_are_kept_for_training_queries(own, tmp_path):
    shown = pl.DataFrame({"query_id": own_tables()["queries"]["query_id"], "text": ["a rewrite"] * 30})
    files = write_own(tmp_path / "in", own_tables() | {"demonstrations": shown})
    data = prepare_tables(**files, out=tmp_path / "out", pool_size=20)
    training = own.queries.filter(split="train")["query_id"]
    assert set(data.demonstrations["query_id"]) == set(training)
    assert set(data.demonstrations["text"]) == {"a rewrite"}
    assert data.manifest["counts"]["demonstrations_not_of_training"] == 30 - len(training)
    assert data.pools.equals(own.pools)
    assert set(own.demonstrations["query_id"]) == set(training)


def test_a_history_in_a_csv_file_may_have_another_separator(own, tmp_path):
    tables = own_tables()
    files = write_own(tmp_path / "in", tables)
    tables["queries"] = tables["queries"].with_columns(pl.col("history").list.join(" ; "))
    files["queries"] = write_table(tmp_path / "in", "queries", tables["queries"], "csv")
    data = prepare_tables(**files, out=tmp_path / "out", pool_size=20, history_separator=";")
    assert data.queries.equals(own.queries)
    with pytest.raises(DataError, match="history separator of one character or more"):
        prepare_tables(**files, out=tmp_path / "out", history_separator="")


def test_generated_files_say_so(own, tmp_path):
    files = write_own(tmp_path / "in")
    (tmp_path / "in" / SYNTHETIC_MARK).write_text("{}")
    assert prepare_tables(**files, out=tmp_path / "out").synthetic
    assert not own.synthetic


def test_the_files_read_are_never_written_over(tmp_path):
    files = write_own(tmp_path / "out")
    command = ["table", "--out", str(tmp_path / "out")]
    for name, path in files.items():
        command += [f"--{name}", str(path)]
    with pytest.raises(DataError, match="holds the source"):
        prepare.main(command)


@pytest.mark.parametrize("kind", ["table", "beir"])
def test_from_files_to_a_step(kind, tmp_path):
    if kind == "beir":
        command = ["--source", str(write_beir(tmp_path / "in"))]
    else:
        command = [f"--{name}={path}" for name, path in write_own(tmp_path / "in").items()]
    prepare.main([kind, *command, "--out", str(tmp_path / "out"), "--pool-size", "20"])
    with gym.make("OSPO-Rewrite-v0", data=str(tmp_path / "out")) as env:
        prompt, info = env.reset(seed=0)
        assert prompt.startswith(info["query"])
        task = env.unwrapped.task
        examples = task.demonstrations()
        rewards = task.rewards(*zip(*examples, strict=True))
        assert np.isfinite(rewards).all()
        assert rewards.mean() > 0.1
        env.reset(options={"query_id": examples[0][0]})
        assert env.step(examples[0][1])[1] == rewards[0]


def test_trec_files_hold_the_levels_given(own, tmp_path):
    """Gains of thirds become whole numbers again, and other tools rank the queries alike."""
    data = str(own_directory(own, tmp_path))
    given = ["--env", "OSPO-Rewrite-v0", "--data", data, "--policy", "query"]
    evaluate.main([*given, "--retrievers", "bm25", "--trec", str(tmp_path / "trec")])
    (run,) = (tmp_path / "trec").glob("*.run")
    levels = {(each.query_id, each.doc_id): each.relevance for each in read_qrels(tmp_path)}
    asked = set(own.queries.filter(split="test")["query_id"])
    rows = own_tables()["qrels"].filter(pl.col("query_id").is_in(asked)).iter_rows()
    assert levels == {(query, doc): int(gain) for query, doc, gain in rows}
    task = gym.make("OSPO-Rewrite-v0", data=data).unwrapped.task
    ids, _ = task.prompts("test")
    queries = [task.query(query_id).query for query_id in ids]
    measured = ir_measures.iter_calc([ir_measures.nDCG @ 10], read_qrels(tmp_path), read_run(run))
    found = {each.query_id: each.value for each in measured}
    np.testing.assert_allclose([found.get(query_id, 0.0) for query_id in ids], task.rewards(ids, queries), atol=1e-12)
    assert any(found.values())


@pytest.mark.parametrize("column", ["doc_id", "query_id"])
def test_ids_with_white_space_are_no_matter_until_trec_files_are_asked_for(column, tmp_path, capsys):
    tables = {
        name: table.with_columns(pl.format("id {}", column).alias(column)) if column in table.columns else table
        for name, table in own_tables().items()
    }
    prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=20)
    given = ["--env", "OSPO-Rewrite-v0", "--data", str(tmp_path / "out"), "--policy", "query", "--retrievers", "bm25"]
    evaluate.main(given)
    assert "test queries of OSPO-Rewrite-v0 (own, real data)" in capsys.readouterr().out
    with pytest.raises(TaskError, match=r"expected ids without white space, which TREC files need; got 'id \w+'"):
        evaluate.main([*given, "--trec", str(tmp_path / "trec")])
    assert list((tmp_path / "trec").glob("*")) == []
    assert capsys.readouterr().out == ""


def own_directory(own, tmp_path):
    tables = {name: getattr(own, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    write_prepared(tmp_path / "own", tables, dataset="own", synthetic=False, arguments={}, sources={}, counts={})
    return tmp_path / "own"


def read_qrels(directory):
    return list(ir_measures.read_trec_qrels(str(directory / "trec" / "qrels.txt")))


def read_run(path):
    return list(ir_measures.read_trec_run(str(path)))
