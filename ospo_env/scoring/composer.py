"""Texts that the retriever is sent for rewrites, in batches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ospo_env.composition import Composition
from ospo_env.errors import RetrieverError
from ospo_env.retrievers.base import Retriever
from ospo_env.scoring.calls import plain_array, retriever_errors

__all__ = ["Composer"]


class Composer:
    """Makes the texts that a retriever is sent.

    Args:
        composition: Rule that makes a text of a query and a rewrite.
        queries: Raw queries by row, without lone surrogates.
        retriever: The retriever; asked for known tokens if it can tell them.
    """

    def __init__(self, composition: Composition, queries: Sequence[str], retriever: Retriever) -> None:
        self._composition = composition
        self._queries = queries
        self._retriever = retriever

    def front(self, query: int) -> tuple[str, int] | None:
        """The text of the query of a row in front of every rewrite, and how often it counts; ``None`` without."""
        composition = self._composition
        return (composition.raw(self._queries[query]), composition.query_weight) if composition.appends else None

    def known_words(self, query: int) -> frozenset[str] | None:
        """Words that are not sent behind the query of a row; ``None`` where a word counts as often as it stands."""
        return self._composition.known_words(self._queries[query]) if self._composition.once else None

    def texts(self, queries: Sequence[int], kept: Sequence[str]) -> list[str]:
        """The text that is sent for each of B rewrites.

        A rewrite behind the query that holds no token that the retriever knows is left out.

        Args:
            queries: Rows of B queries.
            kept: The parts of B rewrites that count: whole ones up to the cap, or the segments of a coalition.

        Raises:
            RetrieverError: The retriever failed.
        """
        composition = self._composition
        if composition == Composition():
            return list(kept)
        asked = [self._queries[row] for row in queries]
        rewrites = [composition.rewrite(text, query) for text, query in zip(kept, asked, strict=True)]
        unknown = self._unknown(rewrites) if composition.appends else frozenset()
        return [
            composition.text("" if rewrite in unknown else rewrite, query)
            for rewrite, query in zip(rewrites, asked, strict=True)
        ]

    def _unknown(self, texts: Sequence[str]) -> frozenset[str]:
        """The texts, of those that are not blank, without a token that the retriever knows.

        None of a linear retriever, to whose sums they add nothing.
        """
        name = self._retriever.name
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        has_known_tokens = getattr(self._retriever, "has_known_tokens", None)
        if has_known_tokens is None or not distinct:
            return frozenset()
        with retriever_errors(name, "on the property linear", alone=False):
            if self._retriever.linear:
                return frozenset()
        with retriever_errors(name, f"on the tokens of {len(distinct)} texts"):
            known: NDArray[np.bool_] = plain_array(has_known_tokens(distinct))
        if known.shape != (len(distinct),) or known.dtype != np.bool_:
            raise RetrieverError(
                f"retriever {name!r}: expected bools of shape ({len(distinct)},) from has_known_tokens; "
                f"got {known.dtype} of shape {known.shape}"
            )
        return frozenset(text for text, is_known in zip(distinct, known.tolist(), strict=True) if not is_known)
