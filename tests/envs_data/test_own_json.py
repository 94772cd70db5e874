"""Values of JSON Lines files are taken as they are written, and what a Parquet column could not hold is refused."""

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs_data import prepare_tables
from own_files import faults_of, own_tables, write_own

NO_TEXTS = ["true", "false", "1.5", "1.0", "1e3", "-2E-1", "1.8446744073709552e+19"]


@pytest.mark.parametrize("value", NO_TEXTS)
@pytest.mark.parametrize(
    ("name", "column"),
    [("documents", "doc_id"), ("documents", "title"), ("queries", "query"), ("qrels", "query_id"), ("qrels", "doc_id")],
)
def test_json_that_is_neither_text_nor_a_whole_number(name, column, value, tmp_path):
    """As a Parquet column of such a type is refused; in quotes each is a text."""
    files = write_own(tmp_path / "in", ending="jsonl")
    lines = files[name].read_text().splitlines()
    row = json.loads(lines[4])
    for key in (json.dumps(column), f'"\\u{ord(column[0]):04x}{column[1:]}"'):  # a key may be written in two ways
        rest = json.dumps({other: row[other] for other in row if other != column})
        bare = f"{rest[:-1]}, {key} : {value}}}"
        files[name].write_text("\n".join([*lines[:4], bare, *lines[5:]]))
        (told, *_) = faults_of(files, tmp_path)
        place = f"{name}.jsonl, row 5, column {column}"
        assert told == f"{place}: expected text or a whole number, got {value!r} without quotes"
    quoted = f'{rest[:-1]}, {key}: "{value}"}}'
    files[name].write_text("\n".join([*lines[:4], quoted, *lines[5:]]))
    prepare_tables(**files, out=tmp_path / "out", skip_unknown=True)


LONG = [2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**22 + 7, 10**22 + 8, 10**307 + 1, 0, 7]


@pytest.mark.parametrize("quoted", [True, False])
def test_whole_numbers_of_any_length_keep_their_digits_as_ids(quoted, tmp_path):
    tables = own_tables()
    ids = {f"p{place:02d}": number for place, number in enumerate(LONG)}
    for name in ("documents", "qrels"):
        long = pl.col("doc_id").replace({old: str(new) for old, new in ids.items()})
        tables[name] = tables[name].with_columns(long)
    files = write_own(tmp_path / "in", tables, "jsonl")
    if not quoted:
        for name in ("documents", "qrels"):
            text = files[name].read_text()
            for number in LONG:
                assert f'"doc_id": "{number}"' in text
                text = text.replace(f'"doc_id": "{number}"', f'"doc_id": {number}')
            files[name].write_text(text)
    data = prepare_tables(**files, out=tmp_path / "out")
    assert {str(number) for number in LONG} <= set(data.documents["doc_id"])
    csv_data = prepare_tables(**write_own(tmp_path / "csv", tables), out=tmp_path / "out2")
    assert data.manifest["files"] == csv_data.manifest["files"]


def test_a_number_too_long_to_read_is_a_fault(tmp_path):
    files = write_own(tmp_path / "in", ending="jsonl")
    files["documents"].write_text(files["documents"].read_text() + f'{{"doc_id": {10**400}, "text": "lamp"}}\n')
    (told,) = faults_of(files, tmp_path)
    assert told.startswith("documents.jsonl, row 91: expected a JSON object, got ")
    assert told.endswith(", with a number too long to read: quote it")


def test_a_key_inside_another_value_is_no_column(tmp_path):
    files = write_own(tmp_path / "in", ending="jsonl")
    files["documents"].write_text(
        files["documents"].read_text()
        + '{"inner": {"doc_id": 1.5}, "doc_id": "x", "text": "\\"doc_id\\": true"}\n'
        + '{"inner": {"doc_id": 1.5}, "doc_id": 5, "text": "a \\"title\\": 7"}\n'
    )
    data = prepare_tables(**files, out=tmp_path / "out")
    found = data.documents.frame.filter(pl.col("doc_id").is_in(["x", "5"])).sort("doc_id")
    assert found.select("doc_id", "title", "text").rows() == [
        ("5", "", 'a "title": 7'),
        ("x", "", '"doc_id": true'),
    ]


