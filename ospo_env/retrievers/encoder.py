"""Texts as vectors of a sentence-transformers model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ospo_env.retrievers.unpadded import CHUNK, forward, known_tokens, open_model

__all__ = ["UNIT", "TextEncoder"]

UNIT = 2**24
"""Length of the vectors: whole numbers that float32 holds, and whose products float64 sums up exactly."""

_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # names that models give it


class TextEncoder:
    """Unit vectors of texts, times :data:`UNIT` and rounded to whole numbers.

    A text's vector depends on no other text: :func:`~ospo_env.retrievers.unpadded.forward` says how far.

    Args:
        directory: The model.
        dtype: What to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.
        prompts: What is put before queries and documents, under ``"query"`` and ``"document"``; where it is ``None`` or
            missing, the model's own prompt, if it has one.

    Raises:
        TaskError: The model cannot be opened.
    """

    def __init__(
        self, directory: Path, dtype: str, device: str | None, prompts: Mapping[str, str | None] | None = None
    ) -> None:
        self._model = open_model("SentenceTransformer", directory, dtype, device)
        own = self._model.prompts or {}
        self._prompts = {
            "query": own.get("query") or "",
            "document": next((own[name] for name in _DOCUMENT_PROMPTS if own.get(name)), ""),
        } | {role: prompt for role, prompt in (prompts or {}).items() if prompt is not None}

    @property
    def dimensions(self) -> int:
        """Length d of the vectors."""
        return int(self._model.get_embedding_dimension())

    def encode(
        self, texts: Sequence[str], role: str, advance: Callable[[int], object] = lambda done: None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of B texts.

        Args:
            texts: B texts.
            role: ``"query"`` or ``"document"``.
            advance: Called with the number of texts that are done, each time some are.

        Returns:
            Vectors (B, d), and whether each text holds a known token, bool (B,).

        Raises:
            RetrieverError: The model gives something that is not finite.
        """
        place_of = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        by_length = sorted(place_of, key=len, reverse=True)
        vectors = np.zeros((len(place_of), self.dimensions), dtype=np.float32)
        known = np.zeros(len(place_of), dtype=np.bool_)
        for start in range(0, len(by_length), CHUNK):
            chunk = by_length[start : start + CHUNK]
            places = [place_of[text] for text in chunk]
            vectors[places], known[places] = self._encode(chunk, role)
            advance(len(chunk))
        advance(len(texts) - len(place_of))
        rows = [place_of[text] for text in texts]
        return vectors[rows], known[rows]

    def _encode(self, texts: list[str], role: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        prompt = self._prompts[role]
        features = self._model.preprocess(texts, prompt=prompt, task=role)
        # the tokens of a prompt say nothing about the text
        known = known_tokens(self._model, texts, None if prompt else features["input_ids"])
        vectors = forward(self._model, features, "sentence_embedding", task=role)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= np.divide(UNIT, norms, out=np.zeros_like(norms), where=norms > 0)
        return np.rint(vectors).astype(np.float32), known
