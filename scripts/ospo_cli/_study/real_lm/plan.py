"""Plan of the part with a pretrained language model: data sets, methods, and one cell of each. Plain data."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ospo_cli._modes import mode_options, modes_of

__all__ = [
    "DATA_SETS",
    "METHODS",
    "REFERENCES",
    "SAMPLES",
    "SHARED",
    "TRAINED_ON",
    "UNTRAINED",
    "DataSet",
    "LMCell",
    "Measure",
    "learner_settings",
]

TRAINED_ON = "bm25"

SAMPLES = 2
"""Rewrites sampled for each query."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set of this part.

    Attributes:
        env: Environment id.
        compose: Text that the retriever is sent, as everywhere.
        query_weight: Times that the query counts with ``append``.
        repeats: Whether repeated words count.
        demonstrations: Kind of the demonstrations that the data have to hold.
        warm_start_epochs: Passes over the demonstrations.
        warm_start_learning_rate: Learning rate of them.
        segmenter: Players of the game.
        reward_retrievers: Retrievers whose rewards are averaged, the one of the task among them.
        contrast: Other training queries of the contrastive reward; 0 for the task's own reward.
    """

    env: str
    compose: str
    query_weight: int
    repeats: str
    demonstrations: str
    warm_start_epochs: float
    warm_start_learning_rate: float
    segmenter: str
    reward_retrievers: tuple[str, ...] = (TRAINED_ON,)
    contrast: int = 0

    @property
    def modes(self) -> dict[str, Any]:
        """Modes of the task by name."""
        return modes_of(vars(self))


_EXPANDED = DataSet("OSPO-Rewrite-v0", "append", 3, "once", "expansions", 3.0, 2e-4, "words")

DATA_SETS: Mapping[str, DataSet] = MappingProxyType(
    {
        "nfcorpus": _EXPANDED,
        "nfcorpus-bm25-lsa": dataclasses.replace(_EXPANDED, reward_retrievers=(TRAINED_ON, "lsa")),
        "hm": DataSet("OSPO-HM-v0", "replace", 1, "count", "phrases", 0.25, 1e-4, "phrases"),
        "hm-associations": DataSet("OSPO-HM-v0", "replace", 1, "count", "associations", 0.5, 2e-4, "words"),
        "home-depot": _EXPANDED,
        "crowdflower": _EXPANDED,
        "esci-graded": dataclasses.replace(_EXPANDED, env="OSPO-ESCI-v0"),
    }
)
"""Data sets by name. In ``append`` the query counts thrice, so that what helps on pools costs little on the corpus.

``nfcorpus-bm25-lsa`` is NFCorpus with a reward that is the mean under two retrievers, for a policy that keeps its gain
under others. ``hm-associations`` is H&M with other demonstrations, which a policy can learn whole, since needs are
few."""

SHARED: Mapping[str, Any] = MappingProxyType(
    {
        "bare_prompts": True,
        "bf16": True,
        "batch_size": 64,
        "group_size": 8,
        "max_completion_length": 24,
        "gradient_accumulation": 2,
        "warmup_steps": 5,
    }
)
"""Settings of all training runs of this part; KL is the default of a trained policy."""

METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "grpo": {"algo": "grpo"},
        "ospo": {"algo": "ospo"},
        "phrases": {"algo": "ospo", "segmenter": "phrases"},
        "state": {"algo": "ospo", "solution": "state_shapley"},
        "tempo": {"algo": "ospo", "redistribution": "tempo"},
        "oar": {"algo": "ospo", "solution": "leave_one_out", "redistribution": "oar"},
        "grpo-lambda": {"algo": "ospo", "redistribution": "grpo_lambda", "redistribution_settings": {"decay": 0.9}},
        "entropy-weights": {"algo": "ospo", "redistribution": "entropy_weights"},
        "scar": {"algo": "ospo", "redistribution": "scar"},
    }
)
"""Learners by name: training settings beyond the shared ones, and beyond the players that a data set has."""


def learner_settings(task: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings of a learner on a data set, beyond the shared ones: of OSPO with the players too."""
    players = {"segmenter": DATA_SETS[task].segmenter} if settings["algo"] == "ospo" else {}
    return {**players, **settings}


REFERENCES = ("query", "constant", "association", "prf", "spelling")
"""Policies that need no model; each makes its texts once, with the retriever of training."""

