"""Checkpoints that are complete or not there, and a data order that a resumed run takes up where it was."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ospo_agents.files import sync_directory, sync_entry, sync_file
from ospo_agents.policies.digests import FORMAT_FILE, write_digests
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.training.processes import wait
from ospo_agents.training.run_directory import checkpoint_step

__all__ = ["Checkpoints"]


class Checkpoints(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """Keeps the trainer's last checkpoints, each whole or absent, and replays the order of prompts on resume.

    The trainer writes each checkpoint into a scratch directory of its own, ``args.output_dir``, on the same file
    system. Once all is written it is renamed into ``directory``, and the oldest beyond ``args.save_total_limit`` (1
    where it is not set) is removed. So whatever stands in ``directory`` as ``checkpoint-STEP`` is complete, at
    whichever moment the process was killed. Checkpoints whose number was asked for are policy directories too.

    None is made at the last step: what follows it is the policy itself.

    Args:
        directory: Directory of the checkpoints.
        prompt_format: Wording of prompts and position of the rewrite, kept beside the weights.
        logs: Files that are written on the way and belong to the checkpoints.
    """

    def __init__(self, directory: Path, prompt_format: PromptFormat, logs: Sequence[Path] = ()) -> None:
        self.directory = directory
        self.logs = logs
        self.prompt_format = prompt_format

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Draw what a resumed trainer's sampler would have drawn.

        TRL's sampler of prompts draws a permutation a pass over the data from a generator of its own, which no
        checkpoint holds; transformers restores the place within a pass only.
        """
        steps_a_pass = -(-len(train_dataloader) // args.gradient_accumulation_steps)
        sampler = _sampler(train_dataloader)
        if getattr(sampler, "generator", None) is not None and hasattr(sampler, "mini_repeat_count"):
            for _ in range(state.global_step // steps_a_pass):
                torch.randperm(sampler.num_samples, generator=sampler.generator)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take back the trainer's wish to save at its last step."""
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the checkpoint that was just written in its place, once every process has written its part."""
        wait()
        if state.is_world_process_zero:
            name = f"checkpoint-{state.global_step}"
            earlier = sorted(self.directory.glob("checkpoint-*"), key=checkpoint_step)
            written = Path(args.output_dir) / name
            if args.save_total_limit is not None:  # it stays when the run is finished
                (written / FORMAT_FILE).write_text(json.dumps(dataclasses.asdict(self.prompt_format), indent=2) + "\n")
                write_digests(written)
            sync_directory(written)
            for log in self.logs:
                if log.is_file():  # what a checkpoint counts on must not be younger than it
                    sync_file(log)
            written.rename(self.directory / name)
            sync_entry(self.directory / name)
            kept = (args.save_total_limit or 1) - 1
            for path in earlier[: len(earlier) - kept]:  # a half-removed one must not be seen either
                shutil.rmtree(path.rename(Path(args.output_dir) / "removed"))
        wait()


def _sampler(dataloader: Any) -> Any:
    """The sampler under the wrappers of accelerate."""
    batches = dataloader.batch_sampler
    return getattr(getattr(batches, "batch_sampler", batches), "sampler", None)
