"""The tokens of a corpus as a table that can be mapped from disk, and counts of them in texts."""

import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.retrievers.structure import Arrays, check_array, check_offsets
from ospo_env.text import tokens

__all__ = ["Vocabulary", "check_vocabulary", "vocabulary_arrays"]

_CACHE_BYTES = 2**24  # of token ids that are kept in a dictionary, for speed
_ENTRY_BYTES = 100  # what Python keeps for a token and its id besides the token's characters


def vocabulary_arrays(ids: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The table of V tokens and their ids 0 .. V - 1, in the order of their UTF-8 bytes.

    Returns:
        ``words`` uint8: the bytes of all tokens; ``word_starts`` int64 (V + 1,): the start of each token, and the end;
        ``word_ids`` int32 (V,).
    """
    ordered = sorted(ids)  # by code points, which is the order of the bytes
    encoded = [token.encode() for token in ordered]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    return {
        "words": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "word_starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "word_ids": np.fromiter((ids[token] for token in ordered), dtype=np.int32, count=len(ordered)),
    }


def check_vocabulary(arrays: Arrays) -> int:
    """The size V of the table of :func:`vocabulary_arrays`.

    Raises:
        ValueError: The arrays are not such a table.
    """
    ids = check_array(arrays, "word_ids", np.int32, (None,))
    check_offsets(arrays, "word_starts", np.int64, len(ids), len(check_array(arrays, "words", np.uint8, (None,))))
    if not np.array_equal(np.sort(ids), np.arange(len(ids))):
        raise ValueError(f"expected word_ids as the numbers below {len(ids):,}, each once")
    return len(ids)


class Vocabulary:
    """Look-up of a corpus's tokens by bisection in the table of :func:`vocabulary_arrays`.

    Args:
        arrays: Arrays of the table; mapped from disk, they take no memory.
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
        ordered = [""] * len(self)
        for place, number in enumerate(self._arrays["word_ids"].tolist()):
            ordered[number] = words[place].decode()
        return ordered

    def known(self, texts: Sequence[str]) -> list[list[int]]:
        """Known token ids of each text, repeats included."""
        look_up = self._ids.__getitem__
        return [[number for number in map(look_up, tokens(text)) if number >= 0] for text in texts]

    def counts(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts of the known tokens in each text.

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
    """Ids of tokens, -1 for unknown ones, in a bounded memory; a token is looked up in the table when it is missing."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._words = _Words(arrays)
        self._numbers = arrays["word_ids"].data
        self._bytes = 0

    def __missing__(self, token: str) -> int:
        content = token.encode()
        place = bisect_left(self._words, content)
        is_known = place < len(self._words) and self._words[place] == content
        number = int(self._numbers[place]) if is_known else -1
        size = sys.getsizeof(token) + _ENTRY_BYTES
        if self._bytes + size > _CACHE_BYTES:
            self.clear()
            self._bytes = 0
        if size <= _CACHE_BYTES:
            self[token] = number
            self._bytes += size
        return number


class _Words:
    """The tokens' bytes, ascending; memory views, since reading one number from an array is slower."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._bytes, self._starts = arrays["words"].data, arrays["word_starts"].data

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> bytes:
        return self._bytes[self._starts[place] : self._starts[place + 1]].tobytes()
