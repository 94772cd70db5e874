"""Texts as vectors of a sentence-transformers model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.forks import refuse_after_fork
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
        dtype: Type of number to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.
        prompts: Prefixes of queries and documents, under ``"query"`` and ``"document"``; where one is ``None`` or
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
        self,
        texts: Sequence[str],
        role: str,
        advance: Callable[[int], object] = lambda done: None,
        report_cut: Callable[[int, int], object] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of B texts.

        Args:
            texts: B texts.
            role: ``"query"`` or ``"document"``.
            advance: Called with the number of texts that are done, each time some are.
            report_cut: Called with a number of texts that are longer than the model reads, and with the tokens that it
                reads, each time there are some.

        Returns:
            Vectors (B, d), and which texts hold a known token, bool (B,).

        Raises:
            RetrieverError: The model gives something that is not finite.
        """
        refuse_after_fork("a model")
        place_of = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        copies = Counter(texts)
        by_length = sorted(place_of, key=len, reverse=True)
        vectors = np.zeros((len(place_of), self.dimensions), dtype=np.float32)
        matching = np.zeros(len(place_of), dtype=np.bool_)
        for start in range(0, len(by_length), CHUNK):
            chunk = by_length[start : start + CHUNK]
            features = self._model.preprocess(chunk, prompt=self._prompts[role], task=role)
            if report_cut is not None:
                cut, limit = self._cut_texts(chunk, role, features)
                if cut:
                    report_cut(sum(copies[text] for text in cut), limit)
            places = [place_of[text] for text in chunk]
            vectors[places], matching[places] = self._encode(chunk, role, features)
            advance(len(chunk))
        advance(len(texts) - len(place_of))
        rows = [place_of[text] for text in texts]
        return vectors[rows], matching[rows]

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a known token, without the prompt: bool (B,)."""
        return known_tokens(self._model, list(texts))

    def _cut_texts(self, texts: list[str], role: str, features: dict[str, Any]) -> tuple[list[str], int]:
        """The texts that are longer than the model reads, and how many tokens it reads, special ones included."""
        lengths = features["attention_mask"].sum(1)
        limit = int(lengths.max())
        longest = [text for text, length in zip(texts, lengths.tolist(), strict=True) if length == limit]
        whole = self._model.tokenizer(
            [self._prompts[role] + text for text in longest], truncation=False, padding=False, verbose=False
        )
        return [text for text, ids in zip(longest, whole["input_ids"], strict=True) if len(ids) > limit], limit

    def _encode(
        self, texts: list[str], role: str, features: dict[str, Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        # the tokens of a prompt say nothing about the text
        matching = known_tokens(self._model, texts, None if self._prompts[role] else features["input_ids"])
        vectors = forward(self._model, features, "sentence_embedding", task=role)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= np.divide(UNIT, norms, out=np.zeros_like(norms), where=norms > 0)
        return np.rint(vectors).astype(np.float32), matching
