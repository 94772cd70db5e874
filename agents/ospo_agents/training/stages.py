"""The two stages of a training run: the warm start, then the learner.

The warm start writes ``warmstart/``; the learner reads its policy from there, in a new run and in one that goes on, so
that nothing that the first stage left in memory can make them differ.
"""

import dataclasses
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback

from ospo_agents.errors import AgentError
from ospo_agents.files import sync_directory, sync_entry
from ospo_agents.policies.language_model import load_policy, lora_config, save_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.protocols import Task
from ospo_agents.training.checkpoints import Checkpoints
from ospo_agents.training.curves import draw_curves
from ospo_agents.training.evaluation import Evaluation, best_step, make_evaluation, save_model
from ospo_agents.training.pairs import sample_pairs
from ospo_agents.training.processes import is_first, processes, wait
from ospo_agents.training.progress import LogFile, ProgressBar, Tally
from ospo_agents.training.run_directory import BEST, CHECKPOINTS, EVALUATED, SCRATCH, TENSORBOARD, read_log
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.trainers import common_fields, make_trainer
from ospo_agents.training.trl_fields import adapter_fields
from ospo_agents.training.trl_parts import Start
from ospo_agents.training.warm_start import warm_start

__all__ = ["learn", "make_policy", "warm_policy"]

_WARM_START_BATCH = 32
_UNREADABLE = (pickle.UnpicklingError, SafetensorError, EOFError, ValueError, KeyError, RuntimeError, OSError)


def make_policy(settings: TrainingSettings, task: Task) -> Start:
    """The policy to train, before its warm start: ``settings.policy``, or a new tiny one."""
    if settings.policy is not None:
        model, tokenizer, prompt_format = _open(settings, settings.policy)
        if settings.bare_prompts:
            prompt_format = PromptFormat()
    else:
        tokenizer, prompt_format = tiny_tokenizer(task.texts()), PromptFormat()
        model = tiny_model(tokenizer, seed=settings.seed)
    if settings.lora_rank:
        if isinstance(model, PeftModel):
            raise AgentError(
                f"lora_rank (--lora-rank): {settings.policy} is an adapter already; leave it out to train that one"
            )
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            adapter = lora_config(settings.lora_rank, settings.lora_alpha)
            model = get_peft_model(model, dataclasses.replace(adapter, **adapter_fields(settings.trl)))
    if settings.load_4bit and not isinstance(model, PeftModel):
        raise AgentError(
            "load_4bit (--load-4bit) holds weights that cannot be trained; add lora_rank (--lora-rank), for example 32"
        )
    model.generation_config.max_new_tokens = settings.max_completion_length  # evaluation writes as long
    return Start(task, model, tokenizer, prompt_format)


