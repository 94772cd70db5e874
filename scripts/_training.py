"""Training as `train.py` runs it, once arguments and task stand."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from _progress import LogFile, ProgressBar
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from agents.lm_policy import load_policy, save_policy
from agents.prompting import PromptFormat
from agents.rewards import TaskReward, prompt_dataset
from agents.tiny import tiny_model, tiny_tokenizer
from agents.trainer import OSPOConfig, OSPOTrainer
from agents.warmstart import warm_start

# TRL's defaults are for large models on accelerators; these are for any.
_PLAIN = {
    "bf16": False,
    "activation_checkpointing": False,
    "dataloader_pin_memory": torch.accelerator.is_available(),
    "disable_tqdm": True,
    "report_to": [],
    "logging_steps": 1,
}


def make_policy(arguments: argparse.Namespace, task: Any) -> tuple[Any, Any, PromptFormat]:
    """Model, tokenizer and prompt format to train: those of --policy, or a new tiny one."""
    if arguments.policy is not None:
        return load_policy(arguments.policy)
    tokenizer = tiny_tokenizer(task.texts())
    return tiny_model(tokenizer, seed=arguments.seed), tokenizer, PromptFormat()


def learn(arguments: argparse.Namespace, task: Any, model: Any, tokenizer: Any, prompt_format: PromptFormat) -> None:
    """Warm start, then reinforcement learning; both policies are saved in the run directory."""
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        if arguments.warm_start_epochs > 0:
            bar = ProgressBar("warm start", {"loss": "loss"})
            warm_start(
                model,
                tokenizer,
                task,
                prompt_format,
                out=Path(scratch),
                epochs=arguments.warm_start_epochs,
                seed=arguments.seed,
                callbacks=[bar],
                **_PLAIN,
            )
        save_policy(arguments.out / "warmstart", model, tokenizer, prompt_format)
        trainer = make_trainer(arguments, task, model, tokenizer, prompt_format, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressBar(arguments.algo, {"reward": "reward", "entropy": "entropy"}))
        trainer.add_callback(LogFile(arguments.out / "log.jsonl"))
        trainer.train()
    save_policy(arguments.out / "policy", model, tokenizer, prompt_format)


def make_trainer(
    arguments: argparse.Namespace, task: Any, model: Any, tokenizer: Any, prompt_format: PromptFormat, scratch: Path
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
        args=OSPOConfig(
            **settings,
            segmenter=arguments.segmenter,
            solution=arguments.solution,
            redistribution=arguments.redistribution,
        ),
        processing_class=tokenizer,
    )
