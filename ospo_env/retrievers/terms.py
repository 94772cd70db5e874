"""Counts of each token in each document, shared by the lexical retrievers."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.base import make_fingerprint
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.storage import index_arrays
from ospo_env.retrievers.structure import Arrays, check_array, check_numbers, check_offsets
from ospo_env.retrievers.vocabulary import check_vocabulary, vocabulary_arrays
from ospo_env.text import tokens

__all__ = ["count_matrix", "document_blocks", "term_counts"]

_VERSION = 2  # goes up with the analyser
_BLOCK = 8_192  # documents in memory at once


def term_counts(corpus: Corpus) -> Mapping[str, NDArray[Any]]:
    """Counts of the V tokens in the D documents, document-major, and the table of the tokens.

    Documents are read in blocks, in order, and only if their counts are not on disk yet.

    Args:
        corpus: The documents, at least one.

    Returns:
        ``starts`` int64 (D + 1,): document r has the cells ``starts[r]`` to ``starts[r + 1]``; ``terms`` int32, the
        token of each cell, ascending in a document; ``counts`` int32, its count; and the table of
        :func:`vocabulary_arrays`, with tokens numbered in order of first appearance.
    """
    key = make_fingerprint("terms", _VERSION, {}, corpus.digest)
    check = partial(_check_counts, len(corpus))
    return index_arrays(key, partial(_count, corpus.texts), check=check, documents=len(corpus), label="token counts")


def count_matrix(terms: Mapping[str, NDArray[Any]]) -> sparse.csr_matrix:
    """The counts as float64 (D, V). Only ``data`` may be changed: the rest shares memory with ``terms``."""
    shape = (len(terms["starts"]) - 1, len(terms["word_ids"]))
    return sparse.csr_matrix((terms["counts"].astype(np.float64), terms["terms"], terms["starts"]), shape=shape)


def document_blocks(starts: NDArray[np.int64], label: str) -> Iterator[tuple[slice, slice]]:
    """Rows and cells of consecutive blocks of documents, with a progress bar on a terminal if it takes long."""
    total = len(starts) - 1
    with _progress(total, label) as shown:
        for low in range(0, total, _BLOCK):
            high = min(low + _BLOCK, total)
            yield slice(low, high), slice(int(starts[low]), int(starts[high]))
            shown.update(high - low)


def _count(documents: Sequence[str], directory: Path) -> None:
    ids = _Numbering()
    cells = [np.zeros(1, dtype=np.int64)]
    with (
        ArrayFile(directory / "terms.npy", np.int32) as terms,
        ArrayFile(directory / "counts.npy", np.int32) as counts,
        _progress(len(documents), "reading documents") as shown,
    ):
        for block in _blocks(documents):
            flat, lengths = array("i"), []
            for document in block:
                words = tokens(document)
                flat.extend(map(ids.__getitem__, words))
                lengths.append(len(words))
            rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
            keys, count = np.unique(rows * len(ids) + np.frombuffer(flat, dtype=np.int32), return_counts=True)
            row, term = np.divmod(keys, max(len(ids), 1))
            terms.append(term)
            counts.append(count)
            cells.append(np.bincount(row, minlength=len(lengths)))
            shown.update(len(lengths))
    np.save(directory / "starts.npy", np.cumsum(np.concatenate(cells)))
    for name, content in vocabulary_arrays(ids).items():
        np.save(directory / f"{name}.npy", content)


def _check_counts(documents: int, arrays: Arrays) -> None:
    terms = check_array(arrays, "terms", np.int32, (None,))
    counts = check_array(arrays, "counts", np.int32, (len(terms),))
    check_offsets(arrays, "starts", np.int64, documents, len(terms))
    check_numbers(terms, "terms", 0, check_vocabulary(arrays))
    check_numbers(counts, "counts", 1, 2**31)


class _Numbering(dict[str, int]):
    """Numbers in order of first appearance."""

    def __missing__(self, token: str) -> int:
        self[token] = number = len(self)
        return number


def _blocks(documents: Sequence[str]) -> Iterator[Sequence[str]]:
    for low in range(0, len(documents), _BLOCK):
        yield documents[low : low + _BLOCK]


def _progress(total: int, label: str) -> Any:
    return tqdm(total=total, desc=label, unit=" documents", disable=None, leave=False, delay=1.0)
