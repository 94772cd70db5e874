"""Fusion of retrievers: the sum of their reciprocal ranks, or of their scaled scores, in a candidate pool."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.retrievers.base import Retriever, best_rows, make_fingerprint

__all__ = ["FUSIONS", "FusionRetriever", "min_max", "reciprocal_rank"]

_VERSION = 1
_DEPTH = 1000  # documents of each ranking of the whole corpus

Array: TypeAlias = NDArray[np.float64]


def reciprocal_rank(scores: Array) -> Array:
    """1 / (60 + rank) of each score (B, P) in its row, 0 for -inf (Cormack, Clarke and Buettcher 2009).

    Equal scores share the better rank.

    >>> reciprocal_rank(np.array([[3.0, 5.0, 3.0, -np.inf]])) == [[1 / 62, 1 / 61, 1 / 62, 0.0]]
    array([[ True,  True,  True,  True]])
    """
    ranks = 1 + np.stack([np.searchsorted(np.sort(-row), -row) for row in scores]) if len(scores) else scores
    return np.where(scores > -np.inf, 1.0 / (60.0 + ranks), 0.0)


def min_max(scores: Array) -> Array:
    """Each score (B, P) scaled from the range of its row's finite scores to [0, 1]; 0 for -inf.

    If all finite scores of a row are equal, they become 1.

    >>> min_max(np.array([[3.0, 5.0, 4.0, -np.inf], [2.0, 2.0, -np.inf, -np.inf]]))
    array([[0. , 1. , 0.5, 0. ],
           [1. , 1. , 0. , 0. ]])
    """
    finite = scores > -np.inf
    least = np.where(finite, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    most = scores.max(axis=1, initial=-np.inf, keepdims=True)
    width = np.subtract(most, least, out=np.zeros_like(most), where=np.isfinite(most))
    above = np.subtract(scores, least, out=np.zeros_like(scores), where=finite)
    return np.where(finite, np.divide(above, width, out=np.ones_like(scores), where=width > 0), 0.0)


FUSIONS: dict[str, Callable[[Array], Array]] = {"reciprocal_rank": reciprocal_rank, "min_max": min_max}
"""Transformations of scores (B, P) before they are added up, by name."""


class FusionRetriever:
    """Weighted sum of the scores of several retrievers, transformed by one of :data:`FUSIONS`.

    A document matches a text if it matches for one of the retrievers. Ranks, least and greatest scores are those within
    the pool, so a score depends on the other documents of the pool. The whole corpus is ranked as one pool of the best
    1000 documents of each retriever. Not linear.

    Args:
        retrievers: At least two, on the same documents.
        method: Key of :data:`FUSIONS`.
        weights: Weight of each retriever, above 0; ``None`` for equal ones.

    Raises:
        TaskError: An argument is out of range.
    """

    linear = False
    depends_on_pool = True

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        *,
        method: str = "reciprocal_rank",
        weights: Sequence[float] | None = None,
    ) -> None:
        if len(retrievers) < 2:
            raise TaskError(f"expected at least two retrievers to fuse; got {len(retrievers)}")
        if method not in FUSIONS:
            raise TaskError(unknown_name("method of fusion", method, FUSIONS))
        self._weights = [1.0] * len(retrievers) if weights is None else [float(weight) for weight in weights]
        if len(self._weights) != len(retrievers) or not all(0 < weight < math.inf for weight in self._weights):
            raise TaskError(f"expected {len(retrievers)} weights above 0, one a retriever; got {self._weights}")
        self._retrievers = tuple(retrievers)
        self._method = method
        self.name = "fusion:" + "+".join(retriever.name for retriever in retrievers)
        settings = {
            "retrievers": [retriever.fingerprint for retriever in retrievers],
            "method": method,
            "weights": self._weights,
        }
        self.fingerprint = make_fingerprint("fusion", _VERSION, settings, "")

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> Array:
        """As :meth:`Retriever.score_pools`: finite scores are at least 0."""
        return self._fused([retriever.score_pools(texts, pools) for retriever in self._retrievers])

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], Array]:
        """As :meth:`Retriever.rank_corpus`, of documents that are among the best 1000 of a retriever."""
        rankings = [retriever.rank_corpus(text, max(k, _DEPTH)) for retriever in self._retrievers]
        documents = np.unique(np.concatenate([rows for rows, _ in rankings]))
        scores = np.full((len(rankings), 1, len(documents)), -np.inf)
        for place, (rows, values) in enumerate(rankings):
            scores[place, 0, np.searchsorted(documents, rows)] = values
        fused = self._fused(list(scores))[0]
        best = best_rows(fused, k)
        return documents[best], fused[best]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """False: ranks of a text are not sums of its pieces' ranks."""
        return False

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a token that one of the retrievers knows or cannot tell: bool (B,)."""
        known = np.zeros(len(texts), dtype=np.bool_)
        for retriever in self._retrievers:
            tell = getattr(retriever, "has_known_tokens", None)
            known |= True if tell is None else tell(texts)
        return known

    def _fused(self, scores: Sequence[Array]) -> Array:
        total = np.zeros(scores[0].shape)
        for weight, part in zip(self._weights, scores, strict=True):
            total += weight * FUSIONS[self._method](part)
        return np.where(np.any([part > -np.inf for part in scores], axis=0), total, -np.inf)
