"""Evaluation during training: greedy rewrites of fixed validation prompts, and the best policy so far."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from peft import PeftModel
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.models import unwrap_model_for_generation

from ospo_agents.errors import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy, save_policy
from ospo_agents.protocols import MeasuredTask, Task
from ospo_agents.rewrite_shares import rewrite_shares
from ospo_agents.training.processes import is_first
from ospo_agents.training.run_directory import EVALUATED
from ospo_agents.training.trl_parts import Start

__all__ = ["Evaluation", "best_step", "make_evaluation", "save_model", "validation_rows"]

_ORDER_SEED = 0  # the same prompts for every seed of a run, so that runs can be compared


class Evaluation(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """Measures a trainer's policy before the first step, every few steps and after the last one.

    Each value is logged as ``eval_reward``. A policy that is better than all before it is kept in a directory of its
    own, ``step-N``; those that a later one beat are removed once a checkpoint holds the later one, so that a run which
    goes on from that checkpoint finds the best policy up to it.

    Attributes:
        values: Step -> value of all evaluations of the run, in order.

    Args:
        every: Steps between evaluations.
        measure: Function that gives the value of the policy as it is now, as ``eval_reward``, and what else is logged
            of it; all processes call it together.
        log: Function that logs a row.
        values: Values of the run's evaluations before it was resumed.
        best: Directory that holds the best policies; None keeps none.
        save: Function that writes the policy to a path; all processes call it together.
        patience: Evaluations in a row without a new best value after which training stops; 0 never stops it.
    """

    def __init__(
        self,
        every: int,
        measure: Callable[[], Mapping[str, float]],
        log: Callable[[dict[str, float]], None],
        values: Mapping[int, float],
        best: Path | None,
        save: Callable[[Path], None],
        patience: int = 0,
    ) -> None:
        self.values = dict(values)
        self._patience = patience
        self._every, self._measure, self._log, self._best, self._save = every, measure, log, best, save

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Evaluate the policy that training starts from."""
        if state.global_step == 0:
            self._evaluate(0)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Evaluate once a step is logged, so that its row comes first, and before a checkpoint is made of it."""
        step = state.global_step
        if "loss" in (logs or {}) and (step % self._every == 0 or step == state.max_steps):
            self._evaluate(step)
            if self.stopped:
                control.should_training_stop = True
                control.should_save = False  # what follows is the policy itself, as after the last step

    @property
    def stopped(self) -> bool:
        """Whether the policy has not become better for as many evaluations as it is given."""
        return bool(self._patience) and sum(step > best_step(self.values) for step in self.values) >= self._patience

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remove the policies that a later one has beaten, once a checkpoint is there."""
        if self._best is not None and is_first():
            for path in self._best.glob("step-*"):
                if path.name != f"step-{best_step(self.values)}":
                    shutil.rmtree(path)

    def _evaluate(self, step: int) -> None:
        row = self._measure()
        self.values[step] = row[EVALUATED]
        self._log(dict(row))
        if self._best is not None and best_step(self.values) == step:
            self._save(self._best / f"step-{step}")


def best_step(values: Mapping[int, float]) -> int:
    """The step of the highest value, the earliest of equals.

    >>> best_step({0: 0.2, 10: 0.5, 20: 0.5})
    10
    """
    return min(values, key=lambda step: (-values[step], step))


def _greedy_reward(trainer: Any, start: Start, prompts: int, max_new_tokens: int) -> Callable[[], Mapping[str, float]]:
    """Make the measure of an evaluation: mean metric and shares of greedy rewrites of fixed validation prompts.

    That is the mean reward, where a task does not say otherwise (:class:`ospo_agents.protocols.MeasuredTask`).

    Each process rewrites its share of the prompts.

    Args:
        trainer: The trainer whose policy is measured.
        start: Task, tokenizer and prompt format.
        prompts: Number of prompts; where the split has more, some are drawn, always the same.
        max_new_tokens: Bound on a completion's length.

    Raises:
        AgentError: The task has no validation prompts.
    """
    ids, texts = validation_rows(start.task, prompts)
    accelerator = trainer.accelerator
    first, all_of_them = accelerator.process_index, accelerator.num_processes

    def measure() -> Mapping[str, float]:
        with unwrap_model_for_generation(trainer.model_wrapped, accelerator) as model:
            policy = LanguageModelPolicy(
                model,
                start.tokenizer,
                start.prompt_format,
                max_new_tokens=max_new_tokens,
                bf16=trainer.args.bf16,
            )
            rewrites = policy(ids[first::all_of_them], texts[first::all_of_them])
        values = start.task.metric_values if isinstance(start.task, MeasuredTask) else start.task.rewards
        rewards = values(ids[first::all_of_them], rewrites) if rewrites else np.zeros(0)
        places = range(first, len(ids), all_of_them)
        gathered = dict(gather_object(list(zip(places, zip(rewrites, rewards.tolist(), strict=True), strict=True))))
        everyone = [gathered[place] for place in range(len(ids))]
        shares = rewrite_shares(start.task, ids, [rewrite for rewrite, _ in everyone])
        return {
            EVALUATED: float(np.mean([reward for _, reward in everyone])),
            **{f"eval_{name}": share for name, share in shares.items()},
        }

    return measure


def validation_rows(task: Task, prompts: int) -> tuple[list[str], list[str]]:
    """Ids and prompts of an evaluation.

    Raises:
        AgentError: The task has no validation prompts.
    """
    ids, texts = task.prompts("validation")
    if not ids:
        raise AgentError(
            "eval_steps (--eval-steps): expected prompts in the split 'validation', but it has none; prepare more data"
        )
    if len(ids) > prompts:
        rows = sorted(np.random.default_rng(_ORDER_SEED).choice(len(ids), size=prompts, replace=False))
        ids, texts = [ids[row] for row in rows], [texts[row] for row in rows]
    return ids, texts


def save_model(trainer: Any, start: Start) -> Callable[[Path], None]:
    """Make the function that writes a trainer's policy to a path; training goes on with the policy as it was named."""

    def save(path: Path) -> None:
        whole = None
        if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:  # each process may hold a part only
            whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        model = trainer.model
        name = None if isinstance(model, PeftModel) else model.name_or_path
        save_policy(path, model, start.tokenizer, start.prompt_format, state_dict=whole, bf16=trainer.args.bf16)
        if name is not None:
            model.config.name_or_path = model.name_or_path = name

    return save


def make_evaluation(
    trainer: Any,
    start: Start,
    *,
    every: int,
    prompts: int,
    max_new_tokens: int,
    values: Mapping[int, float],
    best: Path | None,
    patience: int = 0,
) -> Evaluation:
    """Make the evaluation of a trainer; arguments as :class:`Evaluation` and :func:`validation_rows`."""
    return Evaluation(
        every,
        _greedy_reward(trainer, start, prompts, max_new_tokens),
        lambda row: Trainer.log(trainer, row),  # TRL's own would average what it has logged of a step so far
        values,
        best,
        save_model(trainer, start),
        patience,
    )
