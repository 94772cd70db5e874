"""Table of PostgreSQL, ranked by full-text rank or by pgvector: ``postgres:TABLE?dsn_env=NAME``."""

from collections.abc import Mapping, Sequence
from typing import Any

from envs_data.errors import unknown_name
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.access import library
from ospo_env.retrievers.engines.fields import parse_fields
from ospo_env.retrievers.engines.index import Search
from ospo_env.retrievers.engines.joined import JoinedRetriever
from ospo_env.retrievers.engines.postgres_connections import Connections
from ospo_env.retrievers.engines.postgres_ranks import Rank, text_rank, vector_rank
from ospo_env.retrievers.engines.requests import Limits, Unreachable
from ospo_env.retrievers.models import library_versions, locate_model

__all__ = ["PostgresIndex", "postgres_retriever"]

_TYPES = """
select attname, format_type(atttypid, null) from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
"""
_IDENTITY = """
select count(*), coalesce(sum(hashtextextended(concat_ws(chr(30), {id}::text, {content}), 0)::numeric), 0)::text,
    current_setting('server_version_num')::int / 10000
from {table}
"""
_SOME = "select {id}::text from {table} limit 1"
_COUNT = "select count(*) from {table} where {id} = any(%s::text[]::{type}[])"
_SCORES = """
with documents as materialized (
    select {id}::text as id, {columns} from {table} where {id} = any(%s::text[]::{type}[])
), queries as materialized (
    select n, {query} as q from unnest(%s::text[]) with ordinality as t(input, n)
)
select n, d.id, {score} from queries, documents as d where q is not null and ({matches})
"""
_BEST = """
with query as materialized (select {query} as q from (values (%s::text)) as t(input))
select d.id, {score} as score from query, (select {id}::text as id, {columns} from {table}) as d
where q is not null and ({matches})
order by score desc limit %s
"""


def postgres_retriever(
    corpus: Corpus,
    table: str,
    *,
    dsn_env: str = "",
    id: str = "doc_id",
    text: str = "text",
    config: str = "english",
    rank: str = "ts_rank",
    normalization: int = 1,
    vector: str = "",
    model: str = "",
    distance: str = "cosine",
    prompt: str | None = None,
    device: str | None = None,
    concurrency: int = 4,
    deadline: float = 60.0,
    batch: int = 32,
    cache: bool = True,
) -> JoinedRetriever:
    """Full-text rank or vector distance of a table's rows.

    Args:
        corpus: The documents.
        table: The table or view, with its schema before a dot if it needs one.
        dsn_env: Environment variable that holds the connection string.
        id: Column of the ids, unique, of a text or whole-number type.
        text: Columns to search, joined by ``+``, with weights behind ``^``; of a text type, or of type tsvector.
        config: Text search configuration.
        rank: ``ts_rank`` or ``ts_rank_cd``.
        normalization: Normalisation of the rank by a document's length, as PostgreSQL numbers it.
        vector: Column of pgvector to rank by in place of ``text``.
        model: Sentence-transformers model of ``vector``: a directory, or a hub id in the local cache.
        distance: ``cosine``, ``inner`` or ``l2``.
        prompt: Prefix of texts for the model.
        device: Device of the model.
        concurrency: Requests at once, each on a connection of its own.
        deadline: Seconds within which a request has to be answered, repetitions included.
        batch: Texts in a request.
        cache: Whether scores are kept on disk.

    Raises:
        TaskError: psycopg is not installed, or there is no such database, table, column or document.
        RetrieverError: The database did not answer in time.
    """
    library("postgres", "psycopg", "postgres")
    if not dsn_env:
        raise TaskError(
            "expected the variable that holds the connection string: export SHOP_DSN='host=... dbname=...', "
            f"and name it: postgres:{table}?dsn_env=SHOP_DSN"
        )
    limits = Limits(concurrency, deadline, batch)
    settings: dict[str, Any]
    if vector or model:
        if not (vector and model):
            raise TaskError("expected vector=COLUMN and model=MODEL of the retriever 'postgres' together; got one")
        files = locate_model("postgres", model, None, hub=False)
        ranked = vector_rank(vector, distance, files, device, prompt)
        settings = {"vector": vector, "distance": distance, "model": files.digest, "prompt": prompt}
        settings["libraries"] = library_versions()
    else:
        fields = parse_fields("postgres", text)
        ranked = text_rank(fields, config, rank, normalization)
        settings = {"fields": [list(field) for field in fields], "config": config, "rank": [rank, normalization]}
    index = PostgresIndex(table, id, ranked, Connections("postgres", dsn_env))
    return JoinedRetriever(index, corpus, settings, limits, cache=cache)