@pytest.mark.parametrize("value", ["5", "-7", "true", "false", "1.5"])
def test_a_history_that_is_a_number_or_a_truth_value(value, tmp_path):
    """As a Parquet column of such a type is refused; in quotes each is a text of one entry."""
    files = write_own(tmp_path / "in", ending="jsonl")
    lines, row = files["queries"].read_text(), '{"query_id": "x", "query": "lamp", "history": %s}'
    files["queries"].write_text(lines + row % value)
    (fault,) = faults_of(files, tmp_path)
    assert fault == f"queries.jsonl, row 31, column history: expected a list of texts, got {value!r} without quotes"
    files["queries"].write_text(lines + row % f'"{value}"')
    files["qrels"].write_text(files["qrels"].read_text() + '{"query_id": "x", "doc_id": "p00", "gain": 3}')
    data = prepare_tables(**files, out=tmp_path / "out")
    assert data.queries.filter(pl.col("query_id") == "x")["history"].to_list() == [[value]]


NESTED = ["[]", "{}", "[null]", '[null, "lamp"]', '["lamp", null]', '{"en": null, "de": "Lampe"}', '{"en": "lamp"}']
NESTED += ["[[]]", "[{}]", '{"a": {}}', "[0]"]


@pytest.mark.parametrize("value", NESTED)
@pytest.mark.parametrize(("name", "column"), [("documents", "text"), ("queries", "query"), ("qrels", "doc_id")])
def test_a_list_or_object_is_no_text_and_a_string_that_looks_like_one_is(name, column, value, tmp_path):
    files = write_own(tmp_path / "in", ending="jsonl")
    lines = files[name].read_text().splitlines()
    others = {key: part for key, part in json.loads(lines[4]).items() if key != column}
    files[name].write_text("\n".join([*lines[:4], f'{json.dumps(others)[:-1]}, "{column}": {value}}}', *lines[5:]]))
    (fault, *_) = faults_of(files, tmp_path)
    assert fault.startswith(f"{name}.jsonl, row 5, column {column}: expected a")
    files[name].write_text("\n".join([*lines[:4], json.dumps(others | {column: value}), *lines[5:]]))
    data = prepare_tables(**files, out=tmp_path / "out", skip_unknown=True)
    if name == "documents":
        assert value in data.documents.frame.filter(pl.col("doc_id") == others["doc_id"])["text"].item()
    if name == "queries":
        assert data.queries.filter(pl.col("query_id") == others["query_id"])["query"].to_list() == [value]


TEXTS = st.sampled_from([*NESTED, '"', '"text": [', "\\", '\\", "text": {', "null", "true", "7", "a|b", "ünï", "x, y"])
HISTORIES = st.none() | st.lists(st.none() | TEXTS | st.just(" "), max_size=3)


@settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_same_rows_give_the_same_tables_in_parquet_and_json_lines(data, tmp_path_factory):
    tables = own_tables(n_documents=20, n_queries=6)
    tables["qrels"] = tables["qrels"].join(tables["documents"], on="doc_id", how="semi")
    for name, column in (("documents", "title"), ("documents", "text"), ("queries", "query")):
        values = data.draw(st.lists(TEXTS, min_size=tables[name].height, max_size=tables[name].height))
        tables[name] = tables[name].with_columns(pl.Series(column, values))
    histories = data.draw(st.lists(HISTORIES, min_size=6, max_size=6))
    tables["queries"] = tables["queries"].with_columns(pl.Series("history", histories, dtype=pl.List(pl.String)))
    directory = tmp_path_factory.mktemp("own")
    prepared = [
        prepare_tables(**write_own(directory / ending, tables, ending), out=directory / f"{ending} out", pool_size=2)
        for ending in ("parquet", "jsonl")
    ]
    assert prepared[0].manifest["files"] == prepared[1].manifest["files"]
    expected = {
        query_id: [part.strip() for part in history or [] if part is not None and part.strip()]
        for query_id, history in zip(tables["queries"]["query_id"], histories, strict=True)
    }
    assert dict(prepared[1].queries.select("query_id", "history").iter_rows()) == {
        query_id: expected[query_id] for query_id in prepared[1].queries["query_id"]
    }
