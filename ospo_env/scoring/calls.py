"""Calls of a retriever: one at a time in a process; exceptions become typed errors, and results are checked.

Retrievers are shared by all tasks of a process, and neither the tokenizers of models nor caches of token ids are safe
to use from several threads at once. So a thread that calls a retriever waits for those that do.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError
from ospo_env.forks import ThreadLock
from ospo_env.retrievers.base import Retriever

__all__ = ["plain_array", "pool_scores", "ranked_documents", "retriever_errors"]


_lock = ThreadLock()


class retriever_errors:
    """Call a retriever, alone in this process; whatever it raises becomes a :class:`RetrieverError` that names it.

    That holds for exceptions that would end more than the call, such as ``SystemExit`` or a panic of compiled code, and
    for ``StopIteration``, which the generators around the call would take for their end. ``KeyboardInterrupt`` passes.

    Args:
        name: The retriever's name.
        where: Words for the message, such as ``"on ranking the corpus"``.
    """

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where
        self._lock = _lock.current

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
        if error is not None and not isinstance(error, KeyboardInterrupt):
            kind_of_error = "" if isinstance(error, RetrieverError) else f"{type(error).__name__}: "
            reason = one_line(f"{kind_of_error}{error}", 400)
            raise RetrieverError(f"retriever {self._name!r} failed {self._where}: {reason}") from error


def pool_scores(retriever: Retriever, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
    """Scores of B texts on their pools (B, P): float64 (B, P), finite or -inf.

    Raises:
        RetrieverError: The retriever failed, or returned something else.
    """
    name = retriever.name
    with retriever_errors(name, f"on a batch of {len(texts)} texts"):
        scores = plain_array(retriever.score_pools(texts, pools))
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


def ranked_documents(
    retriever: Retriever, text: str, k: int, corpus_size: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rows of at most k documents of the corpus for a text, best first, and their scores, both (k',).

    Raises:
        RetrieverError: The retriever failed, or returned something else.
    """
    name = retriever.name
    with retriever_errors(name, "on ranking the corpus"):
        ranking = retriever.rank_corpus(text, k)
        rows, scores = (plain_array(part) for part in ranking)
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
