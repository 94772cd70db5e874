"""Training as `train.py` runs it, once arguments and task stand.

Two stages. The warm start writes ``warmstart/``; the learner reads its policy from there, in a new run and in one that
goes on, so that nothing that the first stage left in memory can make them differ.
"""

import dataclasses
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from transformers import PrinterCallback

from ospo_agents.advantages import make_redistribution
from ospo_agents.credit import make_solution
from ospo_agents.errors import AgentError, unknown
from ospo_agents.policies.language_model import load_policy, lora_config, save_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.segments import SEGMENTERS
from ospo_agents.training.checkpoints import Checkpoints
from ospo_agents.training.curves import draw_curves
from ospo_agents.training.learners import SHOWN, make_trainer, plain
from ospo_agents.training.pairs import sample_pairs
from ospo_agents.training.preferences import Preference
from ospo_agents.training.processes import is_first, processes, wait
from ospo_agents.training.progress import LogFile, ProgressBar, Tally
from ospo_agents.training.run_directory import CHECKPOINTS, read_log
from ospo_agents.training.warm_start import warm_start

__all__ = ["check_credit", "learn", "make_policy", "make_trainer", "warm_policy"]

_WARM_START_BATCH = 32


def check_credit(arguments: Namespace) -> None:
    """Raise :class:`AgentError` for a name or a setting of credit that is unknown, before anything is written."""
    if arguments.algo == "ospo":
        if arguments.segmenter not in SEGMENTERS:
            raise unknown("segmenter", arguments.segmenter, SEGMENTERS)
        make_solution(arguments.solution, **arguments.solution_settings)
        make_redistribution(arguments.redistribution, **arguments.redistribution_settings)


def make_policy(arguments: Namespace, task: Any) -> tuple[Any, Any, PromptFormat]:
    """Model, tokenizer and prompt format to train: those of --policy, or a new tiny one."""
    if arguments.policy is not None:
        model, tokenizer, prompt_format = _open(arguments, arguments.policy)
    else:
        tokenizer, prompt_format = tiny_tokenizer(task.texts()), PromptFormat()
        model = tiny_model(tokenizer, seed=arguments.seed)
    if arguments.lora_rank:
        if isinstance(model, PeftModel):
            raise AgentError(f"--lora-rank: {arguments.policy} is an adapter already; leave it out to train that one")
        with torch.random.fork_rng():
            torch.manual_seed(arguments.seed)
            model = get_peft_model(model, lora_config(arguments.lora_rank, arguments.lora_alpha))
    if arguments.load_4bit and not isinstance(model, PeftModel):
        raise AgentError("--load-4bit holds weights that cannot be trained; add --lora-rank, for example 32")
    model.generation_config.max_new_tokens = arguments.max_completion_length  # evaluation writes as long
    return model, tokenizer, prompt_format


def warm_policy(
    arguments: Namespace, task: Any, model: Any, tokenizer: Any, prompt_format: PromptFormat, path: Path
) -> None:
    """Fit a policy to the demonstrations, if any passes are asked for, and save it."""
    if arguments.warm_start_epochs > 0:
        warm_start(
            model,
            tokenizer,
            task,
            prompt_format,
            out=path.parent / f".{path.name}.scratch",
            epochs=arguments.warm_start_epochs,
            learning_rate=arguments.warm_start_learning_rate,
            batch_size=max(_WARM_START_BATCH // (arguments.gradient_accumulation * processes()), 1),
            gradient_accumulation_steps=arguments.gradient_accumulation,
            seed=arguments.seed,
            callbacks=[ProgressBar("warm start", {"loss": "loss"})],
            **plain(arguments),
        )
        shutil.rmtree(path.parent / f".{path.name}.scratch", ignore_errors=True)
    save_policy(path, model, tokenizer, prompt_format)


def learn(arguments: Namespace, task: Any, tally: Tally) -> dict[str, Any]:
    """The learner, from the policy in ``warmstart/`` or where it stopped; policy and log are in the run directory then.

    Args:
        arguments: Of ``train.py``.
        task: Gives prompts, demonstrations and rewards.
        tally: What the run has spent, and how far it had come when it was resumed.

    Returns:
        What the run spent: ``rollouts``, ``evaluations``, ``seconds``, and for DPO what became of the groups.
    """
    out = arguments.out
    scratch = out / CHECKPOINTS / ".partial"
    if is_first():
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    wait()
    start = _open(arguments, out / "warmstart")
    spent: dict[str, Any] = {"rollouts": _rollouts(arguments)}
    preferences: list[Preference] = []
    if arguments.algo == "dpo":
        preferences, evaluations = sample_pairs(arguments, task, *start)
        spent |= {"groups": len(preferences), "groups_without_spread": sum(g.chosen is None for g in preferences)}
        tally.before = dataclasses.replace(tally.before, evaluations=evaluations)
    trainer = make_trainer(arguments, task, *start, scratch, preferences=preferences, save_steps=arguments.save_steps)
    trainer.remove_callback(PrinterCallback)
    shown = {"reward": f"reward ({arguments.metric})", **SHOWN[arguments.algo]}
    trainer.add_callback(ProgressBar(arguments.algo, shown))
    trainer.add_callback(LogFile(out / "log.jsonl", tally, arguments.metric))
    trainer.add_callback(Checkpoints(out / CHECKPOINTS))
    checkpoint = tally.before.checkpoint
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if trainer.state.global_step != arguments.steps:
        raise AgentError(f"expected {arguments.steps} steps, but training ended after {trainer.state.global_step}")
    whole = None
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:  # each process may hold a part only
        whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    save_policy(out / "policy", trainer.model, *start[1:], state_dict=whole)
    spent |= {"evaluations": tally.evaluations(), "seconds": round(tally.seconds(), 1)}
    if is_first():
        title = f"{arguments.algo} on {arguments.env}, {arguments.retriever}, seed {arguments.seed}"
        draw_curves(read_log(out), out / "curves.png", title=title, metric=arguments.metric)
    return spent


def _open(arguments: Namespace, path: str | Path) -> tuple[Any, Any, PromptFormat]:
    """A policy in the precision to train it in: weights that are themselves trained stay in float32."""
    bf16 = arguments.bf16 and bool(arguments.lora_rank or arguments.load_4bit)
    return load_policy(path, bf16=bf16, load_4bit=arguments.load_4bit)


def _rollouts(arguments: Namespace) -> int:
    """Completions that the learner learns from."""
    if arguments.algo == "sft":
        return 0
    generations = -(-arguments.steps // (arguments.num_iterations or 1))
    return int(generations * arguments.batch_size)
