"""Stored rewrites: written once, and measured again under any retriever without running the policy again."""

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs_data.files import write_atomically
from ospo_env.composition import Composition
from ospo_env.env import RewriteEnv
from ospo_env.errors import TaskError
from ospo_env.retrievers.registry import RetrieverSpec
from ospo_env.task import RetrievalTask

__all__ = ["Rewrites", "is_stored", "read_rewrites", "rescore", "write_rewrites"]

_KIND = "ospo rewrites"
_LONGEST_HEADER = 2**20  # bytes
_VERSION = 3
_HEADER: dict[str, Any] = {
    "env_id": str,
    "data": str | None,
    "fingerprint": str,
    "policy": str,
    "notes": dict,
}
_SINCE: dict[int, dict[str, Any]] = {
    1: {},
    2: {"max_words": int | None, "candidates": str | None, "metric": str | None},
    3: {"compose": str, "query_weight": int, "repeats": str},
}
"""Fields by the version that brought them. Files of version 1 mean the environment's own cap, candidates and metric;
files before version 3 the modes that there were: the rewrite replaces the query, and words count as often as they
stand."""


@dataclass(frozen=True)
class Rewrites:
    """Rewrites of a policy for some prompts, and the task that they are for.

    Attributes:
        env_id: The environment.
        data: Its prepared directory; none means the embedded sample.
        fingerprint: Digest of the data set, so that rewrites are not measured on another one.
        policy: Name of the policy that wrote them, for tables.
        prompt_ids: B ids.
        texts: B rewrites.
        notes: JSON-able facts about the policy, such as the retriever it was trained on.
        max_words: Word cap that they were written for; none means the environment's own.
        candidates: Documents that are ranked, ``"pool"`` or ``"corpus"``; none means the environment's own setting.
        metric: Printed name of the metric that they were written for; none means the environment's own.
        compose: Text that the retriever was sent: the rewrite (``"replace"``), or the query and it (``"append"``).
        query_weight: Times that the query counted with ``"append"``.
        repeats: Whether repeated words counted: ``"count"`` or ``"once"``.
    """

    env_id: str
    data: str | None
    fingerprint: str
    policy: str
    prompt_ids: tuple[str, ...]
    texts: tuple[str, ...]
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    max_words: int | None = None
    candidates: str | None = None
    metric: str | None = None
    compose: str = "replace"
    query_weight: int = 1
    repeats: str = "count"

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the environment that the rewrites were written for, without those that are its own."""
        settings = {name: getattr(self, name) for version in _SINCE.values() for name in version}
        return {name: value for name, value in settings.items() if value is not None}

    def __post_init__(self) -> None:
        if len(self.prompt_ids) != len(self.texts):
            raise TaskError(f"expected one rewrite a prompt; got {len(self.prompt_ids)} ids, {len(self.texts)} texts")
        Composition(self.compose, self.query_weight, self.repeats)  # which checks them


def write_rewrites(path: str | Path, rewrites: Rewrites) -> None:
    """Write JSON Lines: a header, then one object a rewrite; all of it or nothing."""
    header = dataclasses.asdict(rewrites)
    rows = zip(header.pop("prompt_ids"), header.pop("texts"), strict=True)
    lines: list[Any] = [{"kind": _KIND, "version": _VERSION, **header}]
    lines += [{"prompt_id": prompt_id, "text": text} for prompt_id, text in rows]
    write_atomically(Path(path), "".join(json.dumps(line) + "\n" for line in lines).encode())


def is_stored(path: str | Path) -> bool:
    """Whether a file is there and begins with the header that :func:`write_rewrites` writes, whatever its version."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as stream:
        line = stream.readline(_LONGEST_HEADER)
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("kind") == _KIND


