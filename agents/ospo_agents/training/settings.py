"""The settings of a training run, beside the task that it is on: one frozen dataclass, checked in one place."""

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ospo_agents.advantages import make_redistribution
from ospo_agents.assignment import default_segmenter, is_in_turns
from ospo_agents.calls import training_calls
from ospo_agents.credit import SOLUTIONS, make_solution
from ospo_agents.errors import AgentError, unknown
from ospo_agents.losses import check_loss, check_potential
from ospo_agents.protocols import CoalitionTask
from ospo_agents.segments import SEGMENTERS
from ospo_agents.training.defaults import OF_START, start_defaults, warms_up
from ospo_agents.training.learners import LEARNERS, OF_SOME, Learner
from ospo_agents.training.processes import processes
from ospo_agents.training.trl_fields import check_names

__all__ = ["KEPT", "LOSS_TYPES", "VLLM_MODES", "TrainingSettings"]

LOSS_TYPES = ("dr_grpo", "grpo", "bnpo", "dapo", "cispo", "sapo", "luspo", "vespo")
VLLM_MODES = ("colocate", "server")
KEPT = ("last", "best")
_SAVE_STEPS = 50
_WHOLE = {
    "steps": 1,
    "seed": 0,
    "batch_size": 1,
    "group_size": 2,
    "max_completion_length": 1,
    "num_iterations": 1,
    "gradient_accumulation": 1,
    "warmup_steps": 0,
    "lora_rank": 0,
    "lora_alpha": 1,
    "save_steps": 0,
    "eval_steps": 0,
    "eval_prompts": 1,
    "patience": 0,
    "calls": 0,
}
_ABOVE_ZERO = ("learning_rate", "temperature", "warm_start_learning_rate")
_AT_LEAST_ZERO = ("warm_start_epochs", "kl")
_SWITCHES = ("bare_prompts", "bf16", "load_4bit", "activation_checkpointing", "credit_separators")
_MAPPINGS = {"solution_settings": "{width: 8}", "redistribution_settings": "{beta: 0.5}", "trl": "{weight_decay: 0.1}"}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of a training run, without the task that it is on.

    Settings that only some learners have are None by default, and the learner's own default takes their place; what a
    learner does not have stays None. Rates, their warm-up, KL and parts of a batch have other defaults for a policy
    that was trained before (``policy``) than for a new tiny one, which needs rates that would destroy it.

    Attributes:
        algo: Learner, a name in :data:`ospo_agents.training.learners.LEARNERS`.
        steps: Optimiser steps of the learner.
        seed: Seed of initial weights, order of prompts and sampling.
        batch_size: Rollouts a step, of all processes; for ``sft`` demonstrations.
        group_size: Rollouts of one prompt.
        learning_rate: Learning rate of the learner, constant after its warm-up; None takes 3e-4 for a new tiny policy,
            2e-5 for a trained one.
        warmup_steps: Steps over which the learning rate rises from 0; None takes none for a new tiny policy, a tenth of
            all steps for a trained one.
        max_completion_length: Bound on the tokens of a completion.
        temperature: Temperature of sampling during training.
        loss_type: Name of TRL's loss, one of :data:`LOSS_TYPES`; ``luspo`` for ``grpo`` only.
        kl: Weight of the KL divergence from the warm start, TRL's ``beta``; None takes 0.1 for ``dpo``, else 0 for a
            new tiny policy, 0.02 for a trained one (0 with the redistribution ``potential``).
        num_iterations: Optimiser steps on the same rollouts.
        gradient_accumulation: Parts of a step's batch, to save memory; None takes 1 for a new tiny policy, 2 for a
            trained one where two parts come out whole.
        warm_start_epochs: Passes over the demonstrations before the learner begins, 0 skips them; None takes 3.
        warm_start_learning_rate: Peak learning rate of the warm start, which falls linearly to 0; None takes 2e-3 for a
            new tiny policy, 2e-4 for a trained one.
        policy: Directory or hub id of the causal LM to start from; None makes a new tiny one.
        bare_prompts: Whether ``policy`` is sent the prompt alone, for a foreign model that a warm start teaches the
            task: without instruction and answer tags, which would be most of what is computed.
        lora_rank: Rank of the adapters to train; 0 trains all weights.
        lora_alpha: Scale of the adapters, over their rank.
        bf16: Whether to compute in bfloat16.
        load_4bit: Whether to hold the weights under adapters in 4 bits, which needs a GPU and bitsandbytes.
        activation_checkpointing: Whether to compute activations twice, to save memory.
        vllm: Mode in which vLLM draws the rollouts, one of :data:`VLLM_MODES`; None draws them with transformers.
        segmenter: Players of the game, a name in :data:`ospo_agents.segments.SEGMENTERS`; None for
            :func:`ospo_agents.assignment.default_segmenter`.
        solution: Solution of the game, a name in :data:`ospo_agents.credit.SOLUTIONS`.
        solution_settings: Keyword arguments of the solution.
        redistribution: Way from credit to tokens, a name in :data:`ospo_agents.advantages.REDISTRIBUTIONS`.
        redistribution_settings: Keyword arguments of the redistribution.
        credit_separators: Whether punctuation gets credit too.
        calls: Distinct texts of a rewrite that are scored at most, other worths being estimated; 0 for all. None takes
            the task's default, which a run resolves and records (:meth:`for_task`).
        save_steps: Steps between checkpoints, 0 for none; None takes about 50.
        eval_steps: Steps between evaluations on validation prompts, 0 for none.
        eval_prompts: Validation prompts of an evaluation, the same ones each time; fewer where there are fewer.
        patience: Evaluations in a row without a new best value after which training stops; 0 never stops it.
        keep: Policy that ``policy/`` holds: the last, or the best of all evaluations, of equals the earliest.
        trl: Further fields of TRL's own settings of the learner, and of adapters, by TRL's names.
    """

    algo: str = next(iter(LEARNERS))
    steps: int = 250
    seed: int = 0
    batch_size: int = 64
    group_size: int = 8
    learning_rate: float = OF_START
    warmup_steps: int = OF_START
    max_completion_length: int = 32
    temperature: float = 1.0
    loss_type: str | None = None
    kl: float | None = None
    num_iterations: int | None = None
    gradient_accumulation: int = OF_START
    warm_start_epochs: float = OF_START
    warm_start_learning_rate: float = OF_START
    policy: str | None = None
    bare_prompts: bool = False
    lora_rank: int = 0
    lora_alpha: int = 16
    bf16: bool = False
    load_4bit: bool = False
    activation_checkpointing: bool = False
    vllm: str | None = None
    segmenter: str | None = None
    solution: str | None = None
    solution_settings: Mapping[str, Any] | None = None
    redistribution: str | None = None
    redistribution_settings: Mapping[str, Any] | None = None
    credit_separators: bool | None = None
    calls: int | None = None
    save_steps: int | None = None
    eval_steps: int = 0
    eval_prompts: int = 128
    patience: int = 0
    keep: str = KEPT[0]
    trl: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the defaults of the learner, and those of what training starts from, in the place of None."""
        known = isinstance(self.algo, str) and self.algo in LEARNERS
        defaults = dict(LEARNERS[self.algo].defaults) if known else {}
        defaults |= start_defaults(vars(self))
        if "segmenter" in defaults and isinstance(self.solution, str) and self.solution in SOLUTIONS:
            defaults["segmenter"] = default_segmenter(self.solution)
        if isinstance(self.num_iterations, int | None):  # checkpoints stand where rollouts are drawn anew
            every = max(self.num_iterations or 1, 1)
            defaults["save_steps"] = -(-_SAVE_STEPS // every) * every
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, dict(value) if isinstance(value, Mapping) else value)

    @property
    def learner(self) -> Learner:
        """The learner's entry in the table."""
        return LEARNERS[self.algo]

    @property
    def examples(self) -> int:
        """Examples in one optimiser step, of all processes."""
        return self.learner.examples_a_step(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """All settings by name, as ``run.json`` holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings among some values, as ``run.json`` holds them; what is missing has its default."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """The settings that ``run.json`` holds; what an older run does not name had its value of then."""
        settings = cls.of({"warmup_steps": 0, **values})
        has_calls = isinstance(settings.algo, str) and settings.algo in LEARNERS and settings._has("calls")
        return cls.of({"calls": 0, "warmup_steps": 0, **values}) if has_calls else settings

    def for_task(self, task: CoalitionTask) -> Self:
        """The settings with the task's own defaults.

        ``calls`` takes the place of None, and for a task in turns ``phrases-in-turns`` that of the solution's usual
        segmenter, whose segments cross lines.
        """
        if not self._has("calls"):
            return self
        segmenter = self.segmenter
        if is_in_turns(task) and segmenter == default_segmenter(self.solution):
            segmenter = default_segmenter(self.solution, in_turns=True)
        return dataclasses.replace(self, segmenter=segmenter, calls=training_calls(task, self.calls))

    def check(self, spell: Callable[[str], str] = str) -> None:
        """Check every setting.

        Args:
            spell: Spelling of a setting's name in messages, for example as an option of a command.

        Raises:
            AgentError: A setting has a value that it cannot have, or one that does not go with the others.
        """
        if not isinstance(self.algo, str) or self.algo not in LEARNERS:
            raise unknown("learner", self.algo, LEARNERS)
        for name in OF_SOME:
            if name not in self.learner.defaults and getattr(self, name) is not None:
                owners = ", ".join(key for key, learner in LEARNERS.items() if name in learner.defaults)
                raise AgentError(
                    f"{spell(name)} is of {spell('algo')} {owners}; leave it out with {spell('algo')} {self.algo}"
                )
        self._check_numbers(spell)
        self._check_choices(spell)
        if self.segmenter is not None:
            self._check_credit(spell)
        if self.vllm is not None and importlib.util.find_spec("vllm") is None:
            raise AgentError(
                f"{spell('vllm')} needs the package vllm, which is not installed; install it or leave {spell('vllm')} "
                "out"
            )
        self._check_batches(spell)
        check_names(self.trl, self.learner, spell)
        self._check_course(spell)
        if self.bare_prompts and self.policy is None:
            raise AgentError(f"{spell('bare_prompts')} is of a trained {spell('policy')}; the new one has no other")
        if self.lora_rank and self.policy is None:
            raise AgentError(
                f"{spell('lora_rank')} needs a trained {spell('policy')}; the new tiny one trains all its weights"
            )
        if self.load_4bit and self.policy is None:
            raise AgentError(
                f"{spell('load_4bit')} holds weights that cannot be trained; add {spell('lora_rank')}, for example 32"
            )

    def _has(self, name: str) -> bool:
        """Whether a setting means something for the learner; what does not is None, as was checked."""
        return name not in OF_SOME or name in self.learner.defaults

    def _check_numbers(self, spell: Callable[[str], str]) -> None:
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if name == "calls" and value is None:
                continue
            if self._has(name) and not (_is_whole(value) and least <= value < 2**31):
                raise AgentError(f"{spell(name)}: expected at least {least}, got {_shown(value)}")
        for name in (*_ABOVE_ZERO, *_AT_LEAST_ZERO):
            value = getattr(self, name)
            if not self._has(name):
                continue
            strict = name in _ABOVE_ZERO or (name == "kl" and self.learner.defaults["kl"] > 0)
            number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
            if not number or value < 0 or (strict and value == 0):
                bound = "above 0" if strict else "of at least 0"
                raise AgentError(f"{spell(name)}: expected a finite number {bound}, got {_shown(value)}")

    def _check_choices(self, spell: Callable[[str], str]) -> None:
        for name in _SWITCHES:
            if self._has(name) and not isinstance(getattr(self, name), bool):
                raise AgentError(f"{spell(name)}: expected true or false, got {_shown(getattr(self, name))}")
        for name, example in _MAPPINGS.items():
            value = getattr(self, name)
            if self._has(name) and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
                raise AgentError(f"{spell(name)}: expected a mapping such as '{example}', got {_shown(value)}")
        choices = {"loss_type": LOSS_TYPES, "segmenter": tuple(SEGMENTERS), "vllm": VLLM_MODES, "keep": KEPT}
        for name, known in choices.items():
            value = getattr(self, name)
            if self._has(name) and value not in known and not (name == "vllm" and value is None):
                raise unknown(name, value, known)
        if not isinstance(self.policy, str | None):
            raise AgentError(f"{spell('policy')}: expected a directory or a hub id, got {_shown(self.policy)}")

    def _check_course(self, spell: Callable[[str], str]) -> None:
        """The course of the learning rate, and what evaluations decide."""
        if self.warmup_steps and warms_up(self.trl):
            raise AgentError(
                f"{spell('warmup_steps')} {self.warmup_steps}: {spell('trl')} decides about it too; give one of them"
            )
        for name, value, usual in (("keep", self.keep, "last"), ("patience", self.patience, 0)):
            if value != usual and not self.eval_steps:
                raise AgentError(f"{spell(name)} {value} needs evaluations to choose by; add {spell('eval_steps')}")

    def _check_credit(self, spell: Callable[[str], str]) -> None:
        try:
            make_solution(str(self.solution), **(self.solution_settings or {}))
            make_redistribution(str(self.redistribution), **(self.redistribution_settings or {}))
        except TypeError as error:
            names = f"{spell('solution_settings')}, {spell('redistribution_settings')}"
            raise AgentError(f"{names}: a value has a type that it cannot have: {error}") from error
        check_loss(str(self.loss_type), self.trl.get("off_policy_mask_threshold"), spell)
        check_potential(str(self.redistribution), str(self.solution), str(self.loss_type), self.kl or 0.0, spell)
        if self.loss_type == "luspo":
            raise AgentError(
                f"{spell('loss_type')} luspo takes one ratio for a whole completion, which gives all its tokens the "
                f"same advantage: credit would be lost; choose another, or {spell('algo')} grpo"
            )

    def _check_batches(self, spell: Callable[[str], str]) -> None:
        """Groups and parts must come out whole."""
        if self.batch_size % self.group_size:
            raise AgentError(
                f"{spell('batch_size')}: expected a multiple of {spell('group_size')} {self.group_size}, "
                f"got {self.batch_size}"
            )
        parts = self.gradient_accumulation * processes()
        examples = self.examples
        if examples % parts:
            what = f"{spell('batch_size')} {self.batch_size}"
            what += " in pairs, one a group," if self.learner.rollouts == "before" else ""
            raise AgentError(
                f"{spell('gradient_accumulation')}: {what} gives {examples} examples a step, which {parts} parts "
                f"({processes()} processes) do not divide; choose a divisor"
            )
        if self.num_iterations is not None and (self.save_steps or 0) % self.num_iterations:
            raise AgentError(
                f"{spell('save_steps')}: expected a multiple of {spell('num_iterations')} {self.num_iterations}, since "
                f"a checkpoint keeps no rollouts; got {self.save_steps}"
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A value in a message: numbers and short texts as they are."""
    return repr(value)[:80] if isinstance(value, str) else str(value)[:80]