UNTRAINED = ("zero-shot", "warm-start")
"""The language model before any learner: as it came, with an instruction; and after its warm start."""


@dataclasses.dataclass(frozen=True)
class LMCell:
    """The texts of one method on one data set.

    Attributes:
        task: Name of the data set in :data:`DATA_SETS`.
        data: Prepared directory.
        policy: Directory or hub id of the language model; None for a reference without one.
        method: Name of the method.
        settings: Training settings beyond the shared ones; empty without training.
        seed: Seed of the training run; the warm start is the same for all.
        steps: Optimiser steps; 0 without training.
        split: Split whose queries are rewritten.
        queries: Number of them, the first ones; 0 for all.
        warm_start_epochs: Passes over the demonstrations; None for the data set's own.
        trained_on: Name of the data set that the policy has learned on; None for this one.
    """

    task: str
    data: str
    policy: str | None
    method: str
    settings: Mapping[str, Any]
    seed: int
    steps: int
    split: str
    queries: int = 0
    warm_start_epochs: float | None = None
    trained_on: str | None = None

    @property
    def source(self) -> str:
        """Name of the data set that the policy has learned on."""
        return self.trained_on or self.task

    @property
    def start(self) -> dict[str, Any]:
        """Settings of the warm start and of the reward, which are the data set's and no fields of the cell."""
        about = DATA_SETS[self.source]
        return {
            "demonstrations": about.demonstrations,
            "warm_start_epochs": self.epochs,
            "warm_start_learning_rate": about.warm_start_learning_rate,
            "reward_retrievers": list(about.reward_retrievers),
            "contrast": about.contrast,
        }

    @property
    def warmed(self) -> bool:
        """Whether the texts are those of a policy after a warm start."""
        return self.policy is not None and self.method != "zero-shot"

    @property
    def epochs(self) -> float:
        """Passes over the demonstrations."""
        return DATA_SETS[self.source].warm_start_epochs if self.warm_start_epochs is None else self.warm_start_epochs

    def path(self, out: Path) -> Path:
        """The file of the finished cell."""
        parts = [self._run]
        if self.trained_on is not None:
            parts.append(f"on-{self.trained_on}")
        parts.append(self.split + str(self.queries or ""))
        return out / "cells" / f"real-lm-{self.task}" / ("-".join(parts) + ".json.gz")

    def policy_path(self, out: Path) -> Path:
        """The directory of the policy that is best on validation prompts, where it is kept."""
        return out / "policies" / f"real-lm-{self.source}" / self._run

    @property
    def _run(self) -> str:
        """Name of the run, which is unique on its data set."""
        parts = [self.method]
        if self.steps:
            parts += [f"lr{self.settings['learning_rate']:g}", f"seed{self.seed}", f"steps{self.steps}"]
        if self.warm_start_epochs is not None:
            parts.append(f"epochs{self.warm_start_epochs:g}")
        return "-".join(parts)

    def warm_path(self, out: Path) -> Path:
        """The directory of the policy after its warm start, the same for all methods and seeds."""
        about = DATA_SETS[self.source]
        name = (
            f"real-lm-{self.source}-{about.demonstrations}-epochs{self.epochs:g}-lr{about.warm_start_learning_rate:g}"
        )
        return out / "warm" / name


class Measure(NamedTuple):
    """A task that texts are measured on.

    Attributes:
        retriever: The retriever.
        candidates: ``pool`` or ``corpus``.
        modes: Modes of the task.
        max_words: Words of a text that count; None for the environment's own cap.
    """

    retriever: str
    candidates: str
    modes: Mapping[str, Any]
    max_words: int | None = None

    def path(self, texts: Path) -> Path:
        """The file of the values of a cell's texts, whose own file is given.

        A retriever with a directory is named by its kind and a digest.
        """
        kind, _, place = self.retriever.partition(":")
        name = f"{kind}-{hashlib.sha256(place.encode()).hexdigest()[:8]}" if place else kind
        cap = [] if self.max_words is None else [f"words{self.max_words}"]
        parts = [texts.name.removesuffix(".json.gz"), name, self.candidates, *mode_options(self.modes), *cap]
        return texts.parent / "scores" / ("-".join(parts) + ".json.gz")
