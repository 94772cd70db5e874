"""A resolved policy, and the request that it is resolved for."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ospo_env import RetrievalTask, Rewrites

__all__ = ["LONGEST_NAME", "Request", "ResolvedPolicy", "Write", "exists", "make_rewrites"]

LONGEST_NAME = 1024


class Request(NamedTuple):
    """The task that rewrites are for, and the settings of decoding.

    Attributes:
        env: Environment id.
        data: Prepared directory; none means the embedded sample.
        split: The prompts' split.
        temperature: 0 decodes greedily, else samples.
        max_new_tokens: Bound on a completion; none means the policy's own.
        seed: Seed of sampling and of the random policy.
        encoder: Encoder of Stable-Baselines3 policies; None takes the one that they name, if a file may name it.
        retrievers: Names of the retrievers that rank, as the command line has them.
    """

    env: str
    data: Path | None
    split: str
    temperature: float
    max_new_tokens: int | None
    seed: int
    encoder: str | None = None
    retrievers: tuple[str, ...] = ("bm25",)


class Write(Protocol):
    """Function that writes or reads the rewrites of all prompts of a task."""

    def __call__(
        self, task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        """Rewrites of these prompts, in order; ``progress`` is called with the number of prompts just done."""
        ...


@dataclass(frozen=True)
class ResolvedPolicy:
    """A resolved policy, ready to write rewrites.

    Attributes:
        write: Writes them.
        reads_task: Whether the policy reads the task itself, so that it must be run once per retriever.
        check: Called with the task and the ids of all prompts before any policy writes; raises ``AgentError`` if the
            policy does not fit them.
        made_for: The settings of the task that it was trained on, or that its rewrites were written for, among
            ``max_words``, ``candidates``, ``metric`` and the modes; those that nobody recorded are absent.
        temperature: Temperature at which it is sampled where none is asked for; None for a policy that does not sample.
        repeats: Whether one call with a prompt several times samples a text for each.
        trained_on: Names of the retrievers that it was trained on, separated by commas; None where none is known.
        several: Whether it has several rewrites for a prompt; its value is their mean.
    """

    write: Write
    reads_task: bool = False
    check: Callable[[RetrievalTask, Sequence[str]], None] = lambda task, ids: None
    made_for: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    temperature: float | None = None
    repeats: bool = False
    trained_on: str | None = None
    several: bool = False


def make_rewrites(
    name: str,
    request: Request,
    task: RetrievalTask,
    ids: Sequence[str],
    texts: Sequence[str],
    notes: dict[str, Any] | None = None,
) -> Rewrites:
    return Rewrites(
        request.env,
        None if request.data is None else str(request.data),
        task.data.fingerprint,
        name,
        tuple(ids),
        tuple(texts),
        notes or {},
        max_words=task.max_words,
        candidates=task.candidates,
        metric=task.metric,
        compose=task.compose,
        query_weight=task.query_weight,
        repeats=task.repeats,
    )


def exists(name: str) -> bool:
    return len(name) <= LONGEST_NAME and Path(name).exists()
