"""The trainer of a run: TRL's settings made of this project's, and the learner's trainer on them."""

from pathlib import Path
from typing import Any

import torch

from ospo_agents.training.learners import Start
from ospo_agents.training.settings import TrainingSettings

__all__ = ["common_fields", "make_trainer"]


def make_trainer(settings: TrainingSettings, start: Start, scratch: Path, *, save_steps: int = 0) -> Any:
    """The trainer of ``settings.algo``.

    Args:
        settings: Settings of the run.
        start: Task and policy.
        scratch: Directory into which the trainer writes.
        save_steps: Steps between checkpoints; 0 for none.
    """
    learner = settings.learner
    fields = {
        "output_dir": str(scratch),
        "max_steps": settings.steps,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "seed": settings.seed,
        "save_strategy": "steps" if save_steps else "no",
        "save_steps": save_steps or 1,  # means nothing without the strategy, but may not be 0
        **common_fields(settings),
        **learner.fields(settings.as_json()),
    }
    return learner.trainer(learner.config()(**fields), start)


def common_fields(settings: TrainingSettings) -> dict[str, Any]:
    """Fields of every trainer here. TRL's defaults are for large models on accelerators; these are for any."""
    accelerated = torch.accelerator.is_available()
    return {
        "bf16": settings.bf16,
        "activation_checkpointing": settings.activation_checkpointing,
        "use_cpu": not accelerated,
        "dataloader_pin_memory": accelerated,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "log_level_replica": "error",  # as of the first process
        "report_to": [],
        "logging_steps": 1,
    }
