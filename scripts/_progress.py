"""What a person sees while a trainer runs: one bar with the numbers that matter, and a log on disk."""

import json
import warnings
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["LogFile", "ProgressBar", "quiet"]


class ProgressBar(TrainerCallback):
    """A tqdm bar over optimiser steps, with time left and the latest of a few logged values.

    Args:
        label: Stands before the bar.
        shown: Logged name -> name on the bar.
    """

    def __init__(self, label: str, shown: dict[str, str]) -> None:
        self.label = label
        self.shown = shown
        self.bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.label, dynamic_ncols=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar to the current step."""
        self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest values."""
        values = {short: f"{float(logs[name]):.3f}" for name, short in self.shown.items() if logs and name in logs}
        if values:
            self.bar.set_postfix(values)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self.bar.close()


class LogFile(TrainerCallback):
    """Appends what the trainer logs to a JSON Lines file, one object a step.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line."""
        if logs:
            with self.path.open("a") as stream:
                stream.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def quiet() -> None:
    """Silence the libraries' own bars and chatter; errors and warnings still show."""
    import datasets
    import transformers

    # TRL 1.16 asks for it under transformers' older name.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
