"""Training as `train.py` runs it, once arguments and task stand."""

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from _progress import LogFile, ProgressBar
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from agents import AgentError
from agents.advantages import make_redistribution
from agents.credit import make_solution
from agents.errors import unknown
from agents.lm_policy import load_policy, save_policy
from agents.prompting import PromptFormat
from agents.rewards import TaskReward, prompt_dataset
from agents.segments import SEGMENTERS
from agents.tiny import tiny_model, tiny_tokenizer
from agents.trainer import OSPOConfig, OSPOTrainer
from agents.warmstart import warm_start

_CREDIT = ("segmenter", "solution", "solution_settings", "redistribution", "redistribution_settings")
# TRL's defaults are for large models on accelerators; these are for any.
_PLAIN = {
    "bf16": False,
    "activation_checkpointing": False,
    "dataloader_pin_memory": torch.accelerator.is_available(),
    "disable_tqdm": True,
    "report_to": [],
    "logging_steps": 1,
}


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
        model, tokenizer, prompt_format = load_policy(arguments.policy)
    else:
        tokenizer, prompt_format = tiny_tokenizer(task.texts()), PromptFormat()
        model = tiny_model(tokenizer, seed=arguments.seed)
    model.generation_config.max_new_tokens = arguments.max_completion_length  # evaluation writes as long
    return model, tokenizer, prompt_format


def learn(arguments: Namespace, task: Any, model: Any, tokenizer: Any, prompt_format: PromptFormat) -> None:
    """Warm start, then reinforcement learning; both policies are saved in the run directory."""
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        if arguments.warm_start_epochs > 0:
            warm_start(
                model,
                tokenizer,
                task,
                prompt_format,
                out=Path(scratch),
                epochs=arguments.warm_start_epochs,
                seed=arguments.seed,
                callbacks=[ProgressBar("warm start", {"loss": "loss"})],
                **_PLAIN,
            )
        save_policy(arguments.out / "warmstart", model, tokenizer, prompt_format)
        trainer = make_trainer(arguments, task, model, tokenizer, prompt_format, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressBar(arguments.algo, {"reward": arguments.metric, "entropy": "entropy"}))
        trainer.add_callback(LogFile(arguments.out / "log.jsonl"))
        trainer.train()
        if trainer.state.global_step != arguments.steps:
            raise AgentError(f"expected {arguments.steps} steps, but training ended after {trainer.state.global_step}")
    save_policy(arguments.out / "policy", model, tokenizer, prompt_format)


def make_trainer(
    arguments: Namespace, task: Any, model: Any, tokenizer: Any, prompt_format: PromptFormat, scratch: Path
) -> GRPOTrainer:
    """TRL's GRPO trainer unchanged, or ours: the same settings, prompts and reward; only the credit differs."""
    settings = {
        "output_dir": str(scratch),
        "max_steps": arguments.steps,
        "per_device_train_batch_size": arguments.batch_size,
        "num_generations": arguments.group_size,
        "max_completion_length": arguments.max_completion_length,
        "learning_rate": arguments.learning_rate,
        "lr_scheduler_type": "constant",
        "temperature": arguments.temperature,
        "loss_type": arguments.loss_type,
        "beta": 0.0,
        "seed": arguments.seed,
        "save_strategy": "no",
        **_PLAIN,
    }
    if arguments.algo == "grpo":
        return GRPOTrainer(
            model=model,
            reward_funcs=[TaskReward(task, prompt_format, tokenizer)],
            args=GRPOConfig(**settings),
            train_dataset=prompt_dataset(task, prompt_format),
            processing_class=tokenizer,
        )
    return OSPOTrainer(
        model=model,
        task=task,
        prompt_format=prompt_format,
        args=OSPOConfig(**settings, **{name: getattr(arguments, name) for name in _CREDIT}),
        processing_class=tokenizer,
    )
