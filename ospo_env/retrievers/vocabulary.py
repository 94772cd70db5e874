"""The tokens of a corpus as a table that can lie on disk, and texts as counts of them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.text import tokens

__all__ = ["Vocabulary", "vocabulary_arrays"]

_REMEMBERED = 2**17  # tokens whose ids are kept in a dictionary, for speed


def vocabulary_arrays(ids: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The table of V tokens and their ids 0 .. V - 1, in the order of their UTF-8 bytes.

    Returns:
        ``words`` uint8: the tokens' bytes, one after the other; ``word_starts`` int64 (V + 1,): where each begins, and
        the end; ``word_ids`` int32 (V,).
    """
    ordered = sorted(ids)  # by code points, which is the order of the bytes
    encoded = [token.encode() for token in ordered]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    return {
        "words": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "word_starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "word_ids": np.fromiter((ids[token] for token in ordered), dtype=np.int32, count=len(ordered)),
    }


class Vocabulary:
    """The tokens of a corpus, by bisection in the table of :func:`vocabulary_arrays`.

    Args:
        arrays: They hold the table; mapped from disk they cost no memory.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self._ids = _Ids(arrays)

    def __len__(self) -> int:
        return len(self._arrays["word_ids"])

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[Mapping[str, NDArray[Any]]]]:
        return Vocabulary, (self._arrays,)

    def tokens(self) -> list[str]:
        """The V tokens by id."""
        words = _Words(self._arrays)
        found = [""] * len(self)
        for place, number in enumerate(self._arrays["word_ids"].tolist()):
            found[number] = words[place].decode()
        return found

    def known(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the known tokens of each text, as often as they stand."""
        look_up = self._ids.__getitem__
        return [[number for number in map(look_up, tokens(text)) if number >= 0] for text in texts]

    def counts(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How often the known tokens stand in each text.

        Args:
            texts: B texts.

        Returns:
            Ids of the U tokens that occur, ascending (U,), and their counts (B, U). Unknown tokens are left out.
        """
        known = self.known(texts)
        lengths = [len(ids) for ids in known]
        flat = np.fromiter((token for ids in known for token in ids), dtype=np.int64, count=sum(lengths))
        occurring, columns = np.unique(flat, return_inverse=True)
        cells = np.repeat(np.arange(len(texts)), lengths) * len(occurring) + columns
        counts = np.bincount(cells, minlength=len(texts) * len(occurring)).astype(np.float64)
        return occurring, counts.reshape(len(texts), len(occurring))


class _Ids(dict[str, int]):
    """Token to id, -1 where unknown: looked up in the table when first asked for."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._words = _Words(arrays)
        self._numbers = arrays["word_ids"].data

    def __missing__(self, token: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        wanted = token.encode()
        place = bisect_left(self._words, wanted)
        found = place < len(self._words) and self._words[place] == wanted
        self[token] = number = self._numbers[place] if found else -1
        return number


class _Words:
    """The tokens' bytes, ascending; through memory views, since reading one number from an array costs more."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._bytes, self._starts = arrays["words"].data, arrays["word_starts"].data

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> bytes:
        return self._bytes[self._starts[place] : self._starts[place + 1]].tobytes()
