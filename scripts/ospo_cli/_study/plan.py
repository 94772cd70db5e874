"""Plan of the study: tasks, methods, ablations, and one cell of each. Plain data."""

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ospo_cli._modes import mode_options, modes_of

__all__ = [
    "ABLATIONS",
    "CONTINUATIONS",
    "FEW_CALLS_QUERIES",
    "METHODS",
    "METRIC",
    "QUERIES",
    "SELECTION_SEED",
    "TASKS",
    "TRAINED_ON",
    "Ablation",
    "Cell",
    "StudyTask",
]

METRIC = "nDCG@10"
TRAINED_ON = "bm25"

SELECTION_SEED = 1000
"""Seeds from here on choose learning rates; they are not reported."""

QUERIES = 24
"""Queries whose rewrites' true advantages are measured."""

CONTINUATIONS = 16
"""Continuations drawn at each place, for the true advantages."""


FEW_CALLS_QUERIES = 40
"""Queries whose rewrites' credit at few calls is measured."""


class StudyTask(NamedTuple):
    """A task by the name it has in the tables."""

    env: str
    warm_start_epochs: float
    needs_data: bool = False


TASKS: Mapping[str, StudyTask] = MappingProxyType(
    {
        "shopping": StudyTask("OSPO-ESCI-v0", 8),
        "fashion": StudyTask("OSPO-HM-v0", 4),
        "hm": StudyTask("OSPO-HM-v0", 3, needs_data=True),
    }
)

_PAPER = {
    "algo": "ospo",
    "solution": "contiguous",
    "redistribution": "prop",
    "redistribution_settings": {"scaling": "minmax"},
    "credit_separators": True,
}

_ALONE: dict[str, Any] = {
    "word_weight": 0.0,
    "separator_weight": 0.3,
    "divisor": "reward",
    "twin_weight": 0.5,
}
"""Settings of ``additive`` that lay credit alone on words, over the spread of rewards."""


def _state(share: float = 1.0, **settings: Any) -> dict[str, Any]:
    """OSPO with the state-conditional Shapley value, or its mixture with the Shapley value."""
    return {
        "algo": "ospo",
        "solution": "state_shapley",
        "solution_settings": {"share": share},
        "redistribution_settings": settings,
    }


def _rival(redistribution: str, **settings: Any) -> dict[str, Any]:
    return {"algo": "ospo", "redistribution": redistribution, **settings}


METHODS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "ospo": {"algo": "ospo"},
        "grpo": {"algo": "grpo"},
        "rloo": {"algo": "rloo"},
        "paper": _PAPER,
        "state": _state(),
        "mix": _state(0.5),
        "mix-twins": _state(0.5, twin_weight=0.5),
        "state-alone": _state(centring="none", **_ALONE),
        "state-alone-group": _state(centring="group", **_ALONE),
        "less-A": _state(0.5, twin_weight=0.5, word_weight=0.3, separator_weight=0.3),
        "less-A-over-R": _state(0.5, twin_weight=0.5, word_weight=0.3, separator_weight=0.3, divisor="reward"),
        "separators": {"algo": "ospo", "redistribution_settings": {"separator_weight": 0.3}},
        "entropy-weights": _rival("entropy_weights"),
        "tempo": _rival("tempo"),
        "grpo-lambda": _rival("grpo_lambda", redistribution_settings={"decay": 0.9}),
        "oar": _rival("oar", solution="leave_one_out"),
        "scar": _rival("scar"),
        "ospo-temperature-0.6": {"algo": "ospo", "temperature": 0.6},
        "ospo-temperature-0.8": {"algo": "ospo", "temperature": 0.8},
        "grpo-temperature-0.6": {"algo": "grpo", "temperature": 0.6},
        "grpo-temperature-0.8": {"algo": "grpo", "temperature": 0.8},
    }
)
"""Learners that are compared with GRPO, by name: training settings beyond the rest."""


