"""Scores of an engine on disk, under the fingerprint of the retriever that asked for them."""

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from envs_data.cache import CACHE_VARIABLE, cache_directory
from envs_data.errors import one_line
from ospo_env.errors import RetrieverError

__all__ = ["Key", "ScoreCache"]

Key = tuple[str, bytes]
"""A text, and the pool or the depth that it was scored with."""

_FOLDER = "engine-scores-1"
_LARGEST = 2**30  # bytes of a file; beyond, the oldest quarter of its rows goes
_PATIENCE = 60.0  # seconds of waiting for another process that writes
_AT_ONCE = 500  # keys of a query
_TABLES = """
create table if not exists scores (key blob primary key, content blob not null);
create table if not exists facts (name text primary key);
"""


class ScoreCache:
    """Arrays of numbers by text and pool, in one SQLite file; several processes may share it.

    The file is ``engine-scores-1/FINGERPRINT.sqlite`` of the cache directory (``$OSPO_CACHE_DIR``, or the user's). It
    holds digests of texts, not texts, and may be deleted while no process uses it. It is opened anew for each call,
    so that neither threads nor forks share a connection.

    Args:
        fingerprint: Fingerprint of the retriever.
    """

    def __init__(self, fingerprint: str) -> None:
        self._path = (cache_directory() / _FOLDER / f"{fingerprint}.sqlite").absolute()

    def read(self, keys: Sequence[Key]) -> dict[Key, NDArray[np.float64]]:
        """The arrays of those keys that the file holds.

        Raises:
            RetrieverError: The file cannot be read.
        """
        if not self._path.exists():
            return {}
        key_of = {_digest(key): key for key in keys}
        arrays: dict[Key, NDArray[np.float64]] = {}
        with self._opened() as database:
            digests = list(key_of)
            for first in range(0, len(digests), _AT_ONCE):
                some = digests[first : first + _AT_ONCE]
                query = f"select key, content from scores where key in ({','.join('?' * len(some))})"
                for digest, content in database.execute(query, some):
                    arrays[key_of[digest]] = np.frombuffer(zlib.decompress(content), dtype="<f8").copy()
        return arrays

    def write(self, arrays: Mapping[Key, NDArray[np.float64]]) -> None:
        """Keep arrays (n,) under their keys.

        Raises:
            RetrieverError: The file cannot be written.
        """
        rows = [(_digest(key), zlib.compress(array.astype("<f8").tobytes(), 1)) for key, array in arrays.items()]
        with self._opened() as database:
            database.executemany("insert or ignore into scores values (?, ?)", rows)
            pages, size = (database.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "page_size"))
            free = database.execute("pragma freelist_count").fetchone()[0]
            if (pages - free) * size > _LARGEST:
                quarter = "select rowid from scores order by rowid limit (select count(*) / 4 from scores)"
                database.execute(f"delete from scores where rowid in ({quarter})")

    def recalls(self, fact: str) -> bool:
        """Whether :meth:`remember` was called with this fact."""
        if not self._path.exists():
            return False
        with self._opened() as database:
            return database.execute("select 1 from facts where name = ?", (fact,)).fetchone() is not None

    def remember(self, fact: str) -> None:
        """Keep a fact about the index of this fingerprint."""
        with self._opened() as database:
            database.execute("insert or ignore into facts values (?)", (fact,))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are committed at the end."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as database:
                database.executescript(f"pragma journal_mode = wal; pragma synchronous = normal; {_TABLES}")
                with database:
                    yield database
        except (sqlite3.Error, zlib.error, OSError) as error:
            raise RetrieverError(
                f"cannot keep scores in {self._path} ({one_line(error)}); remove that file, make room there, or set "
                f"{CACHE_VARIABLE} to a directory that can be written; cache=false does without"
            ) from error


def _digest(key: Key) -> bytes:
    text, pool = key
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(len(content).to_bytes(8, "little") + content + pool, digest_size=16).digest()
