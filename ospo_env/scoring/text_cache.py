"""What a retriever found for texts, kept within a bound of bytes: no text is put to it twice in a call."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from cachetools import LRUCache
from numpy.typing import NDArray

__all__ = ["CACHE_BYTES", "Key", "TextCache"]

CACHE_BYTES = 64 * 2**20
"""Bound of a cache by default."""

_ENTRY_BYTES = 400  # what Python keeps for a key and a row besides their content

Key: TypeAlias = tuple[int, str]
"""Row of a query, and a text."""


class _Entry(NamedTuple):
    found: NDArray[Any]
    text: str  # of the key, for the size


class TextCache:
    """Arrays by query and text; the least recently used ones leave.

    Args:
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._cache: LRUCache[Key, _Entry] = LRUCache(maxsize=cache_bytes, getsizeof=_entry_bytes)
        self._counters = {"asked": 0, "distinct": 0, "cached": 0}

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def size(self) -> int:
        """Bytes that are taken up."""
        return int(self._cache.currsize)

    @property
    def counters(self) -> Mapping[str, int]:
        """``asked``, as :meth:`ask` was told; ``distinct`` keys of all calls; ``cached``, those known before them."""
        return dict(self._counters)

    def ask(self, count: int) -> None:
        """Count texts and coalitions that were asked for."""
        self._counters["asked"] += count

    def found(
        self, keys: Iterable[Key], find: Callable[[Sequence[Key]], Iterable[NDArray[Any]]]
    ) -> dict[Key, NDArray[Any]]:
        """What is known of all distinct keys; the rest is found in one call.

        Args:
            keys: With repetitions.
            find: Gives an array for each of some keys; called at most once. They are kept, and not to be written to.
        """
        known: dict[Key, NDArray[Any]] = {}
        missing: list[Key] = []
        for key in dict.fromkeys(keys):
            entry = self._cache.get(key)
            if entry is None:
                missing.append(key)
            else:
                known[key] = entry.found
        self._counters["distinct"] += len(known) + len(missing)
        self._counters["cached"] += len(known)
        if missing:
            for key, row in zip(missing, find(missing), strict=True):
                row.setflags(write=False)
                known[key] = row
                entry = _Entry(row, key[1])
                if _entry_bytes(entry) <= self._cache.maxsize:
                    self._cache[key] = entry
        return known


def _entry_bytes(entry: _Entry) -> int:
    return entry.found.nbytes + sys.getsizeof(entry.text) + _ENTRY_BYTES