class Ablation(NamedTuple):
    """One row of the ablations: what it varies, and the settings that differ from the default OSPO's."""

    varies: str
    settings: dict[str, Any]


def _ospo(varies: str, **settings: Any) -> Ablation:
    return Ablation(varies, {"algo": "ospo", **settings})


ABLATIONS: Mapping[str, Ablation] = MappingProxyType(
    {
        "grpo": Ablation("baseline", {"algo": "grpo"}),
        "ospo": _ospo("default"),
        "paper": Ablation("published form", _PAPER),
        "owen-words-in-phrases": _ospo("solution", solution="sampled_owen"),
        "myerson": _ospo("solution", solution="myerson"),
        "leave-one-out": _ospo("solution", solution="leave_one_out"),
        "contiguous": _ospo("solution", solution="contiguous"),
        "prefix": _ospo("solution", solution="prefix_potential"),
        "signed": _ospo("redistribution", redistribution="signed"),
        "prop": _ospo("redistribution", redistribution="prop"),
        "rank": _ospo("redistribution", redistribution="rank"),
        "return-to-go": _ospo("redistribution", redistribution="return_to_go"),
        "potential": _ospo("both", solution="prefix_potential", redistribution="potential"),
        "myerson-signed": _ospo("both", solution="myerson", redistribution="signed"),
        "leave-one-out-signed": _ospo("both", solution="leave_one_out", redistribution="signed"),
        "width-2": _ospo("width cap", solution="myerson", solution_settings={"width": 2}),
        "width-4": _ospo("width cap", solution="myerson", solution_settings={"width": 4}),
        "budget-32": _ospo("budget", solution_settings={"budget": 32}),
        "budget-64": _ospo("budget", solution_settings={"budget": 64}),
        "words": _ospo("segment length", segmenter="words"),
        "sentences": _ospo("segment length", segmenter="sentences"),
        "beta-0.5": _ospo("credit scale", redistribution_settings={"beta": 0.5}),
        "beta-2": _ospo("credit scale", redistribution_settings={"beta": 2.0}),
        "within-rollout": _ospo("centring", redistribution_settings={"centring": "rollout"}),
        "separators": _ospo("punctuation", credit_separators=True),
    }
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training run of the study.

    Args:
        task: Name of the task in :data:`TASKS`.
        method: Name of the method in the tables.
        settings: Training settings beyond seed, steps and warm start.
        seed: Seed of everything random.
        steps: Optimiser steps of the learner.
        every: Steps between evaluations; divides ``steps``.
        split: Split whose queries are evaluated.
        data: Prepared directory; none means the embedded sample.
        compose: Text that the retriever is sent: ``replace``, the rewrite, or ``append``, the query and the rewrite.
        query_weight: Times that the query counts with ``append``.
        repeats: Whether repeated words ``count`` or are sent ``once``.
    """

    task: str
    method: str
    settings: Mapping[str, Any]
    seed: int
    steps: int
    every: int
    split: str
    data: str | None = None
    compose: str = "replace"
    query_weight: int = 1
    repeats: str = "count"

    @property
    def modes(self) -> dict[str, Any]:
        """Modes of the task by name."""
        return modes_of(vars(self))

    def path(self, out: Path) -> Path:
        """The file that holds the finished cell."""
        rate = self.settings.get("learning_rate")
        parts = [self.method, *mode_options(self.modes), f"seed{self.seed}", f"steps{self.steps}", self.split]
        if rate is not None:
            parts.insert(1, f"lr{rate:g}")
        return out / "cells" / self.task / ("-".join(parts) + ".json.gz")

    def warm_path(self, out: Path) -> Path:
        """The directory of the policy it starts from, the same for all methods."""
        of_data = "" if self.data is None else f"-{zlib.crc32(self.data.encode()):08x}"
        return out / "warm" / f"{self.task}{of_data}-seed{self.seed}"
