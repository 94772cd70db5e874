"""Columns of a user's files under names of their own, and texts that are joined from several."""

import polars as pl
import pytest

from envs_data import DataError, prepare_tables
from ospo_cli import prepare
from own_files import FORMATS, faults_of, own_tables, write_own

TABLES = ("documents", "queries", "pools", "qrels", "demonstrations")
NAMES = {"doc_id": "sku", "title": "name", "text": "stuff+note", "query_id": "number", "qrels.doc_id": "product"}


def foreign_tables():
    """The tables under other names, the text in two columns, one of them with blanks."""
    tables = own_tables()
    documents = tables["documents"].with_row_index("i")
    text = pl.col("text").str.splitn(" no. ", 2).struct
    documents = documents.with_columns(
        stuff=pl.when(pl.col("i") % 3 > 0).then(text.field("field_0")),
        note=text.field("field_1"),
    )
    joined = documents.select("doc_id", "title", text=pl.concat_str("stuff", "note", separator=" ", ignore_nulls=True))
    right = tables | {"documents": joined}
    return right, {
        "documents": documents.select("stuff", "note", sku="doc_id", name="title"),
        "queries": tables["queries"].rename({"query_id": "number"}),
        "qrels": tables["qrels"].rename({"query_id": "number", "doc_id": "product"}),
    }


@pytest.mark.parametrize("ending", FORMATS)
def test_named_columns_give_the_tables_of_the_usual_names(tmp_path, ending):
    right, foreign = foreign_tables()
    expected = prepare_tables(**write_own(tmp_path / "right", right), out=tmp_path / "a")
    found = prepare_tables(**write_own(tmp_path / "foreign", foreign, ending), out=tmp_path / "b", columns=NAMES)
    assert found.documents.frame.equals(expected.documents.frame)
    assert all(getattr(found, name).equals(getattr(expected, name)) for name in TABLES[1:])
    assert found.manifest["arguments"]["columns"] == NAMES
    assert "columns" not in expected.manifest["arguments"]  # so that fingerprints stay what they were


def test_the_command_takes_names_in_one_option_or_several(tmp_path, capsys):
    files = write_own(tmp_path / "in", foreign_tables()[1])
    paths = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    pairs = [f"{name}={column}" for name, column in NAMES.items()]
    for number, options in enumerate(([",".join(pairs)], pairs)):
        given = [word for option in options for word in ("--columns", option)]
        prepare.main(["table", *paths, "--out", str(tmp_path / f"out{number}"), *given])
    manifests = [(tmp_path / f"out{number}" / "manifest.json").read_bytes() for number in range(2)]
    assert manifests[0] == manifests[1]
    with pytest.raises(SystemExit):
        prepare.main(["table", *paths, "--out", str(tmp_path / "out"), "--columns", "doc_id"])
    assert "--columns: expected NAME=COLUMN,..., got 'doc_id'" in capsys.readouterr().err


def test_a_named_column_must_be_there(tmp_path):
    files = write_own(tmp_path / "in", foreign_tables()[1])
    told = faults_of(files, tmp_path, columns=NAMES | {"title": "headline", "qrels.gain": "grade"})
    assert told == [
        "documents.csv, column headline: expected the column, got a file with the columns name, note, sku, stuff",
        "qrels.csv, column grade: expected the column, got a file with the columns gain, number, product",
    ]


def test_faults_name_the_columns_of_the_file(tmp_path):
    tables = foreign_tables()[1]
    blank = pl.int_range(pl.len()) == 4
    documents = tables["documents"].with_columns(pl.when(~blank).then(pl.col("stuff", "note", "name")))
    queries = tables["queries"].with_columns(pl.when(~blank).then(pl.col("query", "number")).fill_null(" "))
    files = write_own(tmp_path / "in", tables | {"documents": documents, "queries": queries})
    told = faults_of(files, tmp_path, columns=NAMES | {"query": "query+query"}, skip_unknown=True)
    assert told == [
        "documents.csv, row 6, column stuff + note: expected a text that is not blank, or a title, got ''",
        "queries.csv, row 6, column query + query: expected a text that is not blank, got nothing",
        "queries.csv, row 6, column number: expected an id, got ' '",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"docid": "sku"}, "unknown column 'docid'; did you mean 'doc_id'"),
        ({"qrels.title": "name"}, "unknown column 'qrels.title'"),
        ({"demonstrations.text": "name"}, "unknown column 'demonstrations.text'"),
        ({"doc_id": ""}, "expected a column of the file for doc_id, got ''"),
        ({"text": "a+"}, r"expected a column of the file for text, got 'a\+'"),
        ({"doc_id": "a+b"}, r"expected one column for doc_id, got 'a\+b'; join texts only"),
    ],
)
def test_wrong_names(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        prepare_tables(**write_own(tmp_path / "in"), out=tmp_path / "out", columns=names)
    assert not (tmp_path / "out").exists()
