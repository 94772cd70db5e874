"""TRL's trainers for this project's learners: the fields of their settings, and the trainers themselves.

TRL is imported inside the functions, since it takes seconds and the table of learners is read for ``--help``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ospo_agents.policies.prompt_format import PromptFormat
    from ospo_agents.protocols import Task
    from ospo_agents.training.preferences import Preference

__all__ = [
    "CREDIT",
    "Start",
    "Values",
    "config_class",
    "dpo_fields",
    "dpo_trainer",
    "grpo_fields",
    "grpo_trainer",
    "ospo_fields",
    "ospo_trainer",
    "rloo_trainer",
    "rollout_fields",
    "sft_fields",
    "sft_trainer",
]

Values: TypeAlias = Mapping[str, Any]
"""Training settings by name."""

CREDIT = (
    "segmenter",
    "solution",
    "solution_settings",
    "redistribution",
    "redistribution_settings",
    "credit_separators",
    "calls",
)
"""Settings of credit."""


class Start(NamedTuple):
    """Starting point of a learner.

    Attributes:
        task: Source of prompts, demonstrations and rewards.
        model: The policy after the warm start, named by the directory that it was read from: TRL reads the reference
            of the KL penalty there.
        tokenizer: The policy's tokenizer.
        prompt_format: Wording of prompts and position of the rewrite in a completion.
        preferences: Compared groups of rollouts, for a learner that draws its rollouts before it begins.
    """

    task: Task
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt_format: PromptFormat
    preferences: Sequence[Preference] = ()


def config_class(name: str) -> Any:
    """The class of TRL's settings of a name; ``OSPOConfig`` is this project's."""
    if name == "OSPOConfig":
        from ospo_agents.trainer import OSPOConfig

        return OSPOConfig
    import trl

    return getattr(trl, name)


def ospo_fields(settings: Values) -> dict[str, Any]:
    """Make the fields of OSPO: those of GRPO, and those of credit."""
    return {**grpo_fields(settings), **{name: settings[name] for name in CREDIT}}


def ospo_trainer(config: Any, start: Start) -> Any:
    """Make the trainer of OSPO."""
    from ospo_agents.trainer import OSPOTrainer

    return OSPOTrainer(
        model=start.model,
        task=start.task,
        prompt_format=start.prompt_format,
        args=config,
        processing_class=start.tokenizer,
    )


def grpo_fields(settings: Values) -> dict[str, Any]:
    """Make the fields of GRPO: LUSPO takes ratios of whole completions, all other losses take ratios of tokens here."""
    level = "sequence" if settings["loss_type"] == "luspo" else "token"
    return {**rollout_fields(settings), "loss_type": settings["loss_type"], "importance_sampling_level": level}


def grpo_trainer(config: Any, start: Start) -> Any:
    """Make the trainer of GRPO."""
    from ospo_agents.compact_rollouts import CompactGRPOTrainer

    return CompactGRPOTrainer(args=config, **_rewarded(start))


def rloo_trainer(config: Any, start: Start) -> Any:
    """Make the trainer of RLOO."""
    from ospo_agents.compact_rollouts import CompactRLOOTrainer

    return CompactRLOOTrainer(args=config, **_rewarded(start))


def dpo_fields(settings: Values) -> dict[str, Any]:
    """Make the fields of DPO, whose pairs are not cut."""
    return {"beta": settings["kl"], "max_length": None}


def dpo_trainer(config: Any, start: Start) -> Any:
    """Make the trainer of DPO, on the pairs of a start."""
    from trl import DPOTrainer

    from ospo_agents.training.preferences import preference_dataset

    return DPOTrainer(
        model=start.model,
        args=config,
        train_dataset=preference_dataset(start.preferences, start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )


def sft_fields(settings: Values) -> dict[str, Any]:
    """Make the fields of SFT, whose demonstrations are not cut."""
    return {"max_length": None}


def sft_trainer(config: Any, start: Start) -> Any:
    """Make the trainer of SFT, on the task's demonstrations."""
    from trl import SFTTrainer

    from ospo_agents.compact_rollouts import add_compact_head, causal_lm
    from ospo_agents.trl_task import demonstration_dataset

    trainer = SFTTrainer(
        model=start.model,
        args=config,
        train_dataset=demonstration_dataset(start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )
    add_compact_head(causal_lm(trainer.model), accuracy=True)
    return trainer


def rollout_fields(settings: Values) -> dict[str, Any]:
    """Make the fields of the learners that draw rollouts while they learn."""
    fields = {
        "num_generations": settings["group_size"],
        "num_iterations": settings["num_iterations"],
        "max_completion_length": settings["max_completion_length"],
        "temperature": settings["temperature"],
        "beta": settings["kl"],
    }
    if settings["vllm"] is not None:
        fields |= {"use_vllm": True, "vllm_mode": settings["vllm"]}
    return fields


def _rewarded(start: Start) -> dict[str, Any]:
    """Arguments of TRL's trainers that draw rollouts."""
    from ospo_agents.trl_task import TaskReward, prompt_dataset

    return {
        "model": start.model,
        "reward_funcs": [TaskReward(start.task, start.prompt_format, start.tokenizer)],
        "train_dataset": prompt_dataset(start.task, start.prompt_format),
        "processing_class": start.tokenizer,
    }
