"""A search log becomes queries and judgements: by hand, against tables made by hand, in every format, without leaks."""

import datetime

import polars as pl
import pytest

from envs_data import DataError, FileFaults, prepare_log, prepare_tables
from ospo_cli import prepare
from own_files import FORMATS, own_tables, write_own, write_table

TABLES = ("documents", "queries", "pools", "qrels", "demonstrations")


def log_of(rows, columns=("query", "doc_id", "action")):
    return pl.DataFrame(rows, schema=list(columns), orient="row")


def prepared(tmp_path, log, ending="csv", **settings):
    files = {"log": log, "documents": own_tables()["documents"]}
    paths = write_own(tmp_path / f"in-{ending}", files, ending)
    return prepare_log(**paths, out=tmp_path / "out", **settings)


def gains(data):
    """Gain by the text of the query and the document."""
    text = dict(zip(data.queries["query_id"], data.queries["query"], strict=True))
    rows = data.qrels.iter_rows(named=True)
    return {(text[row["query_id"]], data.documents.doc_ids[row["doc_row"]]): row["gain"] for row in rows}


ROWS = [
    ("Red  Kettle ", "p00", "click"),
    ("red kettle", "p00", "Purchase"),
    ("red kettle", "p15", "click"),
    ("red kettle", "p15", "click"),
    ("red kettle", "p30", "purchase"),  # one action is too little support
    ("red kettle", "p45", "impression"),
    ("red kettle", "gone", "click"),
    ("tent", "p02", "add_to_cart"),
    ("tent", "p02", "impression"),
    ("tent", "p02", "click"),
    (" ", "p02", "click"),
    ("tent", "", "click"),
    ("tent", "p03", " "),
]
MORE = [(f"lamp {n}", f"p0{n}", action) for n in range(1, 9) for action in ("click", "click")]


@pytest.mark.parametrize("ending", FORMATS)
def test_by_hand_in_every_format(tmp_path, ending):
    data = prepared(tmp_path, log_of(ROWS + MORE), ending)
    expected = {("red kettle", "p00"): 3.0, ("red kettle", "p15"): 1.0, ("tent", "p02"): 2.0}
    assert gains(data) == expected | {(f"lamp {n}", f"p0{n}"): 1.0 for n in range(1, 9)}
    counts = data.manifest["counts"]
    assert {name: counts[name] for name in counts if name.startswith(("log_", "pairs_"))} == {
        "log_rows": 29,
        "log_rows_without_query": 1,
        "log_rows_without_document": 1,
        "log_rows_without_action": 1,
        "log_rows_of_unknown_documents": 1,
        "log_rows_shown_only": 2,
        "pairs_without_support": 1,
    }
    assert sorted(data.queries["query_id"]) == [f"q{n:02d}" for n in range(10)]
    assert data.manifest["dataset"] == "log"
    assert data.manifest["arguments"]["splits_drawn"] == ["train", "validation", "test"]


def test_it_is_what_tables_made_by_hand_give(tmp_path):
    data = prepared(tmp_path, log_of(ROWS + MORE), seed=3)
    queries = data.queries.select("query_id", "query").sort("query_id")
    text = dict(zip(queries["query"], queries["query_id"], strict=True))
    qrels = pl.DataFrame(
        [(text[query], doc_id, gain) for (query, doc_id), gain in gains(data).items()],
        schema=["query_id", "doc_id", "gain"],
        orient="row",
    )
    files = write_own(
        tmp_path / "by-hand", {"documents": own_tables()["documents"], "queries": queries, "qrels": qrels}
    )
    by_hand = prepare_tables(**files, out=tmp_path / "other", full_gain=1.0, graded=True, seed=3)
    assert all(
        (getattr(data, name).frame if name == "documents" else getattr(data, name)).equals(
            getattr(by_hand, name).frame if name == "documents" else getattr(by_hand, name)
        )
        for name in TABLES
    )


def test_levels_and_support_are_the_users(tmp_path):
    rows = [*ROWS, ("tent", "p03", "like"), ("tent", "p03", "like"), ("tent", "p04", "like")]
    data = prepared(tmp_path, log_of(rows + MORE), levels={"like": 4, "click": 0.5}, minimum_support=1)
    found = gains(data)
    assert found["tent", "p03"] == found["tent", "p04"] == 4.0
    assert found["red kettle", "p15"] == 0.5
    assert found["red kettle", "p30"] == 3.0
    assert ("lamp 1", "p01") not in found  # its only action is below full gain
    assert data.manifest["counts"]["queries_without_full_gain"] == 8
    with pytest.raises(
        DataError, match=r"got 'like' \(3 rows\): name their levels \(--levels like=1, 0 for .*; known: im"
    ):
        prepared(tmp_path, log_of(rows + MORE))


