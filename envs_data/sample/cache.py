"""The embedded sample as a data set, generated at first use and kept in the user's cache directory."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock, Timeout

from envs_data.cache import CACHE_VARIABLE, cache_directory
from envs_data.errors import DataError, unknown_name
from envs_data.manifest import FORMAT_VERSION
from envs_data.prepared import PreparedData, load_prepared
from envs_data.sample import fashion, shopping
from envs_data.sample.shop import Shop
from envs_data.sample.tables import POOL_SIZE, shop_tables
from envs_data.writing import write_prepared

__all__ = ["CONTENT_VERSION", "KINDS", "load_sample", "sample_data"]

CONTENT_VERSION = 1
"""Version of the generated content; it goes up with every change, so that no stale copy is read (tested)."""

KINDS: Mapping[str, Callable[[int], Shop]] = MappingProxyType(
    {"fashion": fashion.make_shop, "shopping": shopping.make_shop}
)
"""Generator of each kind of shop."""

_PATIENCE = 300.0  # seconds to wait for another process that generates, which takes a few seconds


def sample_data(kind: str, seed: int = 0) -> PreparedData:
    """Generate a synthetic data set in memory; the same arguments give the same bytes.

    Args:
        kind: ``"shopping"`` or ``"fashion"``.
        seed: From 0 to 2**63 - 1.

    Returns:
        The data set ``sample-shopping`` or ``sample-fashion``, with its intents.

    Raises:
        DataError: The kind is unknown, or the seed is out of range.
    """
    _check(kind)
    with tempfile.TemporaryDirectory(prefix="ospo-") as directory:  # writing gives the tables their digests
        return _write(Path(directory) / kind, kind, seed)


def load_sample(kind: str) -> PreparedData:
    """Open the embedded sample (seed 0), which is generated into the user's cache directory at first use.

    Several processes may call at once: one generates, the others wait. A damaged copy is generated again. The
    environment variable ``OSPO_CACHE_DIR`` names another cache directory.

    Args:
        kind: ``"shopping"`` or ``"fashion"``.

    Returns:
        The same as ``sample_data(kind)``.

    Raises:
        DataError: The kind is unknown, or the cache directory cannot be used.
    """
    _check(kind)
    directory = cache_directory()
    path = directory / f"sample-{kind}-v{CONTENT_VERSION}.{FORMAT_VERSION}"
    data = _intact(path)
    if data is not None:
        return data
    lock = directory / f"{path.name}.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=_PATIENCE):
            data = _intact(path)
            if data is None and path.is_dir():
                shutil.rmtree(path)
            return _write(path, kind, 0) if data is None else data
    except Timeout as error:
        raise DataError(
            f"another process has held {lock} for {_PATIENCE:.0f} seconds; end it, or delete that file"
        ) from error
    except (OSError, DataError) as error:
        raise DataError(
            f"cannot keep the embedded sample at {path} ({error}); delete it, or set {CACHE_VARIABLE} to a directory "
            "that can be written"
        ) from error


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise DataError(unknown_name("sample", kind, KINDS))


def _write(path: Path, kind: str, seed: int) -> PreparedData:
    tables, counts = shop_tables(KINDS[kind](seed), seed, kind)
    return write_prepared(
        path,
        tables,
        dataset=f"sample-{kind}",
        synthetic=True,
        arguments={"content_version": CONTENT_VERSION, "pool_size": POOL_SIZE, "seed": seed},
        sources={},
        counts=counts,
    )


def _intact(path: Path) -> PreparedData | None:
    """The data set at a path, or ``None`` if it is missing or damaged."""
    try:
        return load_prepared(path)
    except DataError:
        return None
