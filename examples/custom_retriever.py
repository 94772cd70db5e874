"""A retriever of your own: checked against the contract, registered by name, and used as any other.

Run it from the repository: ``python examples/custom_retriever.py``.
"""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import ospo_env
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.base import best_rows
from ospo_env.text import tokens


class SharedWords:
    """Score: the number of different words that text and document share. A document that shares none does not match."""

    name = "shared-words"
    linear = False  # a word in two pieces counts once in the whole

    def __init__(self, corpus: ospo_env.Corpus) -> None:
        """Take the documents."""
        self.words = [set(tokens(text)) for text in corpus.texts]
        self.fingerprint = f"shared-words-1-{corpus.digest}"  # everything that decides a score

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """Scores (B, P) of B texts on document rows (B, P), which are padded with -1."""
        scores = np.full(pools.shape, -np.inf)
        for row, (text, pool) in enumerate(zip(texts, pools, strict=True)):
            words = set(tokens(text))
            shared = np.array([len(words & self.words[document]) if document >= 0 else 0 for document in pool])
            scores[row] = np.where(shared > 0, shared, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The best k rows and their scores, by (-score, row)."""
        scores = self.score_pools([text], np.arange(len(self.words), dtype=np.int32)[None])[0]
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Only asked of linear retrievers."""
        return False


if __name__ == "__main__":
    check_retriever(SharedWords)
    ospo_env.register_retriever("shared-words", SharedWords)
    env = gym.make("OSPO-ESCI-v0", retriever="shared-words")
    prompt, info = env.reset(seed=0)
    _, reward, *_ = env.step(info["query"])
    print(f"{prompt!r} as it stands earns {reward:.3f}")  # noqa: T201
