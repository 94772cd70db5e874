"""What is wrong in a user's files is told at exactly its file, row and column, all faults at once."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs_data import DataError, FileFaults, prepare_beir, prepare_tables
from envs_data.csv_shape import csv_shape
from own_files import FORMATS, faults_of, own_tables, write_beir, write_own, write_table
from paths import ROOT

SETTINGS = settings(max_examples=60, deadline=None, database=None, derandomize=True)
HEADER = {"csv": 1, "tsv": 1, "jsonl": 0, "parquet": 0}  # rows that stand before the first one of the data


def put_at(table, row, column, value):
    """A table with another value in a row that counts from 0."""
    here = pl.int_range(pl.len()) == row
    put = pl.when(here).then(pl.lit(value, dtype=table.schema[column])).otherwise(pl.col(column))
    return table.with_columns(put.alias(column))


def repeat_row(table, row):
    return pl.concat([table, table[row : row + 1]])


# table, its row counted from 0 (that of the fault), column, what is put there, what is expected and came
VALUES = {
    "null doc_id": ("documents", 80, "doc_id", None, "expected an id, got nothing"),
    "blank doc_id": ("documents", 81, "doc_id", " ", "expected an id, got ' '"),
    "doc_id twice": ("documents", 85, "doc_id", "p84", "expected each id once, got 'p84', which row {84} has too"),
    "no text": ("documents", 81, "text", " ", "expected a text that is not blank, or a title, got ''"),
    "no query": ("queries", 3, "query", None, "expected a text that is not blank, got nothing"),
    "blank query": ("queries", 3, "query", "\f", r"expected a text that is not blank, got '\x0c'"),
    "unknown doc_id": ("qrels", 7, "doc_id", "p999", "expected an id of documents.{ending}, got 'p999'"),
    "unknown query_id": ("qrels", 8, "query_id", "x", "expected an id of queries.{ending}, got 'x'"),
    "no doc_id": ("qrels", 9, "doc_id", None, "expected an id, got nothing"),
    "negative gain": ("qrels", 10, "gain", -0.5, "expected a finite number of at least 0, got '-0.5'"),
    "no gain": ("qrels", 11, "gain", None, "expected a finite number of at least 0, got nothing"),
    "two gains": ("qrels", 90, "gain", 2.0, "expected one gain of a query and document, got 2.0 where row {0} has 3.0"),
    "split": ("queries", 4, "split", "dev", "expected one of train, validation, test, got 'dev'"),
    "no split": ("queries", 4, "split", None, "expected one of train, validation, test, got nothing"),
}


def spoilt(fault, ending):
    """Tables with one wrong value, and the line that should tell it."""
    tables = own_tables()
    name, row, column, value, said = VALUES[fault]
    if column == "split":
        tables["queries"] = tables["queries"].with_columns(split=pl.lit("train"))
    if fault == "two gains":
        tables["qrels"] = repeat_row(tables["qrels"], 0)
    tables[name] = put_at(tables[name], row, column, value)
    before = HEADER[ending] + 1
    for other in (84, 0):
        said = said.replace(f"{{{other}}}", str(other + before))
    if ending == "parquet":
        said = said.replace("'-0.5'", "-0.5")
    return tables, f"{name}.{ending}, row {row + before}, column {column}: {said.replace('{ending}', ending)}"


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("fault", VALUES)
def test_a_wrong_value_is_told_at_its_place(fault, ending, tmp_path):
    tables, expected = spoilt(fault, ending)
    assert faults_of(write_own(tmp_path / "in", tables, ending), tmp_path) == [expected]


@SETTINGS
@given(faults=st.sets(st.sampled_from(sorted(set(VALUES) - {"split", "no split", "two gains"})), min_size=1))
def test_several_wrong_values_are_all_told_and_no_others(tmp_path_factory, faults):
    tables, expected = own_tables(), []
    places = {VALUES[fault][:3]: fault for fault in faults}  # one fault a place
    for (name, row, column), fault in places.items():
        tables[name] = put_at(tables[name], row, column, VALUES[fault][3])
        expected.append(f"{name}.csv, row {row + 2}, column {column}")
    directory = tmp_path_factory.mktemp("own")
    told = faults_of(write_own(directory / "in", tables, "csv"), directory)
    assert sorted(line.split(":")[0] for line in told) == sorted(expected)


@pytest.mark.parametrize("ending", FORMATS)
def test_missing_columns_and_empty_files(ending, tmp_path):
    tables = own_tables()
    tables["documents"] = tables["documents"].drop("text")
    tables["qrels"] = tables["qrels"].rename({"query_id": "q", "doc_id": "d"})
    assert faults_of(write_own(tmp_path / "in", tables, ending), tmp_path) == [
        f"documents.{ending}, column text: expected the column, got a file with the columns doc_id, title",
        f"qrels.{ending}, column query_id: expected the column, got a file with the columns d, gain, q",
        f"qrels.{ending}, column doc_id: expected the column, got a file with the columns d, gain, q",
    ]
    tables = own_tables() | {"qrels": own_tables()["qrels"].clear()}
    assert faults_of(write_own(tmp_path / "in", tables, ending), tmp_path) == [
        f"qrels.{ending}: expected rows, got none"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query_id": "100", "doc_id": "p00"', ": expected a JSON object, got "),
        ("[1, 2]", ": expected a JSON object, got '[1, 2]'"),
        ("nonsense", ": expected a JSON object, got 'nonsense'"),
        ('{"query_id": ["100"], "doc_id": "p80", "gain": 1}', """, column query_id: expected an id, got '["100"]'"""),
        ('{"query_id": "100", "doc_id": {}, "gain": 1}', ", column doc_id: expected an id, got '{}'"),
        ('{"query_id": "100", "doc_id": "p80", "gain": "a lot"}', ", column gain: expected a finite number of"),
        ('{"query_id": "100", "doc_id": "p80", "gain": true}', ", column gain: expected a finite number of"),
    ],
)
def test_a_wrong_line_of_json(line, said, tmp_path):
    files = write_own(tmp_path / "in", ending="jsonl")
    lines = files["qrels"].read_text().splitlines()
    files["qrels"].write_text("\n".join([*lines[:5], "", line, *lines[5:]]))  # a blank line counts, and is no fault
    (told,) = faults_of(files, tmp_path)
    assert told.startswith(f"qrels.jsonl, row 7{said}")


@pytest.mark.parametrize(
    "history", ['["a", 3]', "[[]]", '{"a": "b"}', "[null, 3]", '{"a": null}', "{}", "[true]", "[[null]]", '[{}, "a"]']
)
def test_a_history_that_is_no_list_of_texts(history, tmp_path):
    files = write_own(tmp_path / "in", ending="jsonl")
    line = f'{{"query_id": "x", "query": "lamp", "history": {history}}}\n'
    files["queries"].write_text(files["queries"].read_text() + line)
    (told,) = faults_of(files, tmp_path)
    assert told.startswith("queries.jsonl, row 31, column history: expected a list of texts, got ")


def test_parquet_columns_of_another_type(tmp_path):
    tables = own_tables()
    tables["documents"] = tables["documents"].with_columns(doc_id=pl.int_range(pl.len()).cast(pl.Float64))
    tables["queries"] = tables["queries"].with_columns(history=pl.lit([1, 2], dtype=pl.List(pl.Int64)))
    tables["qrels"] = tables["qrels"].with_columns(gain=pl.lit(True))
    assert faults_of(write_own(tmp_path / "in", tables, "parquet"), tmp_path) == [
        "documents.parquet, column doc_id: expected texts or whole numbers, got the type Float64",
        "queries.parquet, column history: expected lists of texts, got the type List(Int64)",
        "qrels.parquet, column gain: expected numbers, got the type Boolean",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("100,p80", "expected 3 fields, as the header has, got 2"),
        ("100,p80,1,", "expected 3 fields, as the header has, got 4"),
        ('100,"p80,1', "expected quotes only around whole fields, closed, and doubled"),
        ('100,p"80,1', "expected quotes only around whole fields, closed, and doubled"),
        ('100,"p8"0,1', "expected quotes only around whole fields, closed, and doubled"),
    ],
)
def test_a_wrong_line_of_csv(line, said, tmp_path):
    files = write_own(tmp_path / "in")
    lines = files["qrels"].read_text().splitlines()
    files["qrels"].write_text("\r\n".join([*lines[:5], "", line, *lines[5:]]))
    (told,) = faults_of(files, tmp_path)
    assert told.startswith(f"qrels.csv, row 7: {said}")


def test_files_of_another_kind(tmp_path):
    for ending in FORMATS:
        files = write_own(tmp_path / ending, ending=ending)
        files["queries"].write_bytes(files["queries"].read_bytes()[:40] + b"\xff\x00\xfe" * 30)
        (told, *_) = faults_of(files, tmp_path)
        assert told.startswith(f"queries.{ending}")
    files = write_own(tmp_path / "in", ending="jsonl")
    files["queries"].write_bytes(b'{"query_id": "1", "query": "a"}\n{"query_id": "2", "query": "\xff"}\n')
    assert faults_of(files, tmp_path)[0].endswith("JSON Lines in UTF-8, but it cannot be read: line 2 is not UTF-8")
    files["queries"] = files["queries"].rename(tmp_path / "in" / "queries.xls")
    with pytest.raises(DataError, match=r"expected a file named \.parquet, \.csv, .*queries\.xls"):
        prepare_tables(**files, out=tmp_path / "out")
    with pytest.raises(DataError, match=r"nowhere\.csv, but it does not exist"):
        prepare_tables(**files | {"queries": tmp_path / "nowhere.csv"}, out=tmp_path / "out")


def test_twenty_faults_are_told_and_the_others_counted(tmp_path):
    tables = own_tables()
    tables["queries"] = tables["queries"].with_columns(query=pl.when(pl.int_range(pl.len()) < 25).then(pl.lit("")))
    tables["queries"] = tables["queries"].with_columns(pl.col("query").fill_null("lamp"))
    files = write_own(tmp_path / "in", tables)
    told = faults_of(files, tmp_path)
    assert [int(line.split("row ")[1].split(",")[0]) for line in told] == list(range(2, 22))
    command = ["scripts/prepare.py", "table", "--out", tmp_path / "out"]
    for name, path in files.items():
        command += [f"--{name}", path]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == "error: found 25 faults; nothing was written"
    assert len(lines) == 22
    assert lines[1].endswith("queries.csv, row 2, column query: expected a text that is not blank, got ''")
    assert lines[-1] == "... and 5 more"


def test_demonstrations_have_faults_too(tmp_path):
    files = write_own(tmp_path / "in")
    shown = pl.DataFrame({"query_id": ["100", "nobody", "101"], "text": ["kettle", "lamp", " "]})
    files["demonstrations"] = write_table(tmp_path / "in", "demonstrations", shown, "csv")
    assert faults_of(files, tmp_path) == [
        "demonstrations.csv, row 3, column query_id: expected an id of queries.csv, got 'nobody'",
        "demonstrations.csv, row 4, column text: expected a text that is not blank, got ' '",
    ]


def test_faults_of_the_layout_of_beir(tmp_path):
    source = write_beir(tmp_path / "in", ("train", "dev", "test"))
    with (source / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "p00", "title": "", "text": "again"}\n{"title": "no id"}\n')
    with (source / "qrels" / "test.tsv").open("a") as stream:
        stream.write("102\tp80\t1\n104\tp404\tnan\n104\tp80\n")
    with pytest.raises(FileFaults) as caught:
        prepare_beir(source, tmp_path / "out")
    assert [line.replace(f"{source}/", "") for line in caught.value.faults] == [
        "corpus.jsonl, row 91, column _id: expected each id once, got 'p00', which row 1 has too",
        "corpus.jsonl, row 92, column _id: expected an id, got nothing",
        "qrels/test.tsv, row 32, column query-id: expected a query of one split, got '102', "
        "which qrels/train.tsv judges in row 2",
        "qrels/test.tsv, row 33, column corpus-id: expected an id of corpus.jsonl, got 'p404'",
        "qrels/test.tsv, row 33, column score: expected a finite number, got 'nan'",
        "qrels/test.tsv, row 34: expected 3 fields, as the header has, got 2",
    ]


ANY_FIELD = st.text(alphabet=st.sampled_from('ab ,"\n\r\té|'), max_size=6)


@SETTINGS
@given(rows=st.lists(st.lists(ANY_FIELD, min_size=1, max_size=4), min_size=1, max_size=8), block=st.integers(1, 40))
def test_fields_are_counted_as_the_csv_module_counts_them(tmp_path_factory, rows, block):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs_data.csv_shape._BLOCK", block + 3)  # a mark of three bytes lies in the first block
        shape = csv_shape(path, ",")
    records = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
    assert shape.fields.tolist() == [len(record) for record in records]
    assert shape.lines.tolist() == [1 + sum(field.count("\n") for field in record) for record in records]
    assert (len(shape.misquoted), shape.open_record) == (0, None)


@SETTINGS
@given(
    columns=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(ANY_FIELD, min_size=n, max_size=n), min_size=1, max_size=8)
    )
)
def test_quoted_fields_are_read_as_they_are(tmp_path_factory, columns):
    """What the csv module writes comes back; carriage returns stay inside quotes."""
    from envs_data.custom.faults import Faults
    from envs_data.custom.formats import read_raw

    names = [f"c{place}" for place in range(len(columns[0]))]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([names, *columns])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    faults = Faults()
    frame, found = read_raw(path, names, faults, multiline=True)
    faults.check()
    assert found == names
    assert frame.drop("row").fill_null("").rows() == [tuple(row) for row in columns]
    assert frame["row"].to_list() == list(np.arange(len(columns)) + 2)


@SETTINGS
@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(
            st.lists(st.text(st.sampled_from('ab ,"é|'), max_size=6), min_size=n, max_size=n), min_size=1, max_size=8
        )
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_tsv_is_cut_at_tabs_and_line_ends_only(tmp_path_factory, rows, end):
    """A quote is a letter; a line that holds nothing is no row."""
    from envs_data.custom.faults import Faults
    from envs_data.custom.formats import read_raw

    names = [f"c{place}" for place in range(len(rows[0]))]
    path = tmp_path_factory.mktemp("tsv") / "x.tsv"
    path.write_bytes(end.join("\t".join(row) for row in [names, *rows]).encode())
    faults = Faults()
    frame, _ = read_raw(path, names, faults)
    faults.check()
    lines = [(place, row) for place, row in enumerate(rows, start=2) if "\t".join(row)]
    assert frame["row"].to_list() == [place for place, _ in lines]
    assert frame.drop("row").fill_null("").rows() == [tuple(row) for _, row in lines]


STRAY = ['x1,,"big box', "x2,,small box", 'x3,,lamp 12"']  # by RFC 4180 one record; each line is one without quotes


def test_stray_quotes_that_balance_swallow_no_rows(tmp_path):
    files = write_own(tmp_path / "in")
    files["documents"].write_text(files["documents"].read_text() + "\n".join(STRAY) + "\n")
    (fault,) = faults_of(files, tmp_path)
    assert fault.startswith("documents.csv, row 92: expected rows of one line (multiline=True or --multiline reads")
    assert fault.endswith(", got 3")
    data = prepare_tables(**files, out=tmp_path / "out", multiline=True)
    (text,) = data.documents.frame.filter(pl.col("doc_id") == "x1")["text"]
    assert text == "big box\nx2,,small box\nx3,,lamp 12"
    assert data.documents.height == 91
    files["documents"] = write_table(tmp_path / "in", "documents", own_tables()["documents"], "tsv")
    files["documents"].write_text(files["documents"].read_text() + "\n".join(STRAY).replace(",", "\t") + "\n")
    data = prepare_tables(**files, out=tmp_path / "out")
    added = data.documents.frame.filter(pl.col("doc_id").str.starts_with("x")).sort("doc_id")
    assert added["text"].to_list() == ['"big box', "small box", 'lamp 12"']


@SETTINGS
@given(texts=st.lists(st.one_of(ANY_FIELD, st.text(max_size=8)), min_size=1, max_size=8), ascii=st.booleans())
def test_json_texts_are_read_as_they_are(tmp_path_factory, texts, ascii):
    from envs_data.custom.faults import Faults
    from envs_data.custom.formats import read_raw

    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    lines = [json.dumps({"a b": text, "c": 1}, ensure_ascii=ascii) for text in texts]
    path.write_text("\n".join(lines), encoding="utf-8")
    faults = Faults()
    frame, _ = read_raw(path, ["a b"], faults)
    faults.check()
    assert frame["a b"].to_list() == texts
