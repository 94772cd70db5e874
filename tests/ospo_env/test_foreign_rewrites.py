"""Rewrites of another program find their queries, by id or by text."""

import polars as pl
import pytest

from envs_data.custom.rewrites import RewriteTable
from ospo_env import TaskError
from ospo_env.evaluation.foreign_rewrites import match_rewrites
from shop import shop


def table(rows, named_by="query_id"):
    columns = {"row": range(2, len(rows) + 2), "query": [a for a, _ in rows], "text": [b for _, b in rows]}
    return RewriteTable("r.csv", named_by, pl.DataFrame(columns))


def test_ids_in_stored_order_with_several_rewrites_each():
    found = match_rewrites(table([("q05", "b"), ("q01", "a"), ("q05", "c")]), shop())
    assert found.prompt_ids == ("q01", "q05", "q05")
    assert found.texts == ("a", "b", "c")
    assert (found.elsewhere, found.without) == (0, ())


def test_a_text_is_that_of_every_query_that_has_it():
    ids = shop().queries.filter(pl.col("query") == "coat please")["query_id"].to_list()
    assert len(ids) == 3
    found = match_rewrites(table([("  Coat\tPLEASE ", "warm"), ("bag please", "big")], "query"), shop())
    assert [found.prompt_ids[place] for place, text in enumerate(found.texts) if text == "warm"] == ids


def test_a_split_keeps_its_own():
    splits = dict(zip(shop().queries["query_id"], shop().queries["split"], strict=True))
    rows = [(query_id, f"of {query_id}") for query_id in splits][1:]
    found = match_rewrites(table(rows), shop(), "train")
    train = [query_id for query_id, split in splits.items() if split == "train"]
    assert found.prompt_ids == tuple(train[1:])
    assert found.without == (train[0],)
    assert found.elsewhere == len(rows) - len(train) + 1
    with pytest.raises(TaskError, match=r"r.csv: expected rewrites of test queries, but all 1 are of other splits"):
        match_rewrites(table([("q00", "a")]), shop(), "test")


def test_without_a_header_names_are_ids_if_one_is():
    assert match_rewrites(table([("q01", "a")], "either"), shop()).prompt_ids == ("q01",)
    assert len(match_rewrites(table([("coat please", "a")], "either"), shop()).prompt_ids) == 3
    with pytest.raises(TaskError, match="named by query_id; 1 of 2"):
        match_rewrites(table([("q01", "a"), ("coat please", "a")], "either"), shop())


@pytest.mark.parametrize(
    ("rows", "named_by", "message"),
    [
        (
            [("q00", "a"), ("q1", "b"), ("zzz", "c")],
            "query_id",
            r"^r.csv: expected rewrites of queries of the data set, named by query_id; 2 of 3 rewrites are of unknown "
            r"queries, the first in row 3: 'q1'; did you mean 'q1\d'\?$",
        ),
        ([("@@@", "a")], "query_id", r"1 of 1 rewrites .* in row 2: '@@@'; the data set has, for example, 'q00'$"),
        ([("Coat plaese", "a")], "query", r"'Coat plaese'; did you mean 'coat please'\?$"),
    ],
)
def test_unknown_queries_are_counted_and_the_first_is_named(rows, named_by, message):
    with pytest.raises(TaskError, match=message):
        match_rewrites(table(rows, named_by), shop())
