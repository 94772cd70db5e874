"""Index of Tantivy, a search library in the process: ``tantivy:PATH``."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.access import library
from ospo_env.retrievers.engines.fields import Field, parse_fields
from ospo_env.retrievers.engines.index import Search
from ospo_env.retrievers.engines.joined import JoinedRetriever
from ospo_env.retrievers.engines.requests import Limits
from ospo_env.retrievers.engines.tantivy_schema import build_index, commit_name, field_analysers, make_analyser

__all__ = ["TantivyIndex", "tantivy_retriever"]

_DEADLINE = 3600.0  # seconds; nothing here waits for another machine
_BATCH = 32


def tantivy_retriever(
    corpus: Corpus, path: str, *, id: str = "doc_id", text: str = "text", threads: int = 2, build: bool = False
) -> JoinedRetriever:
    """BM25 of an index of Tantivy.

    Args:
        corpus: The documents.
        path: Directory of the index.
        id: Field of the ids: text without analysis (``raw``), indexed and stored.
        text: Fields to search, joined by ``+``, with weights behind ``^``: ``title^2+text``.
        threads: Texts that are scored at once.
        build: Whether an index of the corpus is built where the directory does not exist, with the fields ``doc_id``,
            ``title`` and ``text`` in English.

    Raises:
        TaskError: Tantivy is not installed, or there is no such index, field or document.
    """
    library("tantivy", "tantivy", "tantivy")
    if build and not Path(path).exists():
        build_index(corpus, Path(path))
    fields = parse_fields("tantivy", text)
    index = TantivyIndex(Path(path).absolute(), id, fields)
    settings = {"id": id, "fields": [list(field) for field in fields]}
    return JoinedRetriever(index, corpus, settings, Limits(threads, _DEADLINE, _BATCH), cache=False)


class TantivyIndex:
    """The index in a directory, as it stood when it was opened: later commits are not seen.

    A document matches a text that shares a token of a searched field with it; its score is the sum of BM25 over the
    text's tokens and the fields, in 32 bits. Unpickled, it has to be the same commit.

    Args:
        path: The directory.
        id_field: Field of the ids.
        fields: Fields to search.
    """

    kind = "tantivy"
    window = 2**20

    def __init__(self, path: Path, id_field: str, fields: Sequence[Field]) -> None:
        self.place = f"the index {path}"
        self._path = path
        self._id_field = id_field
        self._fields = tuple(fields)
        self._commit = commit_name(path)
        self._analysed = field_analysers(path, id_field, fields)

    def identity(self, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Index.identity`: segments and number of the commit, analysers and Tantivy's version."""
        documents = self._opened[1].num_docs
        by = version("tantivy")
        return {"commit": self._commit, "documents": documents, "analysers": self._analysed, "by": by}

    def count(self, ids: Sequence[str], seconds: float) -> int:
        """As :meth:`Index.count`."""
        _, searcher = self._opened
        return sum(searcher.doc_freq(self._id_field, doc_id) for doc_id in ids)

    def scores(self, searches: Sequence[Search], seconds: float) -> list[Mapping[str, float]]:
        """As :meth:`Index.scores`."""
        from tantivy import Occur, Query

        index, _ = self._opened
        filters: dict[int, Any] = {}
        answers: list[Mapping[str, float]] = []
        for search in searches:
            among = filters.get(id(search.ids))
            if among is None:
                among = Query.const_score_query(
                    Query.term_set_query(index.schema, self._id_field, list(search.ids)), 0.0
                )
                filters[id(search.ids)] = among
            query = self._query(search.text)
            both = query and Query.boolean_query([(Occur.Must, query), (Occur.Must, among)])
            answers.append(dict(self._hits(both, len(search.ids))))
        return answers

    def best(self, text: str, k: int, seconds: float) -> list[tuple[str, float]]:
        """As :meth:`Index.best`."""
        return self._hits(self._query(text), k)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_opened", "_analysers")}

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        """Index and searcher."""
        import tantivy

        try:
            if commit_name(self._path) != self._commit:
                raise RetrieverError(f"{self.place} has changed since it was opened; make the task again")
            index = tantivy.Index.open(str(self._path))
            return index, index.searcher()
        except ValueError as error:
            raise RetrieverError(f"cannot open {self.place}: {one_line(error)}") from error

    @cached_property
    def _analysers(self) -> Mapping[str, Any]:
        return {name: make_analyser(name) for name in set(self._analysed.values())}

    def _query(self, text: str) -> Any:
        """Any of the text's tokens in any of the fields, each as often as it stands; ``None`` without a token."""
        from tantivy import Occur, Query

        schema = self._opened[0].schema
        clauses = []
        for name, weight in self._fields:
            for token in self._analysers[self._analysed[name]].analyze(text):
                term = Query.term_query(schema, name, token, "freq")
                clauses.append((Occur.Should, term if weight == 1.0 else Query.boost_query(term, weight)))
        return Query.boolean_query(clauses) if clauses else None

    def _hits(self, query: Any, k: int) -> list[tuple[str, float]]:
        """Ids and scores of the best documents."""
        if query is None:
            return []
        _, searcher = self._opened
        hits = searcher.search(query, k, count=False).hits
        return [(searcher.doc(address)[self._id_field][0], score) for score, address in hits]