def test_counts_are_shares_of_the_largest(tmp_path):
    rows = [("tent", "p02", 6), ("tent", "p03", 3), ("tent", "p03", 1), ("tent", "p04", 1), ("tent", "p05", 0)]
    rows += [(f"lamp {n}", f"p0{n}", 2) for n in range(1, 5)]
    data = prepared(tmp_path, log_of(rows, ("query", "doc_id", "count")))
    assert gains(data) == {("tent", "p02"): 1.0, ("tent", "p03"): 4 / 6} | {
        (f"lamp {n}", f"p0{n}"): 1.0 for n in range(1, 5)
    }
    both = [("tent", "p02", "click", 1), ("tent", "p02", "purchase", 1), ("tent", "p03", "click", 1)]
    both += [(f"lamp {n}", f"p0{n}", "click", 2) for n in range(1, 5)]
    assert gains(prepared(tmp_path, log_of(both, ("query", "doc_id", "action", "count"))))["tent", "p02"] == 3.0


def test_propensities_weigh_support(tmp_path):
    """One click far down counts as often as it would have come at the top; unknown positions count once."""
    rows = [("tent", "p02", "click", 1), ("tent", "p03", "click", 3), ("tent", "p04", "click", None)]
    rows += [(f"lamp {n}", f"p0{n}", "click", 9) for n in range(1, 5)]
    log = log_of(rows, ("query", "doc_id", "action", "position"))
    found = gains(prepared(tmp_path, log, propensity=[1.0, 0.7, 0.4]))
    assert found == {("tent", "p03"): 1.0} | {(f"lamp {n}", f"p0{n}"): 1.0 for n in range(1, 5)}
    assert len(gains(prepared(tmp_path, log, minimum_support=1))) == 7
    with pytest.raises(DataError, match=r"a support of 2 or more; there are none: lower"):
        prepared(tmp_path, log)


def test_the_estimate_is_printed_and_kept(tmp_path, capsys):
    rows = []
    for n in range(1, 9):
        for place, clicks in ((1, 4), (2, 2)):
            rows += [(f"lamp {n}", f"p0{n}", "impression", place)] * 10 + [
                (f"lamp {n}", f"p0{n}", "click", place)
            ] * clicks
    paths = write_own(
        tmp_path / "in",
        {"log": log_of(rows, ("query", "doc_id", "action", "position")), "documents": own_tables()["documents"]},
    )
    arguments = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    prepare.main(["log", *arguments, "--propensity", "estimate", "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "Propensity by position: 1: 1.00, 2: 0.50 ± 0.15\n  estimated from 48 actions on 8 pairs of query" in out
    clicks = log_of([row for row in rows if row[2] == "click"], ("query", "doc_id", "action", "position"))
    with pytest.raises(DataError, match="expected documents that one query showed at the first position"):
        prepared(tmp_path, clicks, propensity="estimate")


def timed_log(stamp):
    """Ten queries, a new one each day; each is typed again on all later days, and buys another document then."""
    rows = []
    for day in range(10):
        for query in range(day + 1):
            for _ in range(2):
                rows.append((f"query {query}", f"p{query + 10 * (day > query):02d}", "click", stamp(day)))
    return log_of(rows, ("query", "doc_id", "action", "time"))


STAMPS = {
    "dates": lambda day: datetime.date(2024, 5, 1 + day),
    "texts": lambda day: f"2024-05-{1 + day:02d} 08:00:00",
    "numbers": lambda day: 1_714_550_400 + 86_400 * day,
}


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_later_queries_are_tested_and_nothing_is_learnt_from_the_future(tmp_path, stamp, ending):
    data = prepared(
        tmp_path,
        timed_log(STAMPS[stamp]),
        ending,
        split="time",
        validation_share=0.2,
        test_share=0.2,
        minimum_support=2,
    )
    splits = dict(zip(data.queries["query"], data.queries["split"], strict=True))
    assert splits == {f"query {n}": "train" if n < 6 else "validation" if n < 8 else "test" for n in range(10)}
    found = gains(data)
    assert {doc_id for query, doc_id in found if query == "query 5"} == {"p05"}  # bought p15 from day 6 on
    assert {doc_id for query, doc_id in found if query == "query 4"} == {"p04", "p14"}
    assert {doc_id for query, doc_id in found if query == "query 6"} == {"p06", "p16"}
    assert {doc_id for query, doc_id in found if query == "query 9"} == {"p09"}
    after = sum(
        2 for day in range(10) for query in range(day + 1) if (query < 6 <= day) or (query in (6, 7) and day >= 8)
    )
    assert data.manifest["counts"]["log_rows_after_their_split"] == after
    first = data.manifest["arguments"]["splits_from"]
    assert (
        first
        == {
            "dates": {"validation": "2024-05-07T00:00:00+00:00", "test": "2024-05-09T00:00:00+00:00"},
            "texts": {"validation": "2024-05-07T08:00:00+00:00", "test": "2024-05-09T08:00:00+00:00"},
            "numbers": {"validation": 1_714_550_400.0 + 86_400 * 6, "test": 1_714_550_400.0 + 86_400 * 8},
        }[stamp]
    )
    drawn = gains(prepared(tmp_path, timed_log(STAMPS[stamp]), ending, minimum_support=2))
    assert ("query 5", "p15") in drawn  # the negative control: the future is in the log


def test_times_that_do_not_tell_queries_apart(tmp_path):
    with pytest.raises(DataError, match=r"split by time: expected queries that were first typed at different times"):
        prepared(tmp_path, timed_log(lambda day: 5), split="time")
    wrong = timed_log(lambda day: "yesterday" if day == 9 else f"2024-05-{1 + day:02d}")
    with pytest.raises(FileFaults, match=r"log.csv, row 92, column time: expected a date or time, .*, got 'yesterday'"):
        prepared(tmp_path, wrong, split="time")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("tent", "p02", "impression"), ("", "p02", "click"), ("tent", "", "click"), ("tent", "gone", "click")],
            "none of its 4 rows is one: 1 without a query, 1 without a document, 1 of documents that the documents "
            "file does not have, 1 shown only$",
        ),
        ([("tent", "p02", "")], "none of its 1 rows is one: 1 without an action$"),
    ],
)
def test_a_log_without_usable_actions(tmp_path, rows, message):
    with pytest.raises(DataError, match=r"^expected actions on documents in .*log.parquet; " + message):
        prepared(tmp_path, log_of(rows), "parquet")
    assert not (tmp_path / "out").exists()