class PostgresIndex:
    """The rows of a table.

    Args:
        table: The table or view.
        id_column: Column of the ids.
        rank: The way of ranking.
        connections: The database.
    """

    kind = "postgres"
    window = 2**20

    def __init__(self, table: str, id_column: str, rank: Rank, connections: Connections) -> None:
        self.place = f"the table {table}"
        self._table = table
        self._id = id_column
        self._rank = rank
        self._connections = connections
        self._types: dict[str, str] = {}

    def identity(self, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Index.identity`: a digest of ids and content, and PostgreSQL's major version."""
        try:
            self._types = self._columns(seconds)
            ((documents, digest, version),) = self._rows(_IDENTITY, [], seconds)
            some = [doc_id for (doc_id,) in self._rows(_SOME, [], seconds)]
            self._rows(_SCORES, [some, self._rank.inputs(["a"])], seconds)  # raises where a setting does not fit
        except Unreachable as error:
            raise TaskError(f"no answer from {error}; start it, or correct ${self._connections.variable}") from None
        except RetrieverError as error:
            raise TaskError(f"cannot search {self.place}: {error}") from None
        return {"documents": documents, "digest": digest, "version": version}

    def count(self, ids: Sequence[str], seconds: float) -> int:
        """As :meth:`Index.count`."""
        try:
            ((count,),) = self._rows(_COUNT, [_sent(ids)], seconds)
        except RetrieverError as error:
            raise TaskError(f"cannot look for the ids of the corpus in {self.place}: {error}") from None
        return int(count)

    def scores(self, searches: Sequence[Search], seconds: float) -> list[Mapping[str, float]]:
        """As :meth:`Index.scores`, by one statement for each pool."""
        answers: list[dict[str, float]] = [{} for _ in searches]
        inputs = self._rank.inputs([search.text for search in searches])
        pools: dict[int, list[int]] = {}
        for place, search in enumerate(searches):
            pools.setdefault(id(search.ids), []).append(place)
        for places in pools.values():
            parameters = [_sent(searches[places[0]].ids), [inputs[place] for place in places]]
            for number, doc_id, score in self._rows(_SCORES, parameters, seconds):
                answers[places[number - 1]][doc_id] = score
        return list(answers)

    def best(self, text: str, k: int, seconds: float) -> list[tuple[str, float]]:
        """As :meth:`Index.best`."""
        rows = self._rows(_BEST, [*self._rank.inputs([text]), k], seconds)
        return [(doc_id, score) for doc_id, score in rows]

    def _rows(self, statement: str, parameters: Sequence[Any], seconds: float) -> list[tuple[Any, ...]]:
        """Rows of a statement with the names of this table in it."""
        from psycopg import sql

        composed = sql.SQL(statement).format(
            table=sql.Identifier(*self._table.split(".")),
            id=sql.Identifier(self._id),
            type=sql.SQL(self._types[self._id]),
            columns=self._rank.columns(self._types),
            content=self._rank.content,
            query=self._rank.query,
            matches=self._rank.matches,
            score=self._rank.score,
        )
        return self._connections.rows(composed, parameters, seconds)

    def _columns(self, seconds: float) -> dict[str, str]:
        """Types of the table's columns by name, checked."""
        from psycopg import sql

        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in self._table.split("."))
        types = dict(self._connections.rows(sql.SQL(_TYPES), [quoted], seconds))
        if not types:
            raise TaskError(
                f"expected a table {self._table!r} in the database that ${self._connections.variable} names; there is "
                "none that its user can see"
            )
        for name in (self._id, *self._rank.names):
            if name not in types:
                raise TaskError(unknown_name(f"column of the table {self._table!r}:", name, types))
        return types


def _sent(ids: Sequence[str]) -> list[str]:
    """Ids without the character 0, which PostgreSQL does not know."""
    return [doc_id.replace("\0", "") for doc_id in ids]
