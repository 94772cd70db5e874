"""The table of learners: OSPO is this project's, the others are TRL's own trainers, unchanged.

All start from the same policy, on the same task, with the same settings. OSPO differs from GRPO in credit only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ospo_agents.training.processes import processes

if TYPE_CHECKING:  # TRL takes seconds to import, and the table is read for --help
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ospo_agents.policies.prompt_format import PromptFormat
    from ospo_agents.protocols import Task
    from ospo_agents.training.preferences import Preference

__all__ = ["LEARNERS", "OF_SOME", "Learner", "Start", "Values"]

Values: TypeAlias = Mapping[str, Any]
"""Training settings by name."""


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


class Learner(NamedTuple):
    """One entry of the table.

    Attributes:
        about: A phrase for help texts.
        defaults: The settings that not all learners have, each with its default here.
        shown: Values on the progress bar beside the reward: logged name -> name on the bar.
        rollouts: When rollouts are drawn: ``"during"`` training, ``"before"`` it, or ``"never"``.
        stage: Name of this kind of learning in tables.
        config: Function that imports the class of TRL's settings.
        fields: Function from the settings to those fields of TRL's settings that are this learner's own.
        trainer: Function from an instance of ``config`` and a start to the trainer.
    """

    about: str
    defaults: Mapping[str, Any]
    shown: Mapping[str, str]
    rollouts: str
    stage: str
    config: Callable[[], Any]
    fields: Callable[[Values], dict[str, Any]]
    trainer: Callable[[Any, Start], Any]

    def examples(self, settings: Values) -> int:
        """Examples in one optimiser step, of all processes: rollouts, demonstrations, or pairs (one a group)."""
        return int(settings["batch_size"] // (settings["group_size"] if self.rollouts == "before" else 1))

    def drawn(self, settings: Values) -> int:
        """Rollouts of a whole run."""
        if self.rollouts == "never":
            return 0
        generations = -(-settings["steps"] // (settings["num_iterations"] or 1))
        return int(generations * settings["batch_size"])


def _ospo_config() -> Any:
    from ospo_agents.trainer import OSPOConfig

    return OSPOConfig


def _ospo_fields(settings: Values) -> dict[str, Any]:
    return {**_grpo_fields(settings), **{name: settings[name] for name in _CREDIT}}


def _ospo(config: Any, start: Start) -> Any:
    from ospo_agents.trainer import OSPOTrainer

    return OSPOTrainer(
        model=start.model,
        task=start.task,
        prompt_format=start.prompt_format,
        args=config,
        processing_class=start.tokenizer,
    )


def _grpo_config() -> Any:
    from trl import GRPOConfig

    return GRPOConfig


def _grpo_fields(settings: Values) -> dict[str, Any]:
    """LUSPO is defined on ratios of whole completions; all other losses take ratios of tokens here."""
    level = "sequence" if settings["loss_type"] == "luspo" else "token"
    return {**_rollout_fields(settings), "loss_type": settings["loss_type"], "importance_sampling_level": level}


def _grpo(config: Any, start: Start) -> Any:
    from trl import GRPOTrainer

    return GRPOTrainer(args=config, **_rewarded(start))


def _rloo_config() -> Any:
    from trl import RLOOConfig

    return RLOOConfig


def _rloo(config: Any, start: Start) -> Any:
    from trl import RLOOTrainer

    return RLOOTrainer(args=config, **_rewarded(start))


def _dpo_config() -> Any:
    from trl import DPOConfig

    return DPOConfig


def _dpo_fields(settings: Values) -> dict[str, Any]:
    """A step takes as many pairs as a step of the others has groups."""
    return {**_batch_fields(settings), "beta": settings["kl"], "max_length": None}


def _dpo(config: Any, start: Start) -> Any:
    from trl import DPOTrainer

    from ospo_agents.training.preferences import preference_dataset

    return DPOTrainer(
        model=start.model,
        args=config,
        train_dataset=preference_dataset(start.preferences, start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )


def _sft_config() -> Any:
    from trl import SFTConfig

    return SFTConfig


def _sft_fields(settings: Values) -> dict[str, Any]:
    """A step takes as many demonstrations as a step of the others has rollouts."""
    return {**_batch_fields(settings), "max_length": None}


def _sft(config: Any, start: Start) -> Any:
    from trl import SFTTrainer

    from ospo_agents.trl_task import demonstration_dataset

    return SFTTrainer(
        model=start.model,
        args=config,
        train_dataset=demonstration_dataset(start.task, start.prompt_format),
        processing_class=start.tokenizer,
    )


def _batch_fields(settings: Values) -> dict[str, Any]:
    """The examples of a step that one process takes at once."""
    parts = settings["gradient_accumulation"] * processes()
    return {"per_device_train_batch_size": LEARNERS[settings["algo"]].examples(settings) // parts}


def _rollout_fields(settings: Values) -> dict[str, Any]:
    """Fields of the learners that draw rollouts while they learn."""
    fields = {
        **_batch_fields(settings),
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


_CREDIT: dict[str, Any] = {
    "segmenter": "phrases",
    "solution": "sampled_shapley",
    "solution_settings": {},
    "redistribution": "additive",
    "redistribution_settings": {},
    "credit_separators": False,
}
_ON_POLICY: dict[str, Any] = {"num_iterations": 1, "vllm": None, "kl": 0.0}
_LOSS: dict[str, Any] = {"loss_type": "dr_grpo"}
_ENTROPY = {"entropy": "entropy"}

LEARNERS: Mapping[str, Learner] = MappingProxyType(
    {
        "ospo": Learner(
            about="this project's",
            defaults=_CREDIT | _LOSS | _ON_POLICY,
            shown=_ENTROPY,
            rollouts="during",
            stage="RL",
            config=_ospo_config,
            fields=_ospo_fields,
            trainer=_ospo,
        ),
        "grpo": Learner(
            about="TRL's own, as the others",
            defaults=_LOSS | _ON_POLICY,
            shown=_ENTROPY,
            rollouts="during",
            stage="RL",
            config=_grpo_config,
            fields=_grpo_fields,
            trainer=_grpo,
        ),
        "rloo": Learner(
            about="leave-one-out baselines",
            defaults=_ON_POLICY,
            shown=_ENTROPY,
            rollouts="during",
            stage="RL",
            config=_rloo_config,
            fields=_rollout_fields,
            trainer=_rloo,
        ),
        "dpo": Learner(
            about="best against worst of groups of rollouts drawn before it begins",
            defaults={"kl": 0.1},
            shown={"loss": "loss", "rewards/accuracies": "accuracy"},
            rollouts="before",
            stage="DPO",
            config=_dpo_config,
            fields=_dpo_fields,
            trainer=_dpo,
        ),
        "sft": Learner(
            about="more passes over the demonstrations, no rollouts",
            defaults={},
            shown={"loss": "loss", "entropy": "entropy"},
            rollouts="never",
            stage="SFT",
            config=_sft_config,
            fields=_sft_fields,
            trainer=_sft,
        ),
    }
)
"""Learners by name; the first is the default."""

OF_SOME: tuple[str, ...] = tuple(dict.fromkeys(name for learner in LEARNERS.values() for name in learner.defaults))
"""Settings that not all learners have."""
