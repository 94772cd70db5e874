"""Sums of term weights on candidate pools, for a batch of texts on pools of their own, as one sparse product."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.retrievers.base import equal_pools

__all__ = ["pool_sums"]

_POOLS = 16  # pools that are read at once, to bound memory; it changes no value


def pool_sums(
    tokens: Sequence[Sequence[int]],
    pools: NDArray[np.int32],
    bounds: NDArray[np.integer],
    terms: NDArray[np.integer],
    weights: NDArray[np.number],
) -> NDArray[np.float64]:
    """Sum of a document's weights of a text's tokens, for each text and each document of its pool.

    A pool is read once for all texts on it; cells of tokens that none of these texts has are dropped at once.

    Args:
        tokens: Known token ids of B texts, repeats included.
        pools: Document rows (B, P); -1 pads a shorter pool.
        bounds: First cell of each document, and the end of the last one (D + 1,).
        terms: Token id of each cell; a document has each of its tokens once.
        weights: Weight of each cell; whole numbers are summed exactly.

    Returns:
        float64 (B, P): 0 where text and document share no token or the row is -1.
    """
    groups = list(equal_pools(pools))
    pool_of = np.empty(len(pools), dtype=np.int64)
    for number, (members, _) in enumerate(groups):
        pool_of[members] = number
    text = np.repeat(np.arange(len(tokens)), [len(ids) for ids in tokens])
    if not text.size or not pools.size:
        return np.zeros(pools.shape)
    occurring, token = np.unique(np.fromiter(chain.from_iterable(tokens), np.int64, len(text)), return_inverse=True)
    wanted = np.zeros((len(groups), len(occurring) + 1), dtype=np.bool_)  # column 0 is for all other tokens
    wanted[pool_of[text], token + 1] = True
    column_of = np.zeros(occurring[-1] + 2, dtype=np.int32)
    column_of[occurring] = np.arange(1, len(occurring) + 1)
    blocks = []
    for first in range(0, len(groups), _POOLS):
        block = np.stack([pool for _, pool in groups[first : first + _POOLS]])
        pool, place, cells, columns = _shared(block, bounds, terms, column_of, wanted[first : first + _POOLS])
        blocks.append(((first + pool) * wanted.shape[1] + columns, place, weights[cells].astype(np.float64)))
    numbers, places, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    # one row for each token and pool, so that a text meets the documents of its own pool only
    shared = sparse.csr_matrix((values, (numbers, places)), shape=(wanted.size, pools.shape[1]))
    asking = pool_of[text] * wanted.shape[1] + token + 1
    asked = sparse.csr_matrix((np.ones(len(text)), (text, asking)), shape=(len(pools), wanted.size))
    sums: NDArray[np.float64] = (asked @ shared).toarray()
    return sums


def _shared(
    pools: NDArray[np.int32],
    bounds: NDArray[np.integer],
    terms: NDArray[np.integer],
    column_of: NDArray[np.int32],
    wanted: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.integer], NDArray[np.int64]]:
    """Cells of pools (G, P) with tokens that are wanted there: pool, place in the pool, cell and the token's column."""
    documents = pools.reshape(-1)
    starts = bounds[documents]
    lengths = np.where(documents < 0, 0, bounds[documents + 1] - starts)
    ends = np.cumsum(lengths)
    cells = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
    columns = column_of.take(terms[cells], mode="clip")
    pool = np.repeat(np.arange(len(pools)), np.diff(ends[pools.shape[1] - 1 :: pools.shape[1]], prepend=0))
    hits = np.flatnonzero(wanted.reshape(-1)[pool * wanted.shape[1] + columns])
    place = np.searchsorted(ends, hits, side="right") % pools.shape[1]
    return pool[hits], place, cells[hits], columns[hits]
