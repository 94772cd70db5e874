"""A directory in the layout of BEIR to a prepared one: splits, grades, blank documents, and what is refused."""

import gzip
import json

import polars as pl
import pytest

from envs_data import DataError, FileFaults, load_prepared, prepare_beir, prepare_tables
from ospo_cli import prepare
from own_files import own_tables, write_beir, write_own


@pytest.mark.parametrize(
    ("files", "keep", "sizes"),
    [
        (("test",), False, {"train": 24, "validation": 3, "test": 3}),
        (("test",), True, {"test": 30}),
        (("train", "test"), False, {"train": 13, "validation": 2, "test": 15}),
        (("train", "test"), True, {"train": 15, "test": 15}),
        (("train", "dev", "test"), False, {"train": 10, "validation": 10, "test": 10}),
        (("dev", "test"), False, {"train": 24, "validation": 3, "test": 3}),
    ],
)
def test_splits_of_the_layout_of_beir(files, keep, sizes, tmp_path):
    source = write_beir(tmp_path / "in", files)
    data = prepare_beir(source, tmp_path / "out", keep_splits=keep, pool_size=20)
    assert dict(data.queries["split"].value_counts().iter_rows()) == sizes
    counts = data.manifest["counts"]
    assert counts["queries_without_judgement"] == 1
    assert data.qrels.height == 90
    assert data.manifest["dataset"] == "beir"
    if "train" in files:
        official = {str(100 + i) for i in range(30) if (100 + i) % len(files) == len(files) - 1}
        assert set(data.queries.filter(split="test")["query_id"]) == official
    assert data.demonstrations.is_empty() == ("train" not in sizes)


def test_grades_of_the_layout_of_beir(tmp_path):
    source = write_beir(tmp_path / "in", score=2)
    assert set(prepare_beir(source, tmp_path / "one").qrels["gain"]) == {0.0, 1.0}
    qrels = source / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text().replace("\t0\n", "\t1\n"))
    assert set(prepare_beir(source, tmp_path / "one").qrels["gain"]) == {1.0}
    assert set(prepare_beir(source, tmp_path / "two", full_gain=2.0).qrels["gain"]) == {0.5, 1.0}


def test_blank_documents_of_the_layout_of_beir_are_kept_and_counted(tmp_path, capsys):
    source = write_beir(tmp_path / "in")
    with (source / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "empty", "title": "", "text": ""}\n')
    prepare.main(["beir", "--source", str(source), "--out", str(tmp_path / "out")])
    assert "  1 documents have neither title nor text" in capsys.readouterr().out
    assert load_prepared(tmp_path / "out").documents.height == 91


def test_directories_that_are_not_of_that_layout(tmp_path):
    with pytest.raises(DataError, match="nowhere, but it does not exist"):
        prepare_beir(tmp_path / "nowhere", tmp_path / "out")
    source = write_beir(tmp_path / "in")
    (source / "qrels" / "test.tsv").rename(source / "qrels" / "other.tsv")
    with pytest.raises(DataError, match=r"named train\.tsv, .*; got 'other\.tsv': rename"):
        prepare_beir(source, tmp_path / "out")
    (source / "qrels" / "other.tsv").unlink()
    with pytest.raises(DataError, match="there are none of these"):
        prepare_beir(source, tmp_path / "out")
    (source / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"expected the file corpus\.jsonl in"):
        prepare_beir(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["validation.tsv", "Dev.tsv", "VAL.TSV", "valid.tsv.gz"])
def test_names_of_the_validation_file(name, tmp_path):
    source = write_beir(tmp_path / "in", ("train", "dev", "test"))
    expected = prepare_beir(source, tmp_path / "dev", pool_size=20)
    dev = source / "qrels" / "dev.tsv"
    content = dev.read_bytes()
    dev.unlink()
    packed = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    (source / "qrels" / name).write_bytes(packed)
    (source / "qrels" / "README.md").write_text("about these files")
    (source / "qrels" / ".DS_Store").write_bytes(b"")
    data = prepare_beir(source, tmp_path / "out", pool_size=20)
    assert data.queries.equals(expected.queries)
    assert dict(data.queries["split"].value_counts().iter_rows()) == {"train": 10, "validation": 10, "test": 10}
    assert data.manifest["arguments"]["splits_drawn"] == []


@pytest.mark.parametrize("name", ["dev2.tsv", "test.txt", "more", "dev.csv"])
def test_files_of_judgements_of_another_name_are_not_ignored(name, tmp_path):
    source = write_beir(tmp_path / "in", ("train", "test"))
    (source / "qrels" / name).write_text("query-id\tcorpus-id\tscore\n100\tp00\t1\n")
    with pytest.raises(DataError, match=rf"named train\.tsv, .*; got '{name}': rename or move it"):
        prepare_beir(source, tmp_path / "out")


def test_one_file_of_judgements_a_split(tmp_path):
    source = write_beir(tmp_path / "in", ("train", "dev", "test"))
    (source / "qrels" / "validation.tsv").write_text("query-id\tcorpus-id\tscore\n100\tp00\t1\n")
    with pytest.raises(DataError, match=r"one file of validation judgements in .*, got dev\.tsv and validation\.tsv"):
        prepare_beir(source, tmp_path / "out")


def test_negative_judgements_are_judged_and_count_as_zero(tmp_path, capsys):
    """As in trec-covid and touche2020; in tables of one's own they stay a fault."""
    source = write_beir(tmp_path / "in")
    qrels = source / "qrels" / "test.tsv"
    zero = prepare_beir(source, tmp_path / "zero", pool_size=20)
    lines = qrels.read_text().splitlines()
    zeros = [place for place, line in enumerate(lines) if line.endswith("\t0")]
    for place, score in zip(zeros[:3], ["-1", "-2", "-0.5"], strict=True):
        lines[place] = f"{lines[place][:-1]}{score}"
    qrels.write_text("\n".join(lines))
    prepare.main(["beir", "--source", str(source), "--out", str(tmp_path / "out"), "--pool-size", "20"])
    data = load_prepared(tmp_path / "out")
    assert data.manifest["files"] == zero.manifest["files"]
    assert data.manifest["counts"]["judgements_negative"] == 3
    assert "  3 judgements are below 0" in capsys.readouterr().out
    tables = own_tables()
    tables["qrels"] = tables["qrels"].with_columns(gain=pl.col("gain") - 2)
    with pytest.raises(FileFaults, match=r"expected a finite number of at least 0, got '-1\.0'"):
        prepare_tables(**write_own(tmp_path / "own", tables), out=tmp_path / "own out")


def test_long_queries_are_counted(tmp_path, capsys):
    source = write_beir(tmp_path / "in")
    queries = source / "queries.jsonl"
    rows = [json.loads(line) for line in queries.read_text().splitlines()]
    for row, n_words in zip(rows, (16, 17, 40), strict=False):
        row["text"] = " ".join(["word-s"] * (n_words // 2) + ["word"] * (n_words % 2))  # two words each
    queries.write_text("\n".join(map(json.dumps, rows)))
    prepare.main(["beir", "--source", str(source), "--out", str(tmp_path / "out"), "--pool-size", "20"])
    assert load_prepared(tmp_path / "out").manifest["counts"]["queries_over_16_words"] == 2
    assert "  2 queries have more than 16 words" in capsys.readouterr().out