def read_rewrites(path: str | Path) -> Rewrites:
    """Read what :func:`write_rewrites` wrote.

    Raises:
        TaskError: The file is not of that kind, or a line is not what it should be.
        OSError: It cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: expected stored rewrites, which are JSON Lines in UTF-8; {error}") from error
    header = _parsed(path, 1, lines[0])
    version = header.pop("version", None)
    if header.pop("kind", None) != _KIND or version not in [*_SINCE]:
        raise TaskError(
            f"{path}: expected rewrites of version 1 to {_VERSION}, as ospo_env.write_rewrites or "
            "ospo evaluate --rewrites stores them"
        )
    fields = dict(_HEADER)
    for since, added in _SINCE.items():
        fields |= added if since <= version else {}
    if header.keys() != {*fields} or not all(isinstance(header[name], kind) for name, kind in fields.items()):
        raise TaskError(f"{path}, line 1: expected a header with {', '.join(fields)}; got {', '.join(header)}")
    if ":" in header["env_id"]:
        raise TaskError(
            f"{path}, line 1: expected the id of a registered environment, got {header['env_id']!r}; "
            "a file may not name a module to import"
        )
    rows = [_parsed(path, number, line) for number, line in enumerate(lines[1:], start=2)]
    for number, row in enumerate(rows, start=2):
        if not all(isinstance(row.get(name), str) for name in ("prompt_id", "text")):
            raise TaskError(f"{path}, line {number}: expected strings prompt_id and text")
    prompt_ids, texts = (tuple(row[name] for row in rows) for name in ("prompt_id", "text"))
    try:
        return Rewrites(**header, prompt_ids=prompt_ids, texts=texts)
    except TaskError as error:
        raise TaskError(f"{path}, line 1: {error}") from error


def rescore(
    rewrites: Rewrites,
    retriever: RetrieverSpec,
    metrics: Sequence[str] | None = None,
    *,
    data: str | Path | None = None,
    task: RetrievalTask | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Measure stored rewrites under a retriever; nothing is generated.

    Args:
        rewrites: The rewrites to measure.
        retriever: A registered name, ``module:attribute``, a retriever or a factory.
        metrics: Names; by default the metric of the rewrites and :data:`ospo_env.task.DEFAULT_METRICS`.
        data: Prepared directory that the rewrites were made on; needed unless they are of the embedded sample, since a
            file of rewrites may not choose what is opened.
        task: A task on that retriever that is open already, with whatever settings; by default one is made with the
            settings of the rewrites: cap, candidates, metric and what the retriever is sent. A setting of the task that
            differs is a warning.

    Returns:
        For each metric float64 (B,), in [0, 1].

    Raises:
        TaskError: The data set is not the one that the rewrites are for, or a name is unknown.
        RetrieverError: The retriever failed.
    """
    if task is None:
        if rewrites.data is not None and data is None:
            raise TaskError(
                f"the rewrites of {rewrites.policy} were made on {rewrites.data!r}, which a file may not choose; if "
                f"you trust it, repeat it: rescore(..., data={rewrites.data!r})"
            )
        try:
            env = gymnasium.make(rewrites.env_id, data=data, retriever=retriever, **rewrites.settings)
        except (gymnasium.error.Error, ImportError, TypeError) as error:  # also of an id that is another package's
            raise TaskError(f"cannot make the environment of the rewrites: {error}") from error
        if not isinstance(env.unwrapped, RewriteEnv):
            raise TaskError(f"expected rewrites of an environment of this package; got {rewrites.env_id!r}")
        task = env.unwrapped.task
    else:
        for name, value in rewrites.settings.items():
            if getattr(task, name) != value and not (name == "metric" and metrics):
                message = (
                    f"the rewrites of {rewrites.policy} are for {name} {value}; the task has {getattr(task, name)}"
                )
                warnings.warn(message, stacklevel=2)
    if task.data.fingerprint != rewrites.fingerprint:
        raise TaskError(
            f"the rewrites of {rewrites.policy} are for the data set {rewrites.fingerprint[:16]}; "
            f"got {task.data.fingerprint[:16]}: name the directory that they were made on"
        )
    return task.evaluate(rewrites.prompt_ids, rewrites.texts, metrics)


def _parsed(path: str | Path, number: int, line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path}, line {number}: expected a JSON object; {error}") from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}, line {number}: expected a JSON object, got {type(content).__name__}")
    return content
