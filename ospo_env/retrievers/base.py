"""The contract of a retriever, and helpers that the retrievers of this package share."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RETRIEVER_MEMBERS",
    "Encoder",
    "Retriever",
    "best_rows",
    "equal_pools",
    "is_encoder",
    "is_retriever",
    "make_fingerprint",
    "unit_rows",
]

RETRIEVER_MEMBERS = ("name", "fingerprint", "linear", "score_pools", "rank_corpus", "cuts_cleanly")


class Retriever(Protocol):
    """Ranker of documents, named by their rows in the corpus, for a text. Scores depend on text and corpus alone.

    A document that a text does not match scores -inf: it is not ranked and earns nothing. Blank texts match nothing,
    and blank documents are matched by nothing. A retriever can be pickled. A retriever that fails raises an exception;
    the task turns it into a ``RetrieverError``, never into a reward.

    If the score of a document also depends on the other documents of the pool, as in a fusion of rankings, the
    retriever has an attribute ``depends_on_pool = True``.

    A retriever that ranks the corpus for several texts at once may have a method ``rank_texts(texts, k)``, a list of
    what :meth:`rank_corpus` returns for each. One that takes scores from disk may count the texts in ``stored_texts``.

    A retriever whose scores of a text change when tokens are added that it does not know may have a method
    ``has_known_tokens(texts) -> bool (B,)``: whether each of B texts holds a token that it knows. Behind a query, texts
    without one are then not sent (``compose="append"``); without the method, blank texts are not.
    """

    @property
    def name(self) -> str:
        """The name in messages and tables."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of kind, settings, corpus and version: equal fingerprints give equal scores."""
        ...

    @property
    def linear(self) -> bool:
        """Whether the scores of a text are **exactly** the sums of its pieces' scores.

        This must hold for every cut of a text that ``cuts_cleanly`` accepts: a document matches the text if and only if
        it matches a piece, and then its score is the sum of its finite piece scores, to the last bit and in any order
        of summation (for example whole numbers below 2^53). The same holds for pieces joined with a space.
        Coalitions then cost a matrix product instead of retrievals.
        """
        ...

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """Score B texts, each on its own pool.

        Args:
            texts: B texts without lone surrogates.
            pools: Document rows (B, P); -1 pads a shorter pool.

        Returns:
            float64 (B, P): finite scores; -inf where the text does not match the document or the row is -1.
        """
        ...

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The best ``k`` documents of the corpus, at least 1, or fewer where fewer match.

        Returns:
            Document rows and their scores, both (k',), by (-score, row).
        """
        ...

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether cutting the text at all these character offsets leaves the analyser's units whole."""
        ...


class Encoder(Protocol):
    """A retriever that also encodes texts as vectors, as ``lsa`` and ``dense`` do.

    Vectors are comparable between retrievers of equal fingerprints only.
    """

    @property
    def dimensions(self) -> int:
        """Length d of the vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of B texts, the same that documents are ranked with.

        Args:
            texts: B texts without lone surrogates.

        Returns:
            float32 (B, d), rows of unit length, hence every number in [-1, 1]; zeros for a text that matches nothing.
        """
        ...


def is_retriever(value: object) -> TypeGuard[Retriever]:
    """Whether an object offers all of :class:`Retriever`.

    Members that ``__getattr__`` forwards to another retriever count, as they did for ``isinstance`` until Python 3.11.
    """
    return all(hasattr(value, member) for member in RETRIEVER_MEMBERS)


def is_encoder(value: object) -> TypeGuard[Encoder]:
    """Whether an object offers all of :class:`Encoder`; as :func:`is_retriever`."""
    return hasattr(value, "dimensions") and hasattr(value, "encode")


def make_fingerprint(kind: str, version: int, settings: Mapping[str, Any], corpus: str) -> str:
    """Digest of everything that decides a retriever's scores.

    Args:
        kind: The kind's name; it stays readable in the result.
        version: Number that goes up whenever the same settings and corpus would score differently.
        settings: Settings that decide scores, JSON-able.
        corpus: Digest of the documents.

    Returns:
        The kind and 16 hex digits.
    """
    content = json.dumps([kind, version, dict(settings), corpus], sort_keys=True)
    return f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def equal_pools(pools: NDArray[np.int32]) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
    """Batch rows that share a pool, with that pool (P,); pools in order of first appearance.

    The rollouts of a group are ranked on one pool, whose documents then need to be gathered only once.
    """
    rows: dict[bytes, list[int]] = {}
    for row, pool in enumerate(np.ascontiguousarray(pools)):
        rows.setdefault(pool.tobytes(), []).append(row)
    for members in rows.values():
        yield members, pools[members[0]]


def unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows (B, d) at unit length, each number in [-1, 1]; a row of zeros stays. Rows are independent of each other.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.array([np.linalg.norm(vector) for vector in vectors]).reshape(-1, 1)
    units = np.zeros(vectors.shape, dtype=np.float64)
    np.divide(vectors, lengths, out=units, where=lengths > 0)
    return np.clip(units, -1.0, 1.0).astype(np.float32)


def best_rows(scores: NDArray[np.float64], k: int) -> NDArray[np.int32]:
    """The best ``k`` rows of corpus scores (D,) by (-score, row), without those of -inf."""
    rows = np.flatnonzero(scores > -np.inf)
    if len(rows) > k:
        kth = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
        rows = rows[scores[rows] >= kth]
    order = np.argsort(-scores[rows], kind="stable")[:k]
    return rows[order].astype(np.int32)
