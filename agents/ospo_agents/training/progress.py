"""Progress bar and JSON Lines log of a training run."""

import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ospo_agents.progress_bar import progress_bar
from ospo_agents.training.run_directory import EVALUATED, METRIC, Progress

__all__ = ["LogFile", "ProgressBar", "Tally", "quiet", "step_cost"]


class ProgressBar(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """A tqdm bar over optimiser steps, with time left, the latest of a few logged values, and what a step cost.

    Args:
        label: Stands before the bar.
        shown: Logged name -> name on the bar.
        counters: The task's counters of this process, to show calls of the retriever and the caches' share of a step;
            none are shown without.
    """

    def __init__(
        self, label: str, shown: Mapping[str, str], counters: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        self.label = label
        self.shown = shown
        self.counters = counters
        self.before: Mapping[str, int] = {}
        self.bar: Any = None
        self.values: dict[str, str] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
        self.bar = progress_bar(
            total=state.max_steps, initial=state.global_step, desc=self.label, shown=state.is_world_process_zero
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar to the current step, and show what the step cost."""
        self.bar.update(state.global_step - self.bar.n)
        if self.counters is not None:
            now = dict(self.counters())
            self.values |= step_cost(self.before, now)
            self.before = now
            self.bar.set_postfix(self.values)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest values."""
        latest = {short: (logs or {}).get(name) for name, short in self.shown.items()}
        self.values |= {short: f"{value:.3f}" for short, value in latest.items() if value is not None}
        if self.values and self.bar is not None:
            self.bar.set_postfix(self.values)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self.bar.close()


def step_cost(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, str]:
    """Calls of the retriever in a step, and the share of its texts that caches knew, in memory or on disk.

    Args:
        before: The task's counters before the step.
        now: The counters after it.

    >>> step_cost({"distinct": 100, "cached": 40}, {"distinct": 180, "cached": 60, "stored": 10})
    {'calls': '50', 'cached': '38%'}
    """
    asked, cached, stored = (now.get(name, 0) - before.get(name, 0) for name in ("distinct", "cached", "stored"))
    known = cached + stored
    return {"calls": f"{asked - known}", "cached": f"{known / asked:.0%}" if asked else "-"}


class Tally:
    """Costs of a run so far, in all its processes, including those before it was resumed.

    Args:
        counters: The task's counters of this process.
        before: Progress of the run when it was resumed.
    """

    def __init__(self, counters: Callable[[], Mapping[str, int]], before: Progress) -> None:
        self._counters = counters
        self.before = before
        self._started = time.perf_counter()

    def seconds(self) -> float:
        """Time since the run began, without that between a kill and a resume."""
        return self.before.seconds + time.perf_counter() - self._started

    def evaluations(self) -> dict[str, int]:
        """The task's counters; all processes must ask together."""
        everyone: list[dict[str, int]] = gather_object([dict(self._counters())])
        since = {name: sum(counts[name] for counts in everyone) for name in everyone[0]}
        return {name: self.before.evaluations.get(name, 0) + count for name, count in since.items()}


class LogFile(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """Appends what the trainer logs to a JSON Lines file, one object a step.

    Each row also holds ``seconds`` and ``evaluations/*`` since the run began, and under its name the metric that people
    read, which is the reward unless the task says otherwise.

    Args:
        path: The file.
        tally: Costs of the run.
        metric: Name of the metric that is the reward.
    """

    def __init__(self, path: Path, tally: Tally, metric: str) -> None:
        self.path = path
        self.tally = tally
        self.metric = metric

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        evaluations = self.tally.evaluations()
        if not logs or not state.is_world_process_zero:
            return
        row = {"step": state.global_step, **logs, "seconds": round(self.tally.seconds(), 3)}
        row |= {f"evaluations/{name}": count for name, count in evaluations.items()}
        if "num_tokens" in logs and not state.num_input_tokens_seen:  # of a trainer whose state forgets it
            row["num_tokens"] += self.tally.before.tokens
        for name in ("reward", EVALUATED):
            if name in logs:
                row[name.replace("reward", self.metric)] = logs.get(METRIC, logs[name])
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def quiet() -> None:
    """Silence the libraries' own bars and chatter; errors and warnings still show."""
    import datasets
    import transformers

    # TRL 1.16 calls it by transformers' older name.
    warnings.filterwarnings("ignore", message=r"`\w*gradient_checkpointing\w*`", category=FutureWarning)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells when it looks for fonts
