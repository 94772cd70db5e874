"""The table of learners: OSPO is this project's, the others are TRL's own trainers.

All start from the same policy, on the same task, with the same settings. OSPO differs from GRPO in credit only. Those
that draw rollouts while they learn share the compact ones of :mod:`ospo_agents.compact_rollouts`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ospo_agents.training import trl_parts
from ospo_agents.training.trl_parts import Start, Values

__all__ = ["LEARNERS", "OF_SOME", "Learner"]


class Learner(NamedTuple):
    """One entry of the table.

    Attributes:
        about: A phrase for help texts.
        defaults: The settings that not all learners have, each with its default here.
        shown: Values on the progress bar beside the reward: logged name -> name on the bar.
        rollouts: When rollouts are drawn: ``"during"`` training, ``"before"`` it, or ``"never"``.
        stage: Name of this kind of learning in tables.
        config_name: Name of the class of TRL's settings.
        fields: Function from the settings to those fields of TRL's settings that are this learner's own.
        trainer: Function from an instance of that class and a start to the trainer.
    """

    about: str
    defaults: Mapping[str, Any]
    shown: Mapping[str, str]
    rollouts: str
    stage: str
    config_name: str
    fields: Callable[[Values], dict[str, Any]]
    trainer: Callable[[Any, Start], Any]

    def config(self) -> Any:
        """The class of TRL's settings, which imports TRL."""
        return trl_parts.config_class(self.config_name)

    def examples_a_step(self, settings: Values) -> int:
        """Examples in one optimiser step, of all processes: rollouts, demonstrations, or pairs (one a group)."""
        return int(settings["batch_size"] // (settings["group_size"] if self.rollouts == "before" else 1))

    def rollouts_a_run(self, settings: Values) -> int:
        """Rollouts of a whole run."""
        if self.rollouts == "never":
            return 0
        generations = -(-settings["steps"] // (settings["num_iterations"] or 1))
        return int(generations * settings["batch_size"])


_CREDIT: dict[str, Any] = {
    "segmenter": "phrases",
    "solution": "sampled_shapley",
    "solution_settings": {},
    "redistribution": "additive",
    "redistribution_settings": {},
    "credit_separators": False,
    "calls": None,
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
            config_name="OSPOConfig",
            fields=trl_parts.ospo_fields,
            trainer=trl_parts.ospo_trainer,
        ),
        "grpo": Learner(
            about="TRL's own, as the others",
            defaults=_LOSS | _ON_POLICY,
            shown=_ENTROPY,
            rollouts="during",
            stage="RL",
            config_name="GRPOConfig",
            fields=trl_parts.grpo_fields,
            trainer=trl_parts.grpo_trainer,
        ),
        "rloo": Learner(
            about="leave-one-out baselines",
            defaults=_ON_POLICY,
            shown=_ENTROPY,
            rollouts="during",
            stage="RL",
            config_name="RLOOConfig",
            fields=trl_parts.rollout_fields,
            trainer=trl_parts.rloo_trainer,
        ),
        "dpo": Learner(
            about="best against worst of groups of rollouts drawn before it begins",
            defaults={"kl": 0.1},
            shown={"loss": "loss", "rewards/accuracies": "accuracy"},
            rollouts="before",
            stage="DPO",
            config_name="DPOConfig",
            fields=trl_parts.dpo_fields,
            trainer=trl_parts.dpo_trainer,
        ),
        "sft": Learner(
            about="more passes over the demonstrations, no rollouts",
            defaults={},
            shown={"loss": "loss", "entropy": "entropy"},
            rollouts="never",
            stage="SFT",
            config_name="SFTConfig",
            fields=trl_parts.sft_fields,
            trainer=trl_parts.sft_trainer,
        ),
    }
)
"""Learners by name; the first is the default."""

OF_SOME: tuple[str, ...] = tuple(dict.fromkeys(name for learner in LEARNERS.values() for name in learner.defaults))
"""Settings that not all learners have."""
