"""The trainer of each learner: OSPO is this project's, the others are TRL's own, unchanged.

All start from the same policy, on the same task, and take the same arguments. OSPO differs from GRPO in credit only.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.training.preferences import Preference, preference_dataset
from ospo_agents.training.processes import processes
from ospo_agents.trl_task import TaskReward, demonstration_dataset, prompt_dataset

__all__ = ["SHOWN", "make_trainer", "plain"]

_CREDIT = (
    "segmenter",
    "solution",
    "solution_settings",
    "redistribution",
    "redistribution_settings",
    "credit_separators",
)
# What a learner's progress bar shows; the reward stands there with its metric's name.
SHOWN = {
    "ospo": {"entropy": "entropy"},
    "grpo": {"entropy": "entropy"},
    "rloo": {"entropy": "entropy"},
    "dpo": {"loss": "loss", "rewards/accuracies": "accuracy"},
    "sft": {"loss": "loss", "entropy": "entropy"},
}


class _Start(NamedTuple):
    """What a learner starts from."""

    task: Any
    model: Any
    tokenizer: Any
    prompt_format: PromptFormat
    preferences: Sequence[Preference]


def make_trainer(
    arguments: Namespace,
    task: Any,
    model: Any,
    tokenizer: Any,
    prompt_format: PromptFormat,
    scratch: Path,
    *,
    preferences: Sequence[Preference] = (),
    save_steps: int = 0,
) -> Any:
    """The trainer of ``arguments.algo``.

    Args:
        arguments: Of ``train.py``.
        task: Gives prompts, demonstrations and rewards.
        model: The policy after the warm start, named by the directory it was read from: TRL reads the reference of the
            KL penalty there.
        tokenizer: Its tokenizer.
        prompt_format: How prompts are put and rewrites found.
        scratch: Directory into which the trainer writes.
        preferences: Compared groups of rollouts, for DPO.
        save_steps: Steps between checkpoints; 0 for none.
    """
    settings = {
        "output_dir": str(scratch),
        "max_steps": arguments.steps,
        "gradient_accumulation_steps": arguments.gradient_accumulation,
        "learning_rate": arguments.learning_rate,
        "lr_scheduler_type": "constant",
        "seed": arguments.seed,
        "save_strategy": "steps" if save_steps else "no",
        "save_steps": save_steps or 1,  # means nothing without the strategy, but may not be 0
        **plain(arguments),
    }
    return _TRAINERS[arguments.algo](arguments, _Start(task, model, tokenizer, prompt_format, preferences), settings)


def plain(arguments: Namespace) -> dict[str, Any]:
    """Settings of every trainer here. TRL's defaults are for large models on accelerators; these are for any."""
    accelerated = torch.accelerator.is_available()
    return {
        "bf16": arguments.bf16,
        "activation_checkpointing": arguments.activation_checkpointing,
        "use_cpu": not accelerated,
        "dataloader_pin_memory": accelerated,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "log_level_replica": "error",  # as of the first process
        "report_to": [],
        "logging_steps": 1,
    }


def _ospo(arguments: Namespace, start: _Start, settings: dict[str, Any]) -> OSPOTrainer:
    return OSPOTrainer(
        model=start.model,
        task=start.task,
        prompt_format=start.prompt_format,
        args=OSPOConfig(
            **settings,
            **_rollouts(arguments),
            **_loss(arguments),
            **{name: getattr(arguments, name) for name in _CREDIT},
        ),
        processing_class=start.tokenizer,
    )


def _grpo(arguments: Namespace, start: _Start, settings: dict[str, Any]) -> GRPOTrainer:
    return GRPOTrainer(args=GRPOConfig(**settings, **_rollouts(arguments), **_loss(arguments)), **_rewarded(start))


def _rloo(arguments: Namespace, start: _Start, settings: dict[str, Any]) -> RLOOTrainer:
    return RLOOTrainer(args=RLOOConfig(**settings, **_rollouts(arguments)), **_rewarded(start))


def _dpo(arguments: Namespace, start: _Start, settings: dict[str, Any]) -> DPOTrainer:
    """A step takes as many pairs as a step of the others has groups."""
    return DPOTrainer(
        model=start.model,
        args=DPOConfig(
            **settings,
            per_device_train_batch_size=_of_a_part(arguments, arguments.batch_size // arguments.group_size),
            beta=arguments.kl,
            max_length=None,
        ),
        train_dataset=preference_dataset(start.preferences, start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )


def _sft(arguments: Namespace, start: _Start, settings: dict[str, Any]) -> SFTTrainer:
    """A step takes as many demonstrations as a step of the others has rollouts."""
    return SFTTrainer(
        model=start.model,
        args=SFTConfig(
            **settings,
            per_device_train_batch_size=_of_a_part(arguments, arguments.batch_size),
            max_length=None,
        ),
        train_dataset=demonstration_dataset(start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )


_TRAINERS: dict[str, Callable[[Namespace, _Start, dict[str, Any]], Any]] = {
    "ospo": _ospo,
    "grpo": _grpo,
    "rloo": _rloo,
    "dpo": _dpo,
    "sft": _sft,
}


def _rollouts(arguments: Namespace) -> dict[str, Any]:
    """Settings of the learners that sample while they learn."""
    settings = {
        "per_device_train_batch_size": _of_a_part(arguments, arguments.batch_size),
        "num_generations": arguments.group_size,
        "num_iterations": arguments.num_iterations,
        "max_completion_length": arguments.max_completion_length,
        "temperature": arguments.temperature,
        "beta": arguments.kl,
    }
    if arguments.vllm is not None:
        settings |= {"use_vllm": True, "vllm_mode": arguments.vllm}
    return settings


def _loss(arguments: Namespace) -> dict[str, Any]:
    """TRL's loss. LUSPO is defined on ratios of whole completions; all others take ratios of tokens here."""
    level = "sequence" if arguments.loss_type == "luspo" else "token"
    return {"loss_type": arguments.loss_type, "importance_sampling_level": level}


def _rewarded(start: _Start) -> dict[str, Any]:
    return {
        "model": start.model,
        "reward_funcs": [TaskReward(start.task, start.prompt_format, start.tokenizer)],
        "train_dataset": prompt_dataset(start.task, start.prompt_format),
        "processing_class": start.tokenizer,
    }


def _of_a_part(arguments: Namespace, batch: int) -> int:
    """A step's examples that one process takes at once."""
    return int(batch // (arguments.gradient_accumulation * processes()))
