"""The prepared directory: what it refuses to hold, to replace and to read."""

import json
from pathlib import Path

import polars as pl
import pytest

from envs_data import DataError, load_prepared, prepare_beir, write_prepared
from envs_data.files import file_sha256
from envs_data.writing import check_replaceable
from official_files import table

NAMES = ("documents", "queries", "pools", "qrels", "demonstrations")


def frame(**columns):
    return pl.DataFrame(columns)


def _tables(**changes):
    tables = {
        "documents": frame(doc_id=["a", "b"], title=["a", "b"], text=["a", "b"]),
        "queries": frame(query_id=["q"], split=["train"], query=["a"], history=[["a"]], intent=[[]]),
        "pools": frame(query_id=["q"], doc_rows=[[0, 1]]),
        "qrels": frame(query_id=["q"], doc_row=[0], gain=[1.0]),
        "demonstrations": frame(query_id=["q"], text=["a"]),
    }
    return tables | changes


def write(path, **changes):
    rest = {"dataset": "d", "synthetic": False, "arguments": {}, "sources": {}, "counts": {}}
    return write_prepared(path, _tables(**changes), **rest)


def change_manifest(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def seal(path):
    """Make the manifest list the files as they are now, so that digests find nothing wrong."""
    files = {f"{name}.parquet": file_sha256(path / f"{name}.parquet") for name in NAMES}
    change_manifest(path, lambda manifest: manifest.update(files=files))


def error_of(call):
    with pytest.raises(DataError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


QUERY = {"query_id": ["q"], "split": ["train"], "query": ["a"], "history": [["a"]], "intent": [[]]}
WRONG_TABLES = [
    ("documents", frame(doc_id=[], title=[], text=[]), "no documents are left"),
    ("documents", frame(doc_id=["a", "a"], title=["a", "b"], text=["a", "b"]), "doc_id must be unique"),
    ("documents", frame(doc_id=["a", None], title=["a", "b"], text=["a", "b"]), "every row of doc_id; 1 are null"),
    ("documents", frame(doc_id=["a", "b"], title=["a", "b"], text=["a", None]), "every row of text; 1 are null"),
    ("queries", frame(**QUERY | {"query": [None]}), "every row of query; 1 are null"),
    ("queries", frame(**QUERY | {"history": [None]}), "every row of history; 1 are null"),
    ("queries", frame(**QUERY | {"history": [["a", None, "b"]]}), "every row of history; 1 are null"),
    ("queries", frame(**QUERY | {"split": ["tset"]}), "split must be one of"),
    ("pools", frame(query_id=["q"], doc_rows=[[1, 0]]), "ascending and none twice"),
    ("pools", frame(query_id=["q"], doc_rows=[[0, 0]]), "ascending and none twice"),
    ("pools", frame(query_id=["q"], doc_rows=[[0, 2]]), "existing document rows"),
    ("pools", frame(query_id=["q"], doc_rows=[[]]), "existing document rows, at least one"),
    ("pools", frame(query_id=["p"], doc_rows=[[0, 1]]), "the queries' ids"),
    ("qrels", frame(query_id=["q"] * 2, doc_row=[0, 0], gain=[1.0, 0.1]), "judge a document once"),
    ("qrels", frame(query_id=["q"], doc_row=[0], gain=[0.1]), "no document of full gain"),
    ("qrels", frame(query_id=[], doc_row=[], gain=[]), "no document of full gain"),
    (
        "qrels",
        frame(query_id=["q", "q"], doc_row=[0, 1], gain=[1.0, float("nan")]),
        "gain must be a finite number of at least 0",
    ),
    ("qrels", frame(query_id=["q", "q"], doc_row=[0, 1], gain=[1.0, -0.1]), "gain must be a finite number of"),
    ("qrels", frame(query_id=["q", "q"], doc_row=[0, 1], gain=[1.0, float("inf")]), "gain must be a finite number of"),
    ("qrels", frame(query_id=["q", "q"], doc_row=[0, 2], gain=[1.0, 0.1]), "judgement must name an existing document"),
    ("demonstrations", frame(query_id=["p"], text=["a"]), "training queries only"),
    ("documents", frame(doc_id=["a"], title=["a"]), "missing text"),
    ("qrels", frame(query_id=["q"], doc_row=[-1], gain=[1.0]), "table qrels: conversion"),
    ("qrels", frame(query_id=["q"], doc_row=[0], gain=["full"]), "table qrels: conversion"),
]


@pytest.mark.parametrize(("name", "table", "message"), WRONG_TABLES)
def test_tables_that_break_the_layout(tmp_path, name, table, message):
    """They are neither written nor read, even where the manifest's digests agree with them."""
    write(tmp_path / "right")
    assert message in error_of(lambda: write(tmp_path / "wrong", **{name: table}))
    assert [path.name for path in tmp_path.iterdir()] == ["right"]
    table.write_parquet(tmp_path / "right" / f"{name}.parquet")
    seal(tmp_path / "right")
    said = error_of(lambda: load_prepared(tmp_path / "right"))
    assert message in said
    assert said.startswith(str(tmp_path / "right"))


def test_what_is_written_is_read(tmp_path):
    written, read = write(tmp_path / "data"), load_prepared(tmp_path / "data")
    assert read.manifest == written.manifest
    assert read.fingerprint == written.fingerprint
    for name in NAMES:
        assert table(read, name).equals(table(written, name))
    seal(tmp_path / "data")  # the negative control of the tests that seal: it changes nothing of what is right
    assert load_prepared(tmp_path / "data").manifest == written.manifest


# Replacing


def test_an_earlier_directory_is_replaced_and_anything_else_is_kept(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "data" / "pools.parquet").unlink()  # still nothing but ours
    write(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    assert "is not a prepared directory" in error_of(lambda: write(tmp_path / "notes"))
    assert "is not a prepared directory" in error_of(lambda: write(tmp_path / "notes" / "mine.txt"))
    assert "a directory that can be written to" in error_of(lambda: write(tmp_path / "notes" / "mine.txt" / "data"))
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "empty", "link", "notes"]
    for name in ("data", "empty", "link"):
        load_prepared(tmp_path / name)


def web_extension(path):
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "my extension", "manifest_version": 3}')


def with_own_file(path):
    write(path)
    (path / "notes.txt").write_text("mine")


def with_own_folder(path):
    write(path)
    (path / "sources").mkdir()


def with_broken_manifest(path):
    write(path)
    (path / "manifest.json").write_text("{")


def with_other_manifest(path):
    write(path)
    change_manifest(path, lambda manifest: manifest.pop("files"))


@pytest.mark.parametrize(
    "make", [web_extension, with_own_file, with_own_folder, with_broken_manifest, with_other_manifest]
)
def test_a_manifest_alone_makes_no_directory_replaceable(tmp_path, make):
    make(tmp_path / "mine")
    before = {path.name: path.is_dir() or path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    for call in (write, check_replaceable):
        assert "is not a prepared directory" in error_of(lambda call=call: call(tmp_path / "mine"))
    assert {path.name: path.is_dir() or path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_directory_that_holds_the_source_is_refused(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "inside").symlink_to(tmp_path / "data" / "source")
    for source in (tmp_path / "data", tmp_path / "data" / "in" / "source", tmp_path / "inside"):
        assert "holds the source" in error_of(lambda source=source: check_replaceable(tmp_path / "data", source))
    check_replaceable(tmp_path / "data", tmp_path)
    check_replaceable(tmp_path / "data", tmp_path / "data2")


def test_a_directory_that_cannot_be_replaced_comes_back(tmp_path, monkeypatch):
    before = write(tmp_path / "data")
    rename = Path.rename

    def failing(self, target):
        if self.name == ".data.partial":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    said = error_of(lambda: write(tmp_path / "data", demonstrations=frame(query_id=["q"], text=["other"])))
    assert f"cannot write to {tmp_path / 'data'}" in said
    assert "No space left" in said
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert load_prepared(tmp_path / "data").manifest == before.manifest


@pytest.mark.parametrize("name", ["x" * 250, "x" * 300, "/proc/none/data"])  # a name or a temporary one is too long
def test_a_place_that_cannot_be_written_to(tmp_path, name):
    for call in (write, check_replaceable, lambda out: prepare_beir(tmp_path / "nowhere", out)):
        assert "cannot write to" in error_of(lambda call=call: call(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


# Reading


def test_what_is_not_a_prepared_directory(tmp_path):
    assert "does not exist" in error_of(lambda: load_prepared(tmp_path / "nowhere"))
    assert "holds no manifest.json" in error_of(lambda: load_prepared(tmp_path))
    write(tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.json"
    assert f"{manifest} is a file, expected a directory" in error_of(lambda: load_prepared(manifest))
    manifest.write_text(json.dumps({"format_version": 99}))
    assert "format version 99" in error_of(lambda: load_prepared(tmp_path / "data"))
    for content in (b"[]", b"{", b"\xff\xfe\x00", b"{}", b'{"format_version": "1"}'):
        manifest.write_bytes(content)
        assert "is not a manifest" in error_of(lambda: load_prepared(tmp_path / "data"))


@pytest.mark.parametrize("key", ["format_version", "dataset", "synthetic", "arguments", "sources", "counts", "files"])
def test_a_manifest_without_what_it_must_say(tmp_path, key):
    write(tmp_path / "data")
    change_manifest(tmp_path / "data", lambda manifest: manifest.pop(key))
    assert f"(expected {key}, of type " in error_of(lambda: load_prepared(tmp_path / "data"))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_the_one_written(tmp_path, name):
    write(tmp_path / "data")
    path = tmp_path / "data" / f"{name}.parquet"
    whole = path.read_bytes()
    rotten = bytearray(whole)
    rotten[len(whole) // 2] ^= 1
    _tables()[name].write_parquet(path, compression="lz4")  # equal rows, other bytes
    for content in (whole[:-50], b"", bytes(rotten), path.read_bytes()):
        path.write_bytes(content)
        said = error_of(lambda: load_prepared(tmp_path / "data"))
        assert f"{name}.parquet is not the file that manifest.json lists" in said
    path.write_bytes(whole)
    load_prepared(tmp_path / "data")
    path.unlink()
    assert f"expected the file {name}.parquet" in error_of(lambda: load_prepared(tmp_path / "data"))


def test_a_listed_file_that_is_no_table(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "data" / "qrels.parquet").write_bytes(b"no parquet")
    seal(tmp_path / "data")
    assert "qrels.parquet cannot be read" in error_of(lambda: load_prepared(tmp_path / "data"))


def test_an_error_of_the_operating_system_is_one_line(tmp_path, monkeypatch):
    write(tmp_path / "data")

    def unreadable(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    assert "cannot read the prepared directory" in error_of(lambda: load_prepared(tmp_path / "data"))