def test_faults_of_the_files(tmp_path):
    files = {"log": log_of(ROWS).drop("action"), "documents": own_tables()["documents"][[0, 0, 1]]}
    with pytest.raises(FileFaults) as caught:
        prepare_log(**write_own(tmp_path / "in", files), out=tmp_path / "out")
    assert [fault.rpartition("/")[2] for fault in caught.value.faults] == [
        "documents.csv, row 3, column doc_id: expected each id once, got 'p00', which row 2 has too",
        "log.csv: expected a column action or count, got neither",
    ]
    rows = [("tent", "p02", "click", place) for place in (1, 0, 2.5, "top")]
    (tmp_path / "log.csv").write_text(
        "query,doc_id,action,position\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    documents = write_table(tmp_path, "documents", own_tables()["documents"], "csv")
    with pytest.raises(FileFaults) as caught:
        prepare_log(tmp_path / "log.csv", documents, tmp_path / "out", propensity=[1.0])
    assert [fault.rpartition(", row ")[2] for fault in caught.value.faults] == [
        f"{row}, column position: expected a whole number of at least 1, or nothing, got '{got}'"
        for row, got in ((3, 0), (4, 2.5), (5, "top"))
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "day"}, r"split \(--split\) must be one of query, time; got 'day'"),
        ({"minimum_support": 0}, r"minimum support \(--minimum-support\) must be above 0; got 0"),
        ({"levels": {"click": -1}}, r"levels \(--levels\) must be numbers of at least 0; got -1 for click"),
        ({"propensity": "guess"}, r"propensity \(--propensity\) must be estimate or numbers; got 'guess'"),
        ({"propensity": [1.0, 0.0]}, r"above 0 and at most 1, the first position's first; got \[1.0, 0.0\]"),
        ({"columns": {"queries.query": "q"}}, "unknown column 'queries.query'"),
        ({"demonstrations": "none"}, "none"),
    ],
)
def test_settings_out_of_range(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, log_of(ROWS), **settings)


def test_the_command_names_columns_and_levels(tmp_path, capsys):
    renamed = log_of(ROWS + MORE).rename({"query": "search_term", "doc_id": "sku"})
    files = {"log": renamed, "documents": own_tables()["documents"].rename({"doc_id": "sku"})}
    paths = write_own(tmp_path / "in", files)
    arguments = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    arguments += ["--columns", "query=search_term,doc_id=sku", "--levels", "click=2", "--levels", "order=5"]
    prepare.main(["log", *arguments, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "  1 rows of the log on documents that the documents file does not have" in out
    assert "  1 pairs of query and document with too few actions (--minimum-support)" in out
    with pytest.raises(SystemExit):
        prepare.main(["log", *arguments, "--levels", "click=much", "--out", str(tmp_path / "out")])
    assert "--levels: expected ACTION=LEVEL,..., got 'click=much'" in capsys.readouterr().err
