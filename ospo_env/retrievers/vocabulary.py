"""Token ids of a corpus, and texts as counts of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ospo_env.text import tokens

__all__ = ["Vocabulary"]


class Vocabulary:
    """The tokens of a corpus, numbered in order of first appearance.

    Attributes:
        ids: Token to id.
    """

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def learn(self, documents: Sequence[str]) -> list[list[int]]:
        """Token ids of each document, new tokens added. Shows a progress bar where stderr is a terminal."""
        ids = self.ids
        shown = tqdm(documents, desc="reading documents", unit=" documents", disable=None, leave=False, delay=1.0)
        return [[ids.setdefault(token, len(ids)) for token in tokens(document)] for document in shown]

    def counts(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How often the known tokens stand in each text.

        Args:
            texts: B texts.

        Returns:
            Ids of the U tokens that occur, ascending (U,), and their counts (B, U). Unknown tokens are left out.
        """
        known = [[self.ids[token] for token in tokens(text) if token in self.ids] for text in texts]
        lengths = [len(ids) for ids in known]
        flat = np.fromiter((token for ids in known for token in ids), dtype=np.int64, count=sum(lengths))
        occurring, columns = np.unique(flat, return_inverse=True)
        cells = np.repeat(np.arange(len(texts)), lengths) * len(occurring) + columns
        counts = np.bincount(cells, minlength=len(texts) * len(occurring)).astype(np.float64)
        return occurring, counts.reshape(len(texts), len(occurring))
