"""Data sets of environments: prepared directories and embedded samples, opened once per process and shared."""

from functools import lru_cache
from pathlib import Path

from envs_data import PreparedData, load_prepared
from envs_data.errors import unknown_name
from envs_data.files import file_sha256
from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.registration import ENVIRONMENTS, Registration

__all__ = ["open_data"]

_SHARED_DATA_SETS = 4
_HOW_TO_PREPARE = "make a directory with envs_data.prepare_tables(...), or the command ospo prepare"


def open_data(sample: str | None, data: str | Path | PreparedData | None) -> PreparedData:
    """Open the data set of an environment; equal arguments share one object within the process.

    A directory is identified by the digest of its manifest, which holds the digests of all tables, so a directory
    that was written anew is read anew.

    Args:
        sample: Name of an embedded sample, read when ``data`` is ``None``; it also says which data sets belong to the
            environment. ``None`` takes any data set.
        data: A prepared directory, or its tables in memory.

    Returns:
        The data set.

    Raises:
        TaskError: Both arguments are ``None``, the sample is unknown, the data set belongs to another id, or this
            process was forked from one that has opened data: polars' threads would hang there.
        DataError: The directory is not a prepared one.
    """
    refuse_after_fork("making an environment")
    by_sample = {environment.sample: environment for environment in ENVIRONMENTS if environment.sample is not None}
    if sample is not None and sample not in by_sample:
        raise TaskError(unknown_name("sample", sample, by_sample))
    if data is None:
        if sample is None:
            raise TaskError(
                f"expected data, a prepared directory, or the name of a sample; got neither: {_HOW_TO_PREPARE}"
            )
        return _shared_sample(sample)
    if isinstance(data, str | Path):
        data = _open_directory(Path(data).resolve())
    elif not isinstance(data, PreparedData):
        raise TaskError(
            f"expected data to be a prepared directory or PreparedData, got {type(data).__name__}; {_HOW_TO_PREPARE}"
        )
    if sample is not None:
        _check_dataset(str(data.manifest["dataset"]), by_sample[sample])
    return data


def _check_dataset(dataset: str, registration: Registration) -> None:
    if registration.datasets is None or dataset in registration.datasets:
        return
    owner = next(other.env_id for other in ENVIRONMENTS if other.datasets is None or dataset in other.datasets)
    raise TaskError(
        f"{registration.env_id} reads the data sets {', '.join(registration.datasets)}; got {dataset!r}: use {owner}"
    )


def _open_directory(path: Path) -> PreparedData:
    manifest = path / "manifest.json"
    if not manifest.is_file():
        return load_prepared(path)  # raises an error that says what is wrong with it
    return _shared_directory(path, file_sha256(manifest))


@lru_cache(maxsize=_SHARED_DATA_SETS)
def _shared_directory(path: Path, manifest_sha256: str) -> PreparedData:
    return load_prepared(path)


@lru_cache(maxsize=_SHARED_DATA_SETS)
def _shared_sample(kind: str) -> PreparedData:
    from envs_data.sample import load_sample  # the generator is not needed where data is passed

    return load_sample(kind)
