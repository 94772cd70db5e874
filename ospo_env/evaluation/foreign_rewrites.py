"""Rewrites that another program wrote, matched with the queries of a data set by id or by text."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envs_data import PreparedData
from envs_data.custom.rewrites import RewriteTable
from ospo_env.errors import TaskError
from ospo_env.text import clean_text

__all__ = ["MatchedRewrites", "match_rewrites"]


@dataclass(frozen=True)
class MatchedRewrites:
    """Rewrites of known queries.

    Attributes:
        prompt_ids: B ids of queries, in stored order; a query with several rewrites comes several times in a row.
        texts: B rewrites, those of a query in the order of the file.
        elsewhere: Number of rewrites of the file that were left out, since their queries are of other splits.
        without: Ids of the queries of the split that have no rewrite; none where no split was asked for.
    """

    prompt_ids: tuple[str, ...]
    texts: tuple[str, ...]
    elsewhere: int
    without: tuple[str, ...]


def match_rewrites(table: RewriteTable, data: PreparedData, split: str | None = None) -> MatchedRewrites:
    """Match rewrites with queries.

    Texts of queries are compared without case and with white space as single spaces. A rewrite of a text that several
    queries have, as with histories, is one of each of them. In a file without a header, what names the queries is an id
    if any of them is an id of the data set.

    Args:
        table: The rewrites.
        data: The data set.
        split: Split whose queries' rewrites are kept; ``None`` for all.

    Raises:
        TaskError: A query is unknown, or none of the split has a rewrite.
    """
    ids = data.queries["query_id"].to_list()
    named_by_id = table.named_by == "query_id" or (
        table.named_by == "either" and not set(ids).isdisjoint(table.rows["query"])
    )
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(ids if named_by_id else data.queries["query"]):
        rows_of.setdefault(name if named_by_id else _comparable(name), []).append(row)
    names = table.rows["query"].to_list()
    keys = names if named_by_id else list(map(_comparable, names))
    _check_known(table, names, keys, rows_of, "query_id" if named_by_id else "query")
    splits = data.queries["split"].to_list()
    texts_of: dict[int, list[str]] = {}
    elsewhere = 0
    for key, text in zip(keys, table.rows["text"], strict=True):
        rows = [row for row in rows_of[key] if split is None or splits[row] == split]
        elsewhere += not rows
        for row in rows:
            texts_of.setdefault(row, []).append(text)
    if not texts_of:
        raise TaskError(f"{table.path}: expected rewrites of {split} queries, but all {elsewhere} are of other splits")
    pairs = [(ids[row], text) for row in sorted(texts_of) for text in texts_of[row]]
    wanted = [row for row, own in enumerate(splits) if own == split]
    return MatchedRewrites(
        tuple(prompt_id for prompt_id, _ in pairs),
        tuple(text for _, text in pairs),
        elsewhere,
        tuple(ids[row] for row in wanted if row not in texts_of),
    )


def _comparable(query: str) -> str:
    return " ".join(clean_text(query).casefold().split())


def _check_known(
    table: RewriteTable, names: Sequence[str], keys: Sequence[str], rows_of: Mapping[str, object], column: str
) -> None:
    """Raise :class:`TaskError`, which counts unknown queries and names the first, if there is any."""
    unknown = [place for place, key in enumerate(keys) if key not in rows_of]
    if unknown:
        first = unknown[0]
        near = difflib.get_close_matches(keys[first], rows_of, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the data set has, for example, {next(iter(rows_of))!r}"
        raise TaskError(
            f"{table.path}: expected rewrites of queries of the data set, named by {column}; {len(unknown):,} of "
            f"{len(keys):,} rewrites are of unknown queries, the first in row {table.rows['row'][first]}: "
            f"{names[first][:80]!r}; {hint}"
        )
