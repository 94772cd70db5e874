"""Scores of a cross-encoder, which reads text and document together: slow, for evaluation rather than training."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.retrievers.base import Retriever, best_rows, make_fingerprint
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.models import check_dtype, library_versions, locate_model
from ospo_env.retrievers.unpadded import CHUNK, forward, known_tokens, open_model

__all__ = ["RerankRetriever"]

_VERSION = 2  # 2: documents without a known token are not matched


class RerankRetriever:
    """Logits that a sentence-transformers cross-encoder gives pairs of text and document (Nogueira and Cho 2019).

    A text or document that is blank or holds no known token matches nothing; any other text matches every other
    document. A pair's score depends on no other pair: :func:`~ospo_env.retrievers.unpadded.forward` says how far. Not
    linear. The model is opened when a pair has to be scored.

    Args:
        corpus: The documents, at least one; their texts are kept.
        model: A directory, or a hub id that the local cache of the hub holds.
        first: Factory of the retriever that finds candidates in a corpus of more than ``depth`` documents.
        depth: Number of candidates that are reranked when the whole corpus is ranked, at least 1.
        dtype: Type of number to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.
        revision: Branch, tag or commit of a hub id.
        hub: Whether a model may be downloaded.

    Raises:
        TaskError: sentence-transformers is not installed, there is no such model, or a setting is out of range; when a
            pair is scored, the model gives more than one number a pair.
    """

    name = "rerank"
    linear = False

    def __init__(
        self,
        corpus: Corpus,
        model: str,
        *,
        first: Callable[[], Retriever],
        depth: int = 100,
        dtype: str = "float32",
        device: str | None = None,
        revision: str | None = None,
        hub: bool = False,
    ) -> None:
        check_dtype("rerank", dtype)
        if depth < 1:
            raise TaskError(f"expected the depth of the retriever 'rerank' as at least 1; got {depth}")
        files = locate_model("rerank", model, revision, hub)
        self._first = first() if len(corpus) > depth else None
        settings = {
            "model": files.digest,
            "dtype": dtype,
            "libraries": library_versions(),
            "first": self._first.fingerprint if self._first else None,
            "depth": depth,
        }
        self.fingerprint = make_fingerprint("rerank", _VERSION, settings, corpus.digest)
        self._documents = corpus.texts
        self._depth = depth
        self._opening = (files.directory, dtype, device)

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are logits, of either sign."""
        refuse_after_fork("a model")
        scores = np.full(pools.shape, -np.inf)
        rows, columns = np.nonzero(known_tokens(self._model, list(texts))[:, None] & (pools >= 0))
        distinct, place = np.unique(pools[rows, columns], return_inverse=True)
        documents = [self._documents[row] for row in distinct.tolist()]  # in order, which is fastest from a file
        matching = known_tokens(self._model, documents)[place]
        rows, columns, place = rows[matching], columns[matching], place[matching]
        scores[rows, columns] = self._logits(
            [(texts[row], documents[at]) for row, at in zip(rows.tolist(), place.tolist(), strict=True)]
        )
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`, of the candidates that the first retriever finds."""
        if self._first is None:
            candidates = np.arange(len(self._documents), dtype=np.int32)
        else:
            candidates = np.sort(self._first.rank_corpus(text, self._depth)[0])
        scores = self.score_pools([text], candidates[None])[0]
        best = best_rows(scores, k)
        return candidates[best], scores[best]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """False: a pair's score is not the sum of its pieces' scores."""
        return False

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a token that the model knows: bool (B,)."""
        return known_tokens(self._model, list(texts))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_model"}

    @cached_property
    def _model(self) -> Any:
        model = open_model("CrossEncoder", *self._opening)
        if model.num_labels != 1:
            raise TaskError(f"expected a cross-encoder with one output; got {model.num_labels} in {self._opening[0]}")
        return model

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Logits (n,) of pairs; equal pairs are scored once."""
        place_of = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        by_length = sorted(place_of, key=lambda pair: len(pair[0]) + len(pair[1]), reverse=True)
        logits = np.zeros(len(place_of))
        for start in range(0, len(by_length), CHUNK):
            chunk = by_length[start : start + CHUNK]
            features = self._model.preprocess([list(pair) for pair in chunk])
            logits[[place_of[pair] for pair in chunk]] = forward(self._model, features, "scores").reshape(-1)
        return logits[[place_of[pair] for pair in pairs]]
