"""Scores of texts on their queries' pools, and worths of coalitions: batched, without duplicates, cached."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from ospo_env.coalitions import coalition_text
from ospo_env.errors import RetrieverError
from ospo_env.metrics import Metric
from ospo_env.pools import CandidatePools
from ospo_env.retrievers.base import Retriever

__all__ = ["PoolScorer"]

_CACHE_BYTES = 64 * 2**20
_ENTRY_BYTES = 400  # what Python keeps for a key and a row besides their content
_CHUNK = 4096  # coalitions measured at once; bounds memory, changes no value

_Key: TypeAlias = tuple[int, str]
_Scores: TypeAlias = NDArray[np.float64]


class _Entry(NamedTuple):
    scores: _Scores
    text: str  # of the key, for the size


class _Game(NamedTuple):
    """The coalitions of one text, and the texts that the retriever has to score for their worths."""

    query: int
    grand: NDArray[np.intp]  # the coalitions that keep the whole text
    proper: NDArray[np.intp]  # those that keep a part of it; all others are empty
    row: NDArray[np.intp]  # for each proper coalition its row of the matrix below
    masks: NDArray[np.bool_]  # distinct coalitions, over the segments that are in one of them
    texts: list[str]  # one a segment if linear, else one a mask
    linear: bool


class PoolScorer:
    """Puts texts to a retriever, each on the pool of its query, and measures the rankings.

    One call of a method is at most one call of the retriever, on what is left after duplicates were removed and
    texts known from earlier calls were taken from a cache of score rows (least recently used ones leave). Whether a
    row came from the cache, and which others it was computed with, changes no value.

    Args:
        retriever: Scores texts.
        pools: The candidate pools; queries are named by their rows in it.
        metric: What a worth and a reward is.
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(
        self, retriever: Retriever, pools: CandidatePools, metric: Metric, cache_bytes: int = _CACHE_BYTES
    ) -> None:
        self._retriever = retriever
        self._pools = pools
        self._metric = metric
        self._cache: LRUCache[_Key, _Entry] = LRUCache(maxsize=cache_bytes, getsizeof=_entry_bytes)
        self._counters = {"asked": 0, "distinct": 0, "cached": 0}

    @property
    def counters(self) -> Mapping[str, int]:
        """Work since the scorer was made.

        ``asked``: texts and coalitions put to it. ``distinct``: texts whose scores that took, after duplicates were
        removed within each call; a linear retriever needs those of segments, not of coalitions. ``cached``: those of
        them that were known from earlier calls. So the retriever has scored ``distinct - cached`` texts.
        """
        return dict(self._counters)

    def scores(self, queries: NDArray[np.int64], texts: Sequence[str]) -> _Scores:
        """Scores of B texts on their queries' pools: float64 (B, P), -inf where not matched or padded."""
        self._counters["asked"] += len(texts)
        keys = list(zip(queries.tolist(), texts, strict=True))
        known = self._score(keys)
        scores = np.full((len(keys), max((self._pools.size(query) for query, _ in keys), default=0)), -np.inf)
        for row, key in enumerate(keys):
            scores[row, : len(known[key])] = known[key]
        return scores

    def measure(self, queries: NDArray[np.int64], scores: _Scores, metric: Metric | None = None) -> _Scores:
        """A metric, the scorer's own by default, of B rows of scores (B, P): float64 (B,) in [0, 1]."""
        return (metric or self._metric)(scores, self._pools.gain_batch(queries), self._pools.judged_batch(queries))

    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> _Scores:
        """The metric of each text's ranking: float64 (B,) in [0, 1]."""
        return self.measure(queries, self.scores(queries, texts))

    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
    ) -> list[_Scores]:
        """The worth of each coalition of each text's segments.

        A coalition that keeps no character is worth 0, one that keeps them all what :meth:`rewards` gives. With a
        linear retriever, and cuts between its units, the scores of the others are sums of segment scores; otherwise
        their texts are scored.

        Args:
            queries: int64 (B,).
            texts: B texts, capped.
            spans: Their segments, which tile them, B times int64 (N_b, 2); segments without characters are null
                players.
            coalitions: B times bool (C_b, N_b).

        Returns:
            B times float64 (C_b,).
        """
        self._counters["asked"] += sum(map(len, coalitions))
        games = [self._game(*game) for game in zip(queries.tolist(), texts, spans, coalitions, strict=True)]
        whole = [(game.query, text) for game, text in zip(games, texts, strict=True) if len(game.grand)]
        known = self._score([*whole, *((game.query, text) for game in games for text in game.texts)])
        worths = [np.zeros(len(matrix)) for matrix in coalitions]
        for game, text, worth in zip(games, texts, worths, strict=True):
            if len(game.grand):
                worth[game.grand] = self._measure_one_query(game.query, known[game.query, text][None])
            if len(game.proper):
                worth[game.proper] = self._proper_worths(game, known)[game.row]
        return worths

    def _game(self, query: int, text: str, spans: NDArray[np.int64], coalitions: NDArray[np.bool_]) -> _Game:
        filled = spans[:, 1] > spans[:, 0]
        spans, coalitions = spans[filled], coalitions[:, filled]
        sizes = coalitions.sum(axis=1)
        grand = np.flatnonzero((sizes == len(spans)) & (sizes > 0))
        proper = np.flatnonzero((sizes < len(spans)) & (sizes > 0))
        masks = coalitions[proper]
        if self._retriever.linear and self._retriever.cuts_cleanly(text, spans[1:, 0].tolist()):
            used = masks.any(axis=0)
            pieces = [text[start:end] for start, end in spans[used]]
            return _Game(query, grand, proper, np.arange(len(proper)), masks[:, used], pieces, linear=True)
        masks, row = np.unique(masks, axis=0, return_inverse=True)
        parts = [coalition_text(text, spans, mask) for mask in masks]
        return _Game(query, grand, proper, row.reshape(-1), masks, parts, linear=False)

    def _proper_worths(self, game: _Game, known: Mapping[_Key, _Scores]) -> _Scores:
        """Worths of a game's distinct proper coalitions, in the order of its masks."""
        rows = np.stack([known[game.query, text] for text in game.texts])
        matched = rows > -np.inf
        summands = np.where(matched, rows, 0.0)
        positive = bool((summands[matched] > 0).all())
        worths = np.empty(len(game.masks))
        for start in range(0, len(worths), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            if game.linear:
                kept = game.masks[chunk].astype(np.float64)
                sums = kept @ summands
                scores = np.where(sums > 0 if positive else kept @ matched > 0, sums, -np.inf)
            else:
                scores = rows[chunk]
            worths[chunk] = self._measure_one_query(game.query, scores)
        return worths

    def _measure_one_query(self, query: int, scores: _Scores) -> _Scores:
        return self.measure(np.array([query]), scores)

    def _score(self, keys: Iterable[_Key]) -> dict[_Key, _Scores]:
        """Score rows (P,) of all distinct keys, in one call of the retriever at most."""
        known: dict[_Key, _Scores] = {}
        missing: list[_Key] = []
        for key in dict.fromkeys(keys):
            entry = self._cache.get(key)
            if entry is None:
                missing.append(key)
            else:
                known[key] = entry.scores
        self._counters["distinct"] += len(known) + len(missing)
        self._counters["cached"] += len(known)
        if missing:
            pools = self._pools.document_batch(np.array([query for query, _ in missing]))
            scores = _checked_scores(self._retriever, [text for _, text in missing], pools)
            for key, row in zip(missing, scores, strict=True):
                known[key] = row[: self._pools.size(key[0])].copy()
                entry = _Entry(known[key], key[1])
                if _entry_bytes(entry) <= self._cache.maxsize:
                    self._cache[key] = entry
        return known


def _entry_bytes(entry: _Entry) -> int:
    return entry.scores.nbytes + sys.getsizeof(entry.text) + _ENTRY_BYTES


def _checked_scores(retriever: Retriever, texts: Sequence[str], pools: NDArray[np.int32]) -> _Scores:
    """What the retriever returns, if it is scores (B, P): finite or -inf."""
    name = retriever.name
    try:
        scores = np.asarray(retriever.score_pools(texts, pools))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RetrieverError(f"retriever {name!r} failed on a batch of {len(texts)} texts: {reason}") from error
    if scores.shape != pools.shape or scores.dtype.kind not in "fiu":
        raise RetrieverError(
            f"retriever {name!r}: expected numbers of shape {pools.shape}; got {scores.dtype} of shape {scores.shape}"
        )
    scores = scores.astype(np.float64)
    wrong = np.isnan(scores) | (scores == np.inf)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise RetrieverError(
            f"retriever {name!r}: expected finite scores, or -inf for no match; got {scores[row, column]} for the "
            f"text {texts[row][:60]!r} and document row {pools[row, column]}"
        )
    return scores
