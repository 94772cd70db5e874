"""Two ways in which PostgreSQL ranks: full-text rank, and distance of vectors by pgvector; as parts of statements.

A statement has a row ``d`` for each document, with the columns of :meth:`Rank.columns`, and a value ``q`` of a text.
"""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from ospo_env.errors import TaskError
from ospo_env.retrievers.encoder import UNIT, TextEncoder
from ospo_env.retrievers.engines.fields import Field
from ospo_env.retrievers.models import ModelFiles

__all__ = ["DISTANCES", "RANKS", "Rank", "TextRank", "VectorRank"]

RANKS = ("ts_rank", "ts_rank_cd")
"""Functions of full-text rank."""

DISTANCES = {"cosine": ("<=>", "1 - ({})"), "inner": ("<#>", "- ({})"), "l2": ("<->", "- ({})")}
"""Operators of pgvector by name, and the score that a distance becomes."""


class Rank(Protocol):
    """Parts of a statement that ranks documents for texts."""

    def inputs(self, texts: Sequence[str]) -> list[str | None]:
        """Inputs of the statement for each text; ``None`` for a text that matches nothing."""
        ...

    def columns(self, types: Any) -> Any:
        """Expressions of a document, with names; ``types`` maps names of columns to their types."""
        ...

    def content(self) -> Any:
        """Expression of what decides a document's score, as text."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Columns that are read."""
        ...

    @property
    def query(self) -> Any:
        """Expression of ``q``, from ``input``; null where nothing is matched."""
        ...

    @property
    def matches(self) -> Any:
        """Condition on ``d`` and ``q``."""
        ...

    @property
    def score(self) -> Any:
        """Expression of the score, from ``d`` and ``q``."""
        ...


class TextRank:
    """Full-text rank: a document matches a text that shares a lexeme with it.

    Args:
        fields: Columns of text or of type tsvector, with weights.
        config: Text search configuration, such as ``english``.
        rank: One of :data:`RANKS`.
        normalization: Normalisation by a document's length, as PostgreSQL numbers it.
    """

    def __init__(self, fields: Sequence[Field], config: str, rank: str, normalization: int) -> None:
        if rank not in RANKS:
            raise TaskError(f"expected rank of the retriever 'postgres' as one of {', '.join(RANKS)}; got {rank!r}")
        self._fields = tuple(fields)
        self._config, self._rank, self._normalization = config, rank, normalization

    @property
    def names(self) -> Sequence[str]:
        """As :attr:`Rank.names`."""
        return [name for name, _ in self._fields]

    def inputs(self, texts: Sequence[str]) -> list[str | None]:
        """The texts, without the character 0, which PostgreSQL does not know."""
        return [text.replace("\0", " ") for text in texts]

    def columns(self, types: Any) -> Any:
        """A tsvector for each field."""
        from psycopg import sql

        return sql.SQL(", ").join(
            sql.SQL("{} as {}").format(
                sql.Identifier(name)
                if types[name] == "tsvector"
                else sql.SQL("to_tsvector({}::regconfig, coalesce({}::text, ''))").format(
                    sql.Literal(self._config), sql.Identifier(name)
                ),
                sql.Identifier(f"v{number}"),
            )
            for number, name in enumerate(self.names)
        )

    def content(self) -> Any:
        """All fields."""
        from psycopg import sql

        fields = (sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in self.names)
        return sql.SQL("concat_ws(chr(31), {})").format(sql.SQL(", ").join(fields))

    @property
    def query(self) -> Any:
        """Any of the text's lexemes."""
        from psycopg import sql

        quoted = r"'''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''"
        return sql.SQL("(select string_agg({}, ' | ')::tsquery from unnest(to_tsvector({}::regconfig, input)))").format(
            sql.SQL(quoted), sql.Literal(self._config)
        )

    @property
    def matches(self) -> Any:
        """As :attr:`Rank.matches`."""
        from psycopg import sql

        return sql.SQL(" or ").join(
            sql.SQL("d.{} @@ q").format(sql.Identifier(f"v{number}")) for number in range(len(self._fields))
        )

    @property
    def score(self) -> Any:
        """Weighted sum over the fields."""
        from psycopg import sql

        return sql.SQL(" + ").join(
            sql.SQL("{}::float8 * {}(d.{}, q, {})::float8").format(
                sql.Literal(field.weight),
                sql.SQL(self._rank),
                sql.Identifier(f"v{number}"),
                sql.Literal(self._normalization),
            )
            for number, field in enumerate(self._fields)
        )


class VectorRank:
    """Distance of vectors by pgvector: a text with a token that the model knows matches all documents with a vector.

    Args:
        column: Column of type vector.
        distance: A key of :data:`DISTANCES`.
        model: Sentence-transformers model that made the vectors of the documents.
        device: Device of the model; ``None`` takes an accelerator where there is one.
        prompt: Prefix of texts; ``None`` takes the model's own.
    """

    def __init__(self, column: str, distance: str, model: ModelFiles, device: str | None, prompt: str | None) -> None:
        if distance not in DISTANCES:
            raise TaskError(
                f"expected distance of the retriever 'postgres' as one of {', '.join(DISTANCES)}; got {distance!r}"
            )
        self._column = column
        self._operator, self._form = DISTANCES[distance]
        self._opening = (model.directory, "float32", device, {"query": prompt})
        self._open()

    @property
    def names(self) -> Sequence[str]:
        """As :attr:`Rank.names`."""
        return [self._column]

    def inputs(self, texts: Sequence[str]) -> list[str | None]:
        """Unit vectors as pgvector reads them."""
        with self._lock:
            vectors, matching = self._encoder.encode(texts, "query")
        return [
            "[" + ",".join(f"{number:.9g}" for number in vector.tolist()) + "]" if is_matching else None
            for vector, is_matching in zip(vectors.astype(float) / UNIT, matching.tolist(), strict=True)
        ]

    def columns(self, types: Any) -> Any:
        """The vector."""
        from psycopg import sql

        return sql.SQL("{} as v0").format(sql.Identifier(self._column))

    def content(self) -> Any:
        """Digest of the vector."""
        from psycopg import sql

        return sql.SQL("coalesce(md5(vector_send({})), '')").format(sql.Identifier(self._column))

    @property
    def query(self) -> Any:
        """As :attr:`Rank.query`."""
        from psycopg import sql

        return sql.SQL("input::vector")

    @property
    def matches(self) -> Any:
        """Documents with a vector that has a distance; null is no match either."""
        from psycopg import sql

        return sql.SQL(f"(d.v0 {self._operator} q) <> 'NaN'")

    @property
    def score(self) -> Any:
        """As :attr:`Rank.score`; greater is nearer."""
        from psycopg import sql

        return sql.SQL(self._form.format(f"d.v0 {self._operator} q"))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_encoder", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        self._lock = threading.Lock()  # tokenizers are for one thread at a time

    @cached_property
    def _encoder(self) -> TextEncoder:
        return TextEncoder(*self._opening)
