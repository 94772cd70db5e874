"""The trainer of a run: TRL's settings made of this project's, and the learner's trainer on them."""

from pathlib import Path
from typing import Any

import torch

from ospo_agents.errors import AgentError
from ospo_agents.training.processes import processes
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.trl_fields import check_values, config_fields
from ospo_agents.training.trl_parts import Start

__all__ = ["common_fields", "make_config", "make_trainer"]


def make_trainer(settings: TrainingSettings, start: Start, scratch: Path, *, save_steps: int = 0) -> Any:
    """The trainer of ``settings.algo``.

    Args:
        settings: Settings of the run.
        start: Task and policy.
        scratch: Directory into which the trainer writes.
        save_steps: Steps between checkpoints; 0 for none.
    """
    return settings.learner.trainer(make_config(settings, scratch, save_steps=save_steps), start)


def make_config(settings: TrainingSettings, scratch: Path, *, save_steps: int = 0) -> Any:
    """TRL's settings of a run; arguments as :func:`make_trainer`.

    Raises:
        AgentError: TRL does not take what ``settings.trl`` holds.
    """
    learner, config = settings.learner, settings.learner.config()
    check_values(settings.trl, learner, adapters=bool(settings.lora_rank))
    fields = {
        "output_dir": str(scratch),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.examples // (settings.gradient_accumulation * processes()),
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if settings.warmup_steps else "constant",
        "warmup_steps": settings.warmup_steps,
        "seed": settings.seed,
        "save_strategy": "steps" if save_steps else "no",
        "save_steps": save_steps or 1,  # means nothing without the strategy, but may not be 0
        **common_fields(settings),
        **learner.fields(settings.as_json()),
        **config_fields(settings.trl),
    }
    if not settings.trl:
        return config(**fields)
    try:
        return config(**fields)
    except Exception as error:  # whatever TRL's own checks raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise AgentError(f"trl (--trl): {config.__name__} does not take {dict(settings.trl)}: {reason}") from error


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
