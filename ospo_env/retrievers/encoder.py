"""Texts as vectors of a sentence-transformers model: no text is ever padded, hence none depends on its neighbours."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError, TaskError

__all__ = ["UNIT", "TextEncoder"]

UNIT = 2**24
"""Length of the vectors: whole numbers that float32 holds, and whose products float64 sums up exactly."""

_CHUNK = 4096  # texts tokenised at once
_FEWEST = 4  # texts in a batch: smaller matrices are multiplied by other code, with other last bits
_MOST_TOKENS = {"cpu": 1024}  # in a batch: more of them leave the processor's cache
_MOST_TOKENS_ELSEWHERE = 2**16


class TextEncoder:
    """Unit vectors of texts, times :data:`UNIT` and rounded to whole numbers.

    Texts of equal numbers of tokens are encoded together, so that nothing is padded and a text's vector depends on no
    other: on a CPU to the last bit, as far as its matrix library treats all rows alike, elsewhere to about 1e-6.

    Args:
        directory: The model. Only local files are read, and no code that comes with a model is run.
        dtype: What to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.
        prompts: What is put before queries and documents, under ``"query"`` and ``"document"``; where it is ``None``,
            the model's own prompt, if it has one.

    Raises:
        TaskError: The model cannot be opened, or does not read tokens with an attention mask.
    """

    def __init__(
        self, directory: Path, dtype: str, device: str | None, prompts: dict[str, str | None] | None = None
    ) -> None:
        self._model = _open_model(directory, dtype, device)
        own = self._model.prompts or {}
        self._prompts = {
            "query": own.get("query") or "",
            "document": next((own[name] for name in ("document", "passage", "corpus") if own.get(name)), ""),
        } | {role: prompt for role, prompt in (prompts or {}).items() if prompt is not None}
        features = self._features(["a text"], "query")
        if not {"input_ids", "attention_mask"} <= set(features):
            raise TaskError(f"expected a transformer in {directory}; got a model without an attention mask")

    @property
    def dimensions(self) -> int:
        """Length d of the vectors."""
        return int(self._model.get_embedding_dimension())

    def encode(
        self, texts: Sequence[str], role: str, advance: Callable[[int], object] = lambda texts: None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of B texts.

        Args:
            texts: B texts.
            role: ``"query"`` or ``"document"``.
            advance: Told how many texts are done each time some are.

        Returns:
            Vectors (B, d), and whether each text holds a known token, bool (B,).

        Raises:
            RetrieverError: The model gives something that is not numbers.
        """
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        listed = sorted(distinct, key=len, reverse=True)
        vectors = np.zeros((len(distinct), self.dimensions), dtype=np.float32)
        known = np.zeros(len(distinct), dtype=np.bool_)
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]
            places = np.array([distinct[text] for text in chunk])
            vectors[places], known[places] = self._encode(chunk, role)
            advance(len(chunk))
        advance(len(texts) - len(distinct))
        rows = [distinct[text] for text in texts]
        return vectors[rows], known[rows]

    def _encode(self, texts: list[str], role: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        features = self._features(texts, role)
        known = self._known(texts, features, role)
        lengths = features["attention_mask"].sum(1).numpy()
        left = self._model.tokenizer.padding_side == "left"
        features = {
            name: value.to(self._model.device) if hasattr(value, "to") else value for name, value in features.items()
        }
        vectors = np.zeros((len(texts), self.dimensions))
        found = []
        for length, rows in _batches(lengths, self._most_tokens):
            tokens = slice(-length, None) if left else slice(length)
            batch = {
                name: value[rows][:, tokens] if hasattr(value, "ndim") and value.ndim == 2 else value
                for name, value in features.items()
            }
            found.append((rows, self._model(batch, task=role)["sentence_embedding"]))
        for rows, output in found:  # only now does an accelerator have to have finished
            vectors[rows] = output.float().cpu().numpy()
        if not np.isfinite(vectors).all():
            row = int(np.argwhere(~np.isfinite(vectors))[0][0])
            raise RetrieverError(f"the model's vector of the text {texts[row][:60]!r} is not finite")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= np.divide(UNIT, norms, out=np.zeros_like(norms), where=norms > 0)
        return np.rint(vectors).astype(np.float32), known

    def _features(self, texts: list[str], role: str) -> dict[str, Any]:
        features: dict[str, Any] = self._model.preprocess(texts, prompt=self._prompts[role], task=role)
        return features

    def _known(self, texts: list[str], features: dict[str, Any], role: str) -> NDArray[np.bool_]:
        """Which texts hold a token besides special ones and the sign for unknown ones."""
        tokenizer = self._model.tokenizer
        ids = features["input_ids"]
        if self._prompts[role]:  # the tokens of a prompt say nothing about the text
            ids = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")["input_ids"]
        blank = np.array([not text.strip() for text in texts])
        return np.asarray(~np.isin(ids.numpy(), tokenizer.all_special_ids).all(axis=1) & ~blank)

    @property
    def _most_tokens(self) -> int:
        return _MOST_TOKENS.get(self._model.device.type, _MOST_TOKENS_ELSEWHERE)


def _batches(lengths: NDArray[np.int64], most_tokens: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Rows of equal length, longest first, at most so many tokens at once; rows repeat where there are too few."""
    for length in np.unique(lengths)[::-1].tolist():
        rows = np.flatnonzero(lengths == length)
        most = max(_FEWEST, most_tokens // length)
        for batch in np.array_split(rows, -(-len(rows) // most)):
            yield length, np.resize(batch, max(len(batch), _FEWEST))


@lru_cache(maxsize=2)
def _open_model(directory: Path, dtype: str, device: str | None) -> Any:
    """The model, shared by all encoders of a process."""
    from sentence_transformers import SentenceTransformer  # slow to import, and an extra

    try:
        model = SentenceTransformer(
            str(directory), device=device, local_files_only=True, trust_remote_code=False, model_kwargs={"dtype": dtype}
        )
    except Exception as error:  # a directory may hold anything
        raise TaskError(
            f"cannot open the model in {directory}: {one_line(f'{type(error).__name__}: {error}')}"
        ) from error
    return model.eval().requires_grad_(False)
