"""LRU cache of retriever results, bounded in bytes; duplicate texts in a call are scored once."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from cachetools import LRUCache
from numpy.typing import NDArray

from ospo_env.forks import ThreadLock

__all__ = ["CACHE_BYTES", "Key", "TextCache"]

CACHE_BYTES = 64 * 2**20
"""Bound of a cache by default."""

_ENTRY_BYTES = 400  # what Python keeps for a key and an array besides their content

Key: TypeAlias = tuple[int, str]
"""Row of a query, and a text."""


_lock = ThreadLock()  # held for moments, so that one serves all caches


class _Entry(NamedTuple):
    array: NDArray[Any]
    text: str  # of the key, for the size


class TextCache:
    """Arrays by query and text; the least recently used ones leave. Threads may share it.

    Args:
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._entries: LRUCache[Key, _Entry] = LRUCache(maxsize=cache_bytes, getsizeof=_entry_bytes)
        self._counters = {"asked": 0, "distinct": 0, "cached": 0, "estimated": 0, "stored": 0}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes that are taken up."""
        return int(self._entries.currsize)

    @property
    def counters(self) -> Mapping[str, int]:
        """Sums so far.

        ``asked``: of what was passed to :meth:`ask`; ``distinct``: keys of all calls; ``cached``: those already held;
        ``estimated``: of what was passed to :meth:`count_estimated`; ``stored``: likewise :meth:`count_stored`.
        """
        return dict(self._counters)

    def ask(self, count: int) -> None:
        """Count texts and coalitions that a caller asked for."""
        with _lock.current:
            self._counters["asked"] += count

    def count_estimated(self, count: int) -> None:
        """Count coalitions whose worth was estimated."""
        with _lock.current:
            self._counters["estimated"] += count

    def count_stored(self, count: int) -> None:
        """Count texts whose scores the retriever took from disk."""
        with _lock.current:
            self._counters["stored"] += count

    def arrays(
        self, keys: Iterable[Key], compute: Callable[[Sequence[Key]], Iterable[NDArray[Any]]]
    ) -> dict[Key, NDArray[Any]]:
        """Arrays of all distinct keys; those that the cache lacks are computed in one call.

        Args:
            keys: Keys, repetitions included.
            compute: Gives an array for each of some keys; called at most once. The arrays are kept, and become
                read-only.
        """
        arrays: dict[Key, NDArray[Any]] = {}
        missing: list[Key] = []
        distinct = dict.fromkeys(keys)
        with _lock.current:
            for key in distinct:
                entry = self._entries.get(key)
                if entry is None:
                    missing.append(key)
                else:
                    arrays[key] = entry.array
            self._counters["distinct"] += len(distinct)
            self._counters["cached"] += len(arrays)
        if missing:
            computed = dict(zip(missing, compute(missing), strict=True))
            arrays |= computed
            with _lock.current:
                for key, array in computed.items():
                    array.setflags(write=False)
                    entry = _Entry(array, key[1])
                    if _entry_bytes(entry) <= self._entries.maxsize:
                        self._entries[key] = entry
        return arrays


def _entry_bytes(entry: _Entry) -> int:
    return entry.array.nbytes + sys.getsizeof(entry.text) + _ENTRY_BYTES