def warm_policy(settings: TrainingSettings, start: Start, path: Path) -> None:
    """Fit a policy to the demonstrations, if any passes are asked for, and save it."""
    model, tokenizer, prompt_format = start.model, start.tokenizer, start.prompt_format
    if settings.warm_start_epochs > 0:
        warm_start(
            model,
            tokenizer,
            start.task,
            prompt_format,
            out=path.parent / f".{path.name}.scratch",
            epochs=settings.warm_start_epochs,
            learning_rate=settings.warm_start_learning_rate,
            batch_size=max(_WARM_START_BATCH // (settings.gradient_accumulation * processes()), 1),
            gradient_accumulation_steps=settings.gradient_accumulation,
            seed=settings.seed,
            callbacks=[ProgressBar("warm start", {"loss": "loss"})],
            **common_fields(settings),
        )
        shutil.rmtree(path.parent / f".{path.name}.scratch", ignore_errors=True)
    save_policy(path, model, tokenizer, prompt_format)


def learn(
    settings: TrainingSettings, task: Task, out: Path, tally: Tally, *, metric: str, title: str
) -> dict[str, Any]:
    """Run the learner, from ``warmstart/`` or from the last checkpoint, and write ``policy/``, log and curves.

    Args:
        settings: Settings of the run.
        task: Source of prompts, demonstrations and rewards.
        out: Run directory.
        tally: Costs of the run, and its progress when it was resumed.
        metric: Name of the metric that is the reward.
        title: Title of the curves.

    Returns:
        Costs of the run: ``rollouts``, ``evaluations``, ``seconds``, ``stopped_step`` if it stopped early, and for DPO
        the number of groups and of those without a pair.
    """
    scratch = out / CHECKPOINTS / SCRATCH
    if is_first():
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    wait()
    learner = settings.learner
    start = Start(task, *_open(settings, out / "warmstart"))
    spent: dict[str, Any] = {"rollouts": learner.rollouts_a_run(settings.as_json())}
    if learner.rollouts == "before":
        preferences, evaluations = sample_pairs(settings, start, out / "pairs.jsonl")
        spent |= {"groups": len(preferences), "groups_without_spread": sum(g.chosen is None for g in preferences)}
        start = start._replace(preferences=preferences)
        tally.before = dataclasses.replace(tally.before, evaluations=evaluations)
    trainer = make_trainer(settings, start, scratch, save_steps=settings.save_steps or 0)
    trainer.remove_callback(PrinterCallback)
    shown = {"reward": f"reward ({metric})", **learner.shown, EVALUATED: "validation"}
    trainer.add_callback(ProgressBar(settings.algo, shown, lambda: task.counters))
    trainer.add_callback(LogFile(out / "log.jsonl", tally, metric))
    trainer.add_callback(Checkpoints(out / CHECKPOINTS, start.prompt_format, [out / "log.jsonl"]))
    evaluation = _evaluation(settings, trainer, start, out, tally) if settings.eval_steps else None
    if evaluation is not None:
        trainer.add_callback(evaluation)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(out / TENSORBOARD)  # the scratch directory is removed at the end
    _train(trainer, tally.before.checkpoint)
    spent |= _end(settings, trainer.state.global_step, stopped=evaluation is not None and evaluation.stopped)
    values = {} if evaluation is None else evaluation.values
    if settings.keep == "best":
        _put_best(out, best_step(values))
    else:
        save_model(trainer, start)(out / "policy")
    spent |= {"evaluations": tally.evaluations(), "seconds": round(tally.seconds(), 1)}
    if values:
        best = best_step(values)
        spent["validation"] = {"best_step": best, "best": values[best], "last": values[max(values)]}
        spent["policy_step"] = best if settings.keep == "best" else trainer.state.global_step
    if is_first():
        draw_curves(read_log(out), out / "curves.png", title=title, metric=metric)
    return spent


def _end(settings: TrainingSettings, step: int, *, stopped: bool) -> dict[str, Any]:
    """Costs of a run that ended at a step, before its time if it was stopped.

    Raises:
        AgentError: It ended before its time by itself.
    """
    if step == settings.steps:
        return {}
    if not stopped:
        raise AgentError(f"expected {settings.steps} steps, but training ended after {step}")
    if settings.learner.rollouts != "during":
        return {"stopped_step": step}
    return {"stopped_step": step, "rollouts": settings.learner.rollouts_a_run({**settings.as_json(), "steps": step})}


def _train(trainer: Any, checkpoint: Path | None) -> None:
    """Train, or go on from a checkpoint.

    Raises:
        AgentError: The checkpoint cannot be read.
    """
    first = _FirstStep()
    trainer.add_callback(first)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except _UNREADABLE as error:
        if checkpoint is None or first.begun:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise AgentError(f"{checkpoint} cannot be read: {reason}; remove it to train on from what is left") from error


class _FirstStep(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """Tells whether all of a checkpoint has been read."""

    begun = False

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.begun = True


def _evaluation(settings: TrainingSettings, trainer: Any, start: Start, out: Path, tally: Tally) -> Evaluation:
    """The evaluation of a run, which knows the values from before the run was resumed."""
    values = tally.before.values
    if settings.keep == "best" and values and not (out / BEST / f"step-{best_step(values)}").is_dir():
        raise AgentError(
            f"{out} holds no {BEST}/step-{best_step(values)}, the best policy of its log; start the run again with "
            "overwrite (--overwrite)"
        )
    return make_evaluation(
        trainer,
        start,
        every=settings.eval_steps,
        prompts=settings.eval_prompts,
        max_new_tokens=settings.max_completion_length,
        values=values,
        best=out / BEST if settings.keep == "best" else None,
        patience=settings.patience,
    )


def _put_best(out: Path, step: int) -> None:
    """Copy the best policy to ``policy/``, whole or not at all."""
    if is_first():
        partial = out / f".policy.partial-{os.getpid()}"
        shutil.copytree(out / BEST / f"step-{step}", partial)
        sync_directory(partial)
        shutil.rmtree(out / "policy", ignore_errors=True)
        partial.rename(out / "policy")
        sync_entry(out / "policy")
    wait()


def _open(settings: TrainingSettings, path: str | Path) -> tuple[Any, Any, PromptFormat]:
    """A policy in the precision to train it in: weights that are themselves trained stay in float32."""
    bf16 = settings.bf16 and bool(settings.lora_rank or settings.load_4bit)
    return load_policy(path, bf16=bf16, load_4bit=settings.load_4bit)
