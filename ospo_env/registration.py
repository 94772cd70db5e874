"""The environments by id: which data sets each reads, and how their data is opened and shared."""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import gymnasium

from envs_data import PreparedData, load_prepared
from envs_data.errors import unknown_name
from envs_data.files import file_sha256
from ospo_env.errors import TaskError

__all__ = ["ENVIRONMENTS", "Registration", "open_data", "register_environments"]

_SHARED_DATA_SETS = 4
_opened_in: int | None = None  # the process


class Registration(NamedTuple):
    """One id.

    Attributes:
        env_id: The name in Gymnasium's registry; its version goes up with any change of pool, labels, prompt, metric or
            tie rule.
        max_words: Cap on the words of a rewrite.
        sample: The embedded sample it reads when no data is given; ``None`` for an id that needs data.
        datasets: The data sets it reads, as manifests name them; ``None`` for all.
    """

    env_id: str
    max_words: int
    sample: str | None = None
    datasets: tuple[str, ...] | None = None


ENVIRONMENTS = (
    Registration("OSPO-ESCI-v0", 16, sample="shopping", datasets=("esci", "sample-shopping")),
    Registration("OSPO-HM-v0", 24, sample="fashion", datasets=("hm", "sample-fashion")),
    Registration("OSPO-Rewrite-v0", 16),
)


def register_environments() -> None:
    """Put all ids into Gymnasium's registry, with string entry points and JSON-able arguments.

    ``max_episode_steps`` stays unset: an episode ends by itself after one step, and a limit of one would report it as
    truncated too.
    """
    for registration in ENVIRONMENTS:
        gymnasium.register(
            id=registration.env_id,
            entry_point="ospo_env.env:RewriteEnv",
            vector_entry_point="ospo_env.vector:RewriteVectorEnv",
            kwargs={"sample": registration.sample, "max_words": registration.max_words},
        )


def open_data(sample: str | None, data: str | Path | PreparedData | None) -> PreparedData:
    """The data of an environment; equal arguments share one object within the process.

    A directory is known by the digest of its manifest, which holds the digests of all tables, so a directory that was
    written anew is read anew.

    Args:
        sample: Name of an embedded sample, read when ``data`` is ``None``; it also says which data sets belong to the
            environment. ``None`` takes any data set.
        data: A prepared directory, or its tables in memory.

    Returns:
        The data set.

    Raises:
        TaskError: Neither came, the sample is unknown, the data set belongs to another id, or this process was forked
            from one that has opened data: what polars does with threads would hang there.
        DataError: The directory is not a prepared one.
    """
    global _opened_in
    if _opened_in not in (None, os.getpid()):
        raise TaskError(
            "expected an environment to be made in a process of its own, but this one was forked from one that had "
            "made some, where reading data would hang; pass context='spawn' to AsyncVectorEnv or multiprocessing"
        )
    _opened_in = os.getpid()
    by_sample = {known.sample: known for known in ENVIRONMENTS if known.sample is not None}
    if sample is not None and sample not in by_sample:
        raise TaskError(unknown_name("sample", sample, by_sample))
    if data is None:
        if sample is None:
            raise TaskError(
                "expected data, a prepared directory, or the name of a sample; got neither: "
                "make a directory with scripts/prepare.py"
            )
        return _shared_sample(sample)
    if isinstance(data, str | Path):
        data = _open_directory(Path(data).resolve())
    elif not isinstance(data, PreparedData):
        raise TaskError(
            f"expected data to be a prepared directory or PreparedData, got {type(data).__name__}; "
            "make a directory with scripts/prepare.py"
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
        return load_prepared(path)  # which says what is wrong with it
    return _shared_directory(path, file_sha256(manifest))


@lru_cache(maxsize=_SHARED_DATA_SETS)
def _shared_directory(path: Path, manifest_sha256: str) -> PreparedData:
    return load_prepared(path)


@lru_cache(maxsize=_SHARED_DATA_SETS)
def _shared_sample(kind: str) -> PreparedData:
    from envs_data.sample import load_sample  # the generator is not needed where data is given

    return load_sample(kind)
