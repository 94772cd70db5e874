"""The prepared directory: what it refuses to hold, and how it is read."""

import json

import polars as pl
import pytest

from envs_data import DataError, load_prepared, write_prepared


def _tables(**changes):
    pools = pl.DataFrame({"query_id": ["q"], "doc_rows": [[0, 1]]})
    tables = {
        "documents": pl.DataFrame({"doc_id": ["a", "b"], "title": ["a", "b"], "text": ["a", "b"]}),
        "queries": pl.DataFrame(
            {"query_id": ["q"], "split": ["train"], "query": ["a"], "history": [[]], "intent": [[]]}
        ),
        "pools": pools,
        "qrels": pl.DataFrame({"query_id": ["q"], "doc_row": [0], "gain": [1.0]}),
        "demonstrations": pl.DataFrame({"query_id": ["q"], "text": ["a"]}),
    }
    return tables | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pools": pl.DataFrame({"query_id": ["q"], "doc_rows": [[1, 0]]})}, "ascending and none twice"),
        ({"pools": pl.DataFrame({"query_id": ["q"], "doc_rows": [[0, 0]]})}, "ascending and none twice"),
        ({"pools": pl.DataFrame({"query_id": ["q"], "doc_rows": [[0, 2]]})}, "existing document rows"),
        ({"pools": pl.DataFrame({"query_id": ["p"], "doc_rows": [[0, 1]]})}, "the queries' ids"),
        (
            {"qrels": pl.DataFrame({"query_id": ["q"] * 2, "doc_row": [0, 0], "gain": [1.0, 0.1]})},
            "judge a document once",
        ),
        ({"qrels": pl.DataFrame({"query_id": ["q"], "doc_row": [0], "gain": [0.1]})}, "no document of full gain"),
        ({"demonstrations": pl.DataFrame({"query_id": ["p"], "text": ["a"]})}, "training queries only"),
        ({"documents": pl.DataFrame({"doc_id": ["a"], "title": ["a"]})}, "missing text"),
    ],
)
def test_tables_that_break_the_layout(tmp_path, changes, message):
    rest = {"dataset": "d", "synthetic": False, "arguments": {}, "sources": {}, "counts": {}}
    write_prepared(tmp_path / "right", _tables(), **rest)
    with pytest.raises(DataError, match=message):
        write_prepared(tmp_path / "wrong", _tables(**changes), **rest)
    assert [path.name for path in tmp_path.iterdir()] == ["right"]


def write(path):
    rest = {"dataset": "d", "synthetic": False, "arguments": {}, "sources": {}, "counts": {}}
    return write_prepared(path, _tables(), **rest)


def test_what_is_written_is_read(tmp_path):
    written, read = write(tmp_path / "data"), load_prepared(tmp_path / "data")
    assert read.manifest == written.manifest
    assert read.fingerprint == written.fingerprint
    for name in ("documents", "queries", "pools", "qrels", "demonstrations"):
        assert getattr(read, name).equals(getattr(written, name))


def test_an_earlier_directory_is_replaced_and_anything_else_is_kept(tmp_path):
    write(tmp_path / "data")
    write(tmp_path / "data")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not a prepared directory"):
        write(tmp_path / "notes")
    with pytest.raises(DataError, match="a directory that can be written to"):
        write(tmp_path / "notes" / "mine.txt" / "data")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "notes"]


def test_what_is_not_a_prepared_directory(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_prepared(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no manifest\.json"):
        load_prepared(tmp_path)
    write(tmp_path / "data")
    (tmp_path / "data" / "qrels.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="is not a Parquet file"):
        load_prepared(tmp_path / "data")
    (tmp_path / "data" / "qrels.parquet").unlink()
    with pytest.raises(DataError, match=r"expected the file qrels\.parquet"):
        load_prepared(tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.json"
    manifest.write_text(json.dumps({"format_version": 99}))
    with pytest.raises(DataError, match="format version 99"):
        load_prepared(tmp_path / "data")
    manifest.write_text("[]")
    with pytest.raises(DataError, match="is not a manifest"):
        load_prepared(tmp_path / "data")
