"""Calls of a retriever: one at a time in a process; exceptions become typed errors, and results are checked.

Retrievers are shared by all tasks of a process, and neither the tokenizers of models nor caches of token ids are safe
to use from several threads at once. So a thread that calls a retriever waits for those that do.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError
from ospo_env.forks import ThreadLock
from ospo_env.retrievers.base import Retriever

__all__ = ["plain_array", "pool_scores", "ranked_documents", "rankings", "retriever_errors"]

Count: TypeAlias = Callable[[int], object]
"""A function of a number to count."""

Ranking: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float64]]
"""Document rows, best first, and their scores."""

_lock = ThreadLock()


class retriever_errors:
    """Call a retriever, alone in this process; whatever it raises becomes a :class:`RetrieverError` that names it.

    That holds for exceptions that would end more than the call, such as ``SystemExit`` or a panic of compiled code, and
    for ``StopIteration``, which the generators around the call would take for their end. ``KeyboardInterrupt`` passes.

    Args:
        name: The retriever's name.
        where: Words for the message, such as ``"on ranking the corpus"``.
        alone: Whether to wait for calls of other threads; reading an attribute need not.
    """

    def __init__(self, name: str, where: str, *, alone: bool = True) -> None:
        self._name = name
        self._where = where
        self._lock: AbstractContextManager[object] = _lock.current if alone else nullcontext()

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, traceback)
        if error is not None and not isinstance(error, KeyboardInterrupt):
            kind_of_error = "" if isinstance(error, RetrieverError) else f"{type(error).__name__}: "
            reason = one_line(f"{kind_of_error}{error}", 400)
            raise RetrieverError(f"retriever {self._name!r} failed {self._where}: {reason}") from error


def pool_scores(
    retriever: Retriever, texts: Sequence[str], pools: NDArray[np.int32], count_stored: Count = lambda count: None
) -> NDArray[np.float64]:
    """Scores of B texts on their pools (B, P): float64 (B, P), finite or -inf.

    Args:
        retriever: The retriever.
        texts: B texts.
        pools: Document rows (B, P).
        count_stored: Called with the number of texts whose scores the retriever took from disk.

    Raises:
        RetrieverError: The retriever failed, or returned something else.
    """
    name = retriever.name
    with retriever_errors(name, f"on a batch of {len(texts)} texts"):
        before = _stored_texts(retriever)
        scores = plain_array(retriever.score_pools(texts, pools))
        count_stored(_stored_texts(retriever) - before)
    if scores.shape != pools.shape or scores.dtype.kind not in "fiu":
        raise RetrieverError(
            f"retriever {name!r}: expected numbers of shape {pools.shape}; got {scores.dtype} of shape {scores.shape}"
        )
    scores = _as_float64(scores)
    wrong = np.isnan(scores) | (scores == np.inf)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise RetrieverError(
            f"retriever {name!r}: expected finite scores, or -inf for no match; got {scores[row, column]} for the "
            f"text {texts[row][:60]!r} and document row {pools[row, column]}"
        )
    return scores


def rankings(
    retriever: Retriever, texts: Sequence[str], k: int, corpus_size: int, count_stored: Count = lambda count: None
) -> Iterator[Ranking]:
    """Rows of at most k documents of the corpus for each of B texts, best first, and their scores, both (k',).

    A retriever that ranks several texts at once (``rank_texts``) is called once, others a text at a time.

    Args:
        retriever: The retriever.
        texts: B texts.
        k: Documents that are asked for.
        corpus_size: Documents of the corpus.
        count_stored: As for :func:`pool_scores`.

    Raises:
        RetrieverError: The retriever failed, or returned something else.
    """
    rank_texts = getattr(retriever, "rank_texts", None)
    parts = [[text] for text in texts] if rank_texts is None else [list(texts)] if texts else []
    for part in parts:
        with retriever_errors(retriever.name, "on ranking the corpus"):
            before = _stored_texts(retriever)
            ranked = [retriever.rank_corpus(part[0], k)] if rank_texts is None else list(rank_texts(part, k))
            arrays = [(plain_array(rows), plain_array(scores)) for rows, scores in ranked]
            count_stored(_stored_texts(retriever) - before)
        if len(arrays) != len(part):
            raise RetrieverError(
                f"retriever {retriever.name!r}: expected a ranking for each of {len(part)} texts; got {len(arrays)}"
            )
        for text, (rows, scores) in zip(part, arrays, strict=True):
            yield _checked_ranking(retriever.name, text, k, corpus_size, rows, scores)


def ranked_documents(retriever: Retriever, text: str, k: int, corpus_size: int) -> Ranking:
    """As :func:`rankings`, for one text."""
    (ranking,) = rankings(retriever, [text], k, corpus_size)
    return ranking


def _checked_ranking(
    name: str, text: str, k: int, corpus_size: int, rows: NDArray[Any], scores: NDArray[Any]
) -> Ranking:
    """Rows and scores, if they are a ranking."""
    for_text = f"for the text {text[:60]!r}"
    distinct = rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows) <= k and len(np.unique(rows)) == len(rows)
    if not distinct or (len(rows) and not 0 <= rows.min() <= rows.max() < corpus_size):
        raise RetrieverError(
            f"retriever {name!r}: expected at most {k} distinct document rows below {corpus_size:,} {for_text}; "
            f"got {rows.dtype} of shape {rows.shape}"
        )
    if scores.shape != rows.shape or scores.dtype.kind not in "fiu":
        raise RetrieverError(
            f"retriever {name!r}: expected as many scores as document rows, {len(rows)}, {for_text}; "
            f"got {scores.dtype} of shape {scores.shape}"
        )
    scores = _as_float64(scores)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise RetrieverError(
            f"retriever {name!r}: expected finite scores of ranked documents; got {scores[wrong[0]]} {for_text} and "
            f"document row {rows[wrong[0]]}"
        )
    return rows.astype(np.int32), scores


def _stored_texts(retriever: Retriever) -> int:
    """Number of texts so far whose scores a retriever took from disk, if it counts them."""
    count: object = getattr(retriever, "stored_texts", 0)
    return count if isinstance(count, int) else 0


def plain_array(values: Any) -> NDArray[Any]:
    """Values as an array.

    Raises:
        TypeError: They are a masked array, whose mask would be lost.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("expected a plain array, in which -inf stands for no match; got a masked array")
    return np.asarray(values)


def _as_float64(scores: NDArray[Any]) -> NDArray[np.float64]:
    """A copy as float64; longer numbers beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return scores.astype(np.float64)
