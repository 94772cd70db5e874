"""Seconds, tokens and memory of training steps of GRPO and of OSPO, for one model each."""

import gc
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import get_peft_model
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from ospo_agents.compact_rollouts import CompactGRPOTrainer
from ospo_agents.policies.language_model import lora_config
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.timed_steps import TimedSteps
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.trl_task import TaskReward, prompt_dataset
from ospo_cli._gpu_check.models import Size, random_policy
from ospo_env import RetrievalTask

__all__ = ["Cost", "Load", "measure_costs"]

_WARM_UP = 2
_ROUNDS = 2
_STAGES = ("generation", "scoring", "credit", "update")


class Load(NamedTuple):
    """A model to train, and the rollouts of a step.

    Attributes:
        name: Name of the model's size.
        size: Shape of the model.
        lora: Whether an adapter is trained on weights in bfloat16; else all weights, in float32 under autocast.
        rollouts: Completions a step, in groups of eight and parts of 64.
        tokens: Tokens of each completion.
    """

    name: str
    size: Size
    lora: bool
    rollouts: int = 64
    tokens: int = 32


class Cost(NamedTuple):
    """Cost of one method.

    Attributes:
        seconds: Median seconds of a step, over all rounds.
        rounds: Seconds of the steps of each round.
        tokens: Tokens that were generated in a second of training.
        gigabytes: Most memory of the device that was held, in GB; 0 on a CPU.
        parameters: Parameters of the model, in millions.
        attention: Implementation of attention.
        stages: Median seconds of the stages by name.
    """

    seconds: float
    rounds: Sequence[Sequence[float]]
    tokens: float
    gigabytes: float
    parameters: float
    attention: str
    stages: Mapping[str, float]


class _Run(NamedTuple):
    """Seconds of the steps of one training run, and what the trainer logged of each of them."""

    seconds: list[float]
    logged: list[dict[str, float]]
    gigabytes: float
    parameters: float
    attention: str


class _TimedGRPO(TimedSteps, CompactGRPOTrainer):
    """GRPO with the seconds of its stages logged as ``OSPOTrainer`` logs its own, so that the two can be compared."""


def measure_costs(
    load: Load, make_task: Callable[[], RetrievalTask], device: str, steps: int, rounds: int = _ROUNDS
) -> dict[str, Cost]:
    """Costs of ``grpo`` and ``ospo`` from the same weights and on the same prompts, in turn.

    Args:
        load: Model and sizes.
        make_task: Source of prompts, rewards and coalition values, made anew for each run: no run finds texts that
            another had ranked.
        device: ``cuda`` or ``cpu``.
        steps: Steps that are timed of each run, after two others.
        rounds: Runs of each method.
    """
    runs: dict[str, list[_Run]] = {"grpo": [], "ospo": []}
    for _ in range(rounds):
        for algo, own in runs.items():
            own.append(_run(algo, load, make_task(), device, steps))
    return {algo: _cost(load, own) for algo, own in runs.items()}


def _cost(load: Load, runs: Sequence[_Run]) -> Cost:
    seconds = float(np.median([second for run in runs for second in run.seconds]))
    logged = [row for run in runs for row in run.logged]
    return Cost(
        seconds,
        [run.seconds for run in runs],
        load.rollouts * load.tokens / seconds,
        max(run.gigabytes for run in runs),
        runs[0].parameters,
        runs[0].attention,
        {
            name: float(np.median([row[f"time/{name}"] for row in logged]))
            for name in _STAGES
            if f"time/{name}" in logged[0]
        },
    )


def _run(algo: str, load: Load, task: RetrievalTask, device: str, steps: int) -> _Run:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model, tokenizer = random_policy(load.size, task, device, bf16=load.lora)
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    if load.lora:
        model = get_peft_model(model, lora_config())
    times: list[float] = []

    def clock() -> None:
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock()

    parts = -(-load.rollouts // 64)
    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            "output_dir": scratch,
            "max_steps": _WARM_UP + steps,
            "learning_rate": 1e-6,
            "bf16": True,
            "use_cpu": device == "cpu",
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "dataloader_pin_memory": device != "cpu",
            "activation_checkpointing": False,
            "per_device_train_batch_size": load.rollouts // parts,
            "gradient_accumulation_steps": parts,
            "num_generations": 8,
            "max_completion_length": load.tokens,
            "beta": 0.0,
            "loss_type": "dr_grpo",
            "logging_steps": 1,
        }
        trainer: Any
        if algo == "grpo":
            trainer = _TimedGRPO(
                model=model,
                reward_funcs=[TaskReward(task, PromptFormat(), tokenizer)],
                train_dataset=prompt_dataset(task, PromptFormat()),
                args=GRPOConfig(**settings),
                processing_class=tokenizer,
            )
        else:
            trainer = OSPOTrainer(model, task, PromptFormat(), OSPOConfig(**settings), tokenizer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
    return _Run(
        np.diff(times)[_WARM_UP - 1 :].tolist(),
        [row for row in trainer.state.log_history if "reward" in row][_WARM_UP:],
        torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0,
        parameters,
        str(getattr(model.config, "_attn_implementation", "")),
    )
