"""The case that the clauses check: a retriever, its documents, and texts to score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ospo_env.conformance.messages import quoted
from ospo_env.errors import TaskError
from ospo_env.retrievers.base import Retriever, is_retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.registry import (
    RetrieverFactory,
    RetrieverSpec,
    make_retriever,
    resolve_retriever,
)

__all__ = ["UNKNOWN_TEXTS", "Case", "first_difference", "make_case", "pool_scores"]

UNKNOWN_TEXTS = ("ᚠᚢᚦ", "ᛗᛟᛞ ᛇᛒ")
"""Runes, which hardly any vocabulary holds."""

_DOCUMENTS = (
    "red wool coat for women",
    "Blue leather shoe, size 42",
    "",
    "black linen dress with pockets",
    "red wool coat for women",  # a twin: equal documents score alike
    "waterproof hiking jacket for children",
    "Größe XL, straße café naïve",
    "stainless steel kitchen knife set of six",
    "赤い靴 レザー",
    "the the the red red bag",
    "wireless mouse rain-proof 3000mAh",
    "cotton bed sheet, king size, ½ price",
    "!!! ...",
    "organic green tea in bags",
    "blue cotton shirt with a small collar",
    "children's wooden train set",
)
_ODD_TEXTS = (
    "RED   wool,coat",
    "the the shoe shoe shoe",
    "レザー zzz 靴",
    "Straße 🎉",
    "x" * 300,
    "½-price; naïve\tcafe",
)
_GAPS = (" ", ", ", " - ", "\n")
_SAMPLED = 14
_MOST_DOCUMENTS = 200  # in a pool


@dataclass(frozen=True)
class Case:
    """A retriever under test.

    Attributes:
        retriever: The retriever.
        documents: The documents that it was made of.
        factory: Makes it again, or ``None`` if it came as an object.
        texts: B texts that may match.
        unknown: Texts that must match nothing, besides blank ones.
        tolerance: Largest difference of two scores that ought to be equal.
    """

    retriever: Retriever
    documents: tuple[str, ...]
    factory: RetrieverFactory | None
    texts: tuple[str, ...]
    unknown: tuple[str, ...]
    tolerance: float

    @property
    def name(self) -> str:
        """The retriever's name, for messages."""
        return str(getattr(self.retriever, "name", type(self.retriever).__name__))

    def scores(self, *texts: str) -> NDArray[np.float64]:
        """Scores (B, D) of texts on a pool of the documents, the first 200 at most."""
        return pool_scores(self.retriever, self.documents, texts)

    def difference(
        self, scores: NDArray[np.float64], expected: NDArray[np.float64], here: str, there: str
    ) -> str | None:
        """A counter-example if two matrices of scores (B, D) of all texts differ by more than the tolerance."""
        place = first_difference(scores, expected, self.tolerance)
        if place is None:
            return None
        text = quoted(self.texts[place[0]])
        return f"{text} scores {scores[place]} on document {place[1]} {here}, {expected[place]} {there}"


def make_case(
    retriever: RetrieverSpec,
    documents: Sequence[str] | None = None,
    *,
    texts: Sequence[str] | None = None,
    unknown: Sequence[str] = UNKNOWN_TEXTS,
    tolerance: float = 0.0,
    seed: int = 0,
) -> Case:
    """The case of the arguments of :func:`~ospo_env.conformance.check_retriever`."""
    named = resolve_retriever(retriever)
    is_made = not isinstance(named, type) and is_retriever(named)
    factory = None if is_made else cast(RetrieverFactory, named)
    if factory is None and documents is None:
        raise TaskError("expected the documents of a retriever that is made already; got none; pass documents=...")
    content = _DOCUMENTS if documents is None else tuple(documents)
    if len(content) < 2:
        raise TaskError(f"expected at least two documents to check a retriever with; got {len(content)}")
    return Case(
        retriever=make_retriever(retriever, Corpus.of_texts(content)),
        documents=content,
        factory=factory,
        texts=_sampled_texts(content, seed) if texts is None else tuple(texts),
        unknown=tuple(unknown),
        tolerance=tolerance,
    )


def pool_scores(retriever: Retriever, documents: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
    """Scores (B, D) of texts on a pool of the documents, the first 200 at most."""
    pool = np.arange(min(len(documents), _MOST_DOCUMENTS), dtype=np.int32)
    return retriever.score_pools(texts, np.tile(pool, (len(texts), 1)))


def first_difference(
    scores: NDArray[np.float64], expected: NDArray[np.float64], tolerance: float = 0.0
) -> tuple[int, ...] | None:
    """First place where two arrays of scores differ by more than a tolerance, or ``None``; -inf equals only itself."""
    finite = np.isfinite(scores) & np.isfinite(expected)
    distance = np.abs(np.subtract(scores, expected, out=np.full(scores.shape, np.inf), where=finite))
    unequal = np.argwhere(~((scores == expected) | (distance <= tolerance)))
    return tuple(unequal[0].tolist()) if len(unequal) else None


def _sampled_texts(documents: Sequence[str], seed: int) -> tuple[str, ...]:
    """Words of documents in random number and order, with gaps of several kinds, and odd texts."""
    rng = np.random.default_rng(seed)
    words = [word for document in documents[:_MOST_DOCUMENTS] for word in document.split()] or ["word"]
    samples = [
        "".join(f"{rng.choice(words)}{rng.choice(_GAPS)}" for _ in range(1 + place % 7)) for place in range(_SAMPLED)
    ]
    return tuple(dict.fromkeys([*(text.strip() for text in samples), *_ODD_TEXTS]))
