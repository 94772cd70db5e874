"""Rewrites of another program are read from every format, with or without a header, and faults are told by row."""

import json

import polars as pl
import pytest

from envs_data import DataError, FileFaults
from envs_data.custom.rewrites import read_rewrite_table
from own_files import FORMATS, write_table

TEXTS = ['warm "wool" coat, red', "née 靴 👟", "", "a\u2028b", "5 inch"]


def frame(query, text):
    names = ["100", "q2", "100", "003", "q5"]
    return pl.DataFrame({"other": range(5), query: names, text: TEXTS})


@pytest.mark.parametrize("text", ["text", "rewrite"])
@pytest.mark.parametrize("query", ["query_id", "query"])
@pytest.mark.parametrize("ending", [*FORMATS, "jsonl.gz"])
def test_every_format_gives_the_same_rows(tmp_path, ending, query, text):
    table = read_rewrite_table(write_table(tmp_path, "r", frame(query, text), ending))
    assert table.named_by == query
    assert table.rows["query"].to_list() == ["100", "q2", "100", "003", "q5"]
    assert table.rows["text"].to_list() == TEXTS
    first = 2 if ending in ("csv", "tsv") else 1
    assert table.rows["row"].to_list() == list(range(first, first + 5))
    assert table.several


def test_an_id_comes_before_the_text_of_its_query(tmp_path):
    path = write_table(tmp_path, "r", frame("query_id", "text").with_columns(query=pl.lit("red coat")), "csv")
    table = read_rewrite_table(path)
    assert table.named_by == "query_id"
    assert not read_rewrite_table(write_table(tmp_path, "s", frame("query_id", "text")[3:], "csv")).several


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_two_columns_need_no_header(tmp_path, ending):
    separator = "," if ending == "csv" else "\t"
    (tmp_path / f"r.{ending}").write_text(f"red coat{separator}warm wool\nshoe{separator}\n")
    table = read_rewrite_table(tmp_path / f"r.{ending}")
    assert table.named_by == "either"
    assert table.rows.rows() == [(1, "red coat", "warm wool"), (2, "shoe", "")]
    (tmp_path / f"s.{ending}").write_text(f"red coat{separator}warm wool{separator}1\n")
    with pytest.raises(FileFaults, match=r"values in a column query_id or query, .* columns 1, red coat, warm wool"):
        read_rewrite_table(tmp_path / f"s.{ending}")


def test_a_quoted_field_may_hold_line_breaks(tmp_path):
    (tmp_path / "r.csv").write_text('query,rewrite\nred coat,"warm\nwool"\n')
    assert read_rewrite_table(tmp_path / "r.csv").rows["text"].to_list() == ["warm\nwool"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "q,text\na,b\n", r"expected values in a column query_id or query, got .* columns q, text"),
        ("r.csv", "query,t\na,b\n", r"expected values in a column text or rewrite, got .* columns query, t"),
        ("r.csv", "query,text,rewrite\na,b,c\n", "expected one column of rewrites, got both text and rewrite"),
        ("r.csv", "query,text\n", "r.csv: expected rows, got none"),
        ("r.csv", "", "row 1: expected a header line"),
        ("r.csv", "query,text\n ,b\n", "row 2, column query: expected a text that is not blank, got ' '"),
        ("r.csv", "a,b\nc,d\ne\n", "row 3: expected 2 fields, as the first row has, got 1"),
        ("r.csv", 'query,text\na"b,c\n', "row 2: expected quotes only around whole fields"),
        ("r.jsonl", "[1]\n", r"row 1: expected a JSON object, got '\[1\]'"),
        ("r.jsonl", '{"query": "a", "text": ["b"]}\n', "row 1, column text: expected a text or nothing"),
        ("r.jsonl", '{"query_id": 1.5, "text": "b"}\n', "row 1, column query_id: expected text or a whole number"),
        ("r.jsonl", '{"query": "a"}\n', r"expected values in a column text or rewrite, got .* columns query"),
        ("r.parquet", "PAR?", "expected a Parquet file"),
    ],
)
def test_faults_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(FileFaults, match=message):
        read_rewrite_table(tmp_path / name)


def test_a_file_that_is_none_of_the_formats(tmp_path):
    (tmp_path / "r.txt").write_text(json.dumps({"query": "a", "text": "b"}))
    with pytest.raises(DataError, match=r"expected a file named .*; got .*r.txt"):
        read_rewrite_table(tmp_path / "r.txt")
    with pytest.raises(DataError, match=r"expected a file at .*s.csv, but it does not exist"):
        read_rewrite_table(tmp_path / "s.csv")
