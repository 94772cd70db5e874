"""Two ways in which PostgreSQL ranks: full-text rank, and distance of vectors by pgvector; as parts of statements."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from ospo_env.errors import TaskError
from ospo_env.retrievers.encoder import UNIT, TextEncoder
from ospo_env.retrievers.engines.fields import Field
from ospo_env.retrievers.models import ModelFiles

__all__ = ["DISTANCES", "RANKS", "Rank", "text_rank", "vector_rank"]

RANKS = ("ts_rank", "ts_rank_cd")
"""Functions of full-text rank."""

DISTANCES = {"cosine": ("<=>", "1 - (%)"), "inner": ("<#>", "- (%)"), "l2": ("<->", "- (%)")}
"""Operators of pgvector by name, and the score that a distance becomes."""

_QUOTED = r"'''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''"


class Rank(NamedTuple):
    """Parts of a statement in which ``d`` is a document, with columns ``v0``, ``v1``, ..., and ``q`` a text's value.

    Attributes:
        names: Columns of the table that are read.
        inputs: Function of texts that gives what is sent for each; ``None`` for a text that matches nothing.
        columns: Function of the types of columns that gives the expressions ``v0``, ``v1``, ...
        content: Expression, as text, of what decides a document's score.
        query: Expression of ``q`` from ``input``; null where nothing is matched.
        matches: Condition on ``d`` and ``q``.
        score: Expression of the score.
    """

    names: Sequence[str]
    inputs: Callable[[Sequence[str]], list[str | None]]
    columns: Callable[[Mapping[str, str]], Any]
    content: Any
    query: Any
    matches: Any
    score: Any


def text_rank(fields: Sequence[Field], config: str, rank: str, normalization: int) -> Rank:
    """Full-text rank: a document matches a text that shares a lexeme with it, and scores a weighted sum over fields.

    Args:
        fields: Columns of text or of type tsvector, with weights.
        config: Text search configuration, such as ``english``.
        rank: One of :data:`RANKS`.
        normalization: Normalisation by a document's length, as PostgreSQL numbers it.

    Raises:
        TaskError: There is no such rank.
    """
    from psycopg import sql

    if rank not in RANKS:
        raise TaskError(f"expected rank of the retriever 'postgres' as one of {', '.join(RANKS)}; got {rank!r}")
    names = [field.name for field in fields]
    filled = [sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in names]
    lexemes = sql.SQL("unnest(to_tsvector({}::regconfig, input))").format(sql.Literal(config))
    score = "{}::float8 * " + rank + "({}, q, {})::float8"
    vectors = [sql.Identifier("d", f"v{number}") for number in range(len(fields))]
    return Rank(
        names=names,
        inputs=_without_zeros,
        columns=partial(_vectors_of_text, tuple(names), config),
        content=sql.SQL("concat_ws(chr(31), {})").format(sql.SQL(", ").join(filled)),
        query=sql.SQL("(select string_agg({}, ' | ')::tsquery from {})").format(sql.SQL(_QUOTED), lexemes),
        matches=sql.SQL(" or ").join(sql.SQL("{} @@ q").format(vector) for vector in vectors),
        score=sql.SQL(" + ").join(
            sql.SQL(score).format(sql.Literal(field.weight), vector, sql.Literal(normalization))
            for field, vector in zip(fields, vectors, strict=True)
        ),
    )


def vector_rank(column: str, distance: str, model: ModelFiles, device: str | None, prompt: str | None) -> Rank:
    """Distance of vectors: a text with a token that the model knows matches all documents with a vector.

    Args:
        column: Column of pgvector.
        distance: A key of :data:`DISTANCES`.
        model: Sentence-transformers model that made the vectors of the documents.
        device: Device of the model; ``None`` takes an accelerator where there is one.
        prompt: Prefix of texts; ``None`` takes the model's own.

    Raises:
        TaskError: There is no such distance.
    """
    from psycopg import sql

    if distance not in DISTANCES:
        raise TaskError(
            f"expected distance of the retriever 'postgres' as one of {', '.join(DISTANCES)}; got {distance!r}"
        )
    operator, form = DISTANCES[distance]
    measured = f"d.v0 {operator} q"
    return Rank(
        names=[column],
        inputs=_Encoder(model, device, prompt),
        columns=partial(_plain, column),
        content=sql.SQL("coalesce(md5(vector_send({})), '')").format(sql.Identifier(column)),
        query=sql.SQL("input::vector"),
        matches=sql.SQL(f"({measured}) <> 'NaN'"),  # the distance of a vector of zeros; null is no match either
        score=sql.SQL(form.replace("%", measured)),
    )


class _Encoder:
    """Unit vectors of texts as pgvector reads them; the model is opened when the first text comes."""

    def __init__(self, model: ModelFiles, device: str | None, prompt: str | None) -> None:
        self._opening = (model.directory, "float32", device, {"query": prompt})
        self._lock = threading.Lock()  # tokenizers are for one thread at a time

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        with self._lock:
            vectors, matching = self._model.encode(texts, "query")
        return [
            "[" + ",".join(f"{number:.9g}" for number in vector) + "]" if is_matching else None
            for vector, is_matching in zip((vectors.astype(float) / UNIT).tolist(), matching.tolist(), strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {"_opening": self._opening}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @cached_property
    def _model(self) -> TextEncoder:
        return TextEncoder(*self._opening)


def _without_zeros(texts: Sequence[str]) -> list[str | None]:
    """Texts without the character 0, which PostgreSQL does not know."""
    return [text.replace("\0", " ") for text in texts]


def _vectors_of_text(names: Sequence[str], config: str, types: Mapping[str, str]) -> Any:
    from psycopg import sql

    parsed = sql.SQL("to_tsvector({}::regconfig, coalesce({}::text, ''))")
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(
            sql.Identifier(name)
            if types[name] == "tsvector"
            else parsed.format(sql.Literal(config), sql.Identifier(name)),
            sql.Identifier(f"v{number}"),
        )
        for number, name in enumerate(names)
    )


def _plain(column: str, types: Mapping[str, str]) -> Any:
    from psycopg import sql

    return sql.SQL("{} as v0").format(sql.Identifier(column))
