"""Dense retrieval with sentence-transformers: document vectors are computed once and kept on disk."""

import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.base import equal_pools, make_fingerprint, unit_rows
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.encoder import UNIT, TextEncoder
from ospo_env.retrievers.models import check_dtype, library_versions, locate_model
from ospo_env.retrievers.storage import stored_arrays
from ospo_env.retrievers.structure import Arrays, check_array, check_numbers
from ospo_env.retrievers.vectors import VectorIndex, check_index

__all__ = ["DenseRetriever"]

_VERSION = 2  # 2: documents without a known token are not matched
_BLOCK = 2**14  # documents whose vectors are computed before they are written


class DenseRetriever:
    """Cosines of the vectors that a sentence-transformers model gives texts and documents (Reimers and Gurevych 2019).

    Vectors are rounded to 24 bits, so that a score depends on the two vectors alone, to the last bit, and equal
    documents tie. A text or document that is blank or holds no known token matches nothing; any other text matches
    every other document. :class:`~ospo_env.retrievers.encoder.TextEncoder` says what a text's vector depends on. Not
    linear.

    Document vectors are computed when first asked for, with progress on a terminal, and kept in the cache directory
    under a digest of the model's files, the prompt, the numbers, the documents and the versions of the libraries. A
    warning says how many documents are longer than the model reads. The model itself is opened when a text has to be
    encoded. Vectors of one device serve another, whose own may differ by 1e-6.

    Args:
        corpus: The documents, at least one.
        model: A directory, or a hub id that the local cache of the hub holds.
        query_prompt: Prefix of texts, such as ``"query: "`` for E5; ``None`` takes the model's own.
        document_prompt: Prefix of documents, such as ``"passage: "``; likewise.
        dtype: Type of number to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.
        index: Search of the whole corpus: ``"flat"`` (exact), ``"hnsw"`` or ``"ivf"`` (approximate, faster).
        revision: Branch, tag or commit of a hub id.
        hub: Whether a model may be downloaded.

    Raises:
        TaskError: sentence-transformers is not installed, there is no such model, or a setting is unknown.
    """

    name = "dense"
    linear = False

    def __init__(
        self,
        corpus: Corpus,
        model: str,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        index: str = "flat",
        revision: str | None = None,
        hub: bool = False,
    ) -> None:
        check_dtype("dense", dtype)
        check_index("dense", index)
        files = locate_model("dense", model, revision, hub)
        shared = {"model": files.digest, "dtype": dtype, "unit": UNIT, "libraries": library_versions()}
        key = make_fingerprint("dense-documents", _VERSION, shared | {"prompt": document_prompt}, corpus.digest)
        settings = shared | {"prompts": [query_prompt, document_prompt], "index": index}
        self.fingerprint = make_fingerprint("dense", _VERSION, settings, corpus.digest)
        self._opening = (files.directory, dtype, device)
        self._prompts = {"query": query_prompt, "document": document_prompt}
        self._stored = stored_arrays(
            key,
            lambda directory: self._build(corpus.texts, directory),
            check=partial(_check_vectors, len(corpus)),
            label=f"vectors of {model}",
        )
        self._index = VectorIndex(self._stored, index, UNIT, key)

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are cosines in [-1, 1], whole multiples of 2^-48."""
        queries, matching = self._encoder.encode(texts, "query")
        scores = np.full(pools.shape, -np.inf)
        for rows, pool in equal_pools(pools):
            products = queries[rows].astype(np.float64) @ self._vectors[pool].astype(np.float64).T
            has_tokens = (pool >= 0) & self._stored["has_tokens"][pool]
            scores[rows] = np.where(matching[rows, None] & has_tokens, products / UNIT**2, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`; with an approximate index, some of the best may be missing."""
        queries, matching = self._encoder.encode([text], "query")
        if not matching[0]:
            return np.empty(0, dtype=np.int32), np.empty(0)
        rows, products = self._index.best(queries[0], k)
        return rows, products / UNIT**2

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """False: a vector is not the sum of its pieces' vectors."""
        return False

    @property
    def dimensions(self) -> int:
        """As :attr:`Encoder.dimensions`; opens the model."""
        return self._encoder.dimensions

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As :meth:`Encoder.encode`, with the prompt for queries; needs no document vectors."""
        vectors, matching = self._encoder.encode(texts, "query")
        return unit_rows(np.where(matching[:, None], vectors, 0.0))

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a token that the model knows: bool (B,)."""
        return self._encoder.has_known_tokens(texts)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_encoder"}

    @property
    def _vectors(self) -> NDArray[np.float32]:
        return self._stored["vectors"]

    @cached_property
    def _encoder(self) -> TextEncoder:
        return TextEncoder(*self._opening, self._prompts)

    def _build(self, documents: Sequence[str], directory: Path) -> None:
        """Write the vectors (D, d) of the documents, and which of them hold a known token (D,)."""
        n_cut = limit = 0

        def report_cut(count: int, tokens: int) -> None:
            nonlocal n_cut, limit
            n_cut, limit = n_cut + count, tokens

        total = len(documents)
        with (
            ArrayFile(directory / "vectors.npy", np.float32, self._encoder.dimensions, rows=total) as vectors,
            ArrayFile(directory / "has_tokens.npy", np.bool_, rows=total) as has_tokens,
            tqdm(total=total, desc="encoding documents", unit=" documents", disable=None, delay=1.0) as bar,
        ):
            for start in range(0, total, _BLOCK):
                block = documents[start : start + _BLOCK]
                encoded, matching = self._encoder.encode(block, "document", bar.update, report_cut)
                vectors.append(np.where(matching[:, None], encoded, 0.0))
                has_tokens.append(matching)
        if n_cut:
            warnings.warn(
                f"{n_cut:,} of {total:,} documents are longer than the {limit} tokens that {self._opening[0]} reads: "
                "what lies beyond is not searched; choose a model that reads more, or cut documents into passages",
                stacklevel=2,
            )


def _check_vectors(documents: int, arrays: Arrays) -> None:
    check_numbers(check_array(arrays, "vectors", np.float32, (documents, None)), "vectors", -UNIT, UNIT + 1)
    check_array(arrays, "has_tokens", np.bool_, (documents,))
