"""Queries of a data set as prompts, with the other tables that a task reads."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data import SPLITS, PreparedData
from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork

__all__ = ["Prompts", "Query"]

_TOKENIZER_DOCUMENTS = 20_000


@dataclass(frozen=True)
class Query:
    """A query of a data set.

    Attributes:
        query_id: Id of the query and of its prompt.
        split: ``train``, ``validation`` or ``test``.
        query: Text that the shopper typed.
        history: Earlier purchases, oldest first; may be empty.
        intent: The latent intent in catalogue phrases; known for synthetic data only.
    """

    query_id: str
    split: str
    query: str
    history: tuple[str, ...]
    intent: tuple[str, ...]


class Prompts:
    """The prompts of a data set, each named by the id of its query.

    A prompt's text is the query, or with a history ``query | purchase; purchase; ...``, oldest first.

    Attributes:
        data: The data set.

    Args:
        data: A prepared data set.

    Raises:
        TypeError: The data are something else.
    """

    def __init__(self, data: PreparedData) -> None:
        if not isinstance(data, PreparedData):
            raise TypeError(f"expected PreparedData, as load_prepared returns it; got {type(data).__name__}")
        refuse_after_fork("reading data")
        self.data = data
        self._row_of = {query_id: row for row, query_id in enumerate(data.queries["query_id"])}
        self._queries: list[str] = data.queries["query"].to_list()

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Ids and texts of a split's prompts, in stored order.

        Raises:
            TaskError: There is no such split.
        """
        if split not in SPLITS:
            raise TaskError(unknown_name("split", split, SPLITS))
        refuse_after_fork("reading data")
        history = pl.col("history").list.join("; ")
        text = pl.when(history == "").then("query").otherwise(pl.concat_str("query", history, separator=" | "))
        queries = self.data.queries.filter(pl.col("split") == split).select("query_id", text=text)
        return queries["query_id"].to_list(), queries["text"].to_list()

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite."""
        refuse_after_fork("reading data")
        return list(self.data.demonstrations.select("query_id", "text").iter_rows())

    def texts(self) -> Iterator[str]:
        """Texts for a tokenizer: training prompts, demonstrations, then the first 20,000 documents.

        Documents are stored in random order, so these are a fair sample. Nothing of validation or test queries is among
        the texts.
        """
        refuse_after_fork("reading data")
        yield from self.prompts("train")[1]
        yield from self.data.demonstrations["text"]
        yield from self.data.documents.texts[:_TOKENIZER_DOCUMENTS]

    def query(self, prompt_id: str) -> Query:
        """The query behind a prompt.

        Raises:
            TaskError: The id is unknown.
        """
        columns = self.data.queries.row(self._row(prompt_id), named=True)
        return Query(
            query_id=columns["query_id"],
            split=columns["split"],
            query=columns["query"],
            history=tuple(columns["history"] or ()),
            intent=tuple(columns["intent"] or ()),
        )

    def judgements(self, prompt_ids: Sequence[str]) -> list[tuple[str, str, float]]:
        """Query id, document id and gain of all judged documents of some queries, in stored order.

        Raises:
            TaskError: An id is unknown.
        """
        refuse_after_fork("reading data")
        query_ids = self.data.queries["query_id"].gather(self._rows(prompt_ids))
        qrels = self.data.qrels.filter(pl.col("query_id").is_in(query_ids.implode()))
        doc_ids = self.data.documents["doc_id"].gather(qrels["doc_row"])
        return list(zip(qrels["query_id"], doc_ids, qrels["gain"], strict=True))

    def _rows(self, prompt_ids: Sequence[str]) -> NDArray[np.int64]:
        """Rows (B,) of the queries of B prompts."""
        return np.array([self._row(prompt_id) for prompt_id in prompt_ids], dtype=np.int64)

    def _row(self, prompt_id: str) -> int:
        row = self._row_of.get(prompt_id)
        if row is None:
            near = difflib.get_close_matches(str(prompt_id), self._row_of, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ", such as " + repr(next(iter(self._row_of)))
            raise TaskError(f"unknown prompt id {prompt_id!r}: expected a query id of the data set{hint}")
        return row
