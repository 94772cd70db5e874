"""Rows of a pretrained language model: a training step with compact rollouts and with TRL's own, memory, rewrites."""

import multiprocessing
import tempfile
import time
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from envs_data.sample import sample_data
from ospo_agents import AgentError
from ospo_cli._benchmark.open_and_step import peak_gib
from ospo_cli._benchmark.rows import Row
from ospo_env.task import RetrievalTask

__all__ = ["lm_rows"]

_STEPS = 4
_TOKENS = 24
_PARTS = 2
_REWRITES = 1000


class _Cost(NamedTuple):
    """Cost of a process: seconds of CPU a step, or of all rewrites, and the most memory that it held, in GB."""

    seconds: float
    memory: float


def lm_rows(arguments: Namespace) -> list[Row]:
    """Rows of one step of 64 rollouts with all weights trained in bfloat16, and of 1,000 greedy rewrites."""
    if arguments.policy is None:
        raise AgentError(
            "--only language-model: expected --policy, the directory of a causal language model; "
            "`ospo model smollm2 --out DIR` writes one"
        )
    size = (2, 8, 16) if arguments.quick else (_STEPS, 64, _REWRITES)
    compact = _alone(_train, str(arguments.policy), True, *size[:2])
    of_trl = _alone(_train, str(arguments.policy), False, *size[:2])
    rewrites = _alone(_rewrite, str(arguments.policy), size[2])
    what = f"{size[1]} rollouts of at most {_TOKENS} tokens, all weights, bf16, {_PARTS} parts"
    details = {"compact": compact._asdict(), "trl": of_trl._asdict()}
    return [
        Row(f"GRPO step, {what}", "<= 12 s", compact.seconds, "s", most=12, details=details),
        Row("the same with TRL's own rollouts over it", "", of_trl.seconds / compact.seconds, "x", details=details),
        Row("memory of the first", "<= 6 GB", compact.memory, "GB", most=6, details=details),
        Row(f"{size[2]:,} greedy rewrites, bf16", "<= 180 s", rewrites.seconds, "s", most=180),
    ]


def _alone(work: Any, *inputs: Any) -> _Cost:
    """Cost of a piece of work in a new process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        cost: _Cost = pool.submit(work, *inputs).result()
    return cost


def _peak() -> float:
    return peak_gib() * 1.073741824


def _task() -> RetrievalTask:
    return RetrievalTask(sample_data("shopping"), "bm25", metric="nDCG@10", compose="append")


def _train(policy: str, compact: bool, steps: int, rollouts: int) -> _Cost:
    """Median cost of the steps after the first."""
    import torch
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from ospo_agents.compact_rollouts import CompactGRPOTrainer
    from ospo_agents.policies.language_model import load_policy
    from ospo_agents.policies.prompt_format import PromptFormat
    from ospo_agents.trl_task import TaskReward, prompt_dataset

    torch.set_num_threads(1)
    times = [time.process_time()]

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times.append(time.process_time())

    model, tokenizer, _ = load_policy(policy)
    task = _task()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = (CompactGRPOTrainer if compact else GRPOTrainer)(
            model=model,
            reward_funcs=[TaskReward(task, PromptFormat(), tokenizer)],
            train_dataset=prompt_dataset(task, PromptFormat()),
            args=GRPOConfig(
                output_dir=scratch,
                max_steps=steps,
                learning_rate=1e-5,
                bf16=True,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                activation_checkpointing=False,
                per_device_train_batch_size=rollouts // _PARTS,
                gradient_accumulation_steps=_PARTS,
                num_generations=min(rollouts, 8),
                max_completion_length=_TOKENS,
                beta=0.0,
                loss_type="dr_grpo",
            ),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
    return _Cost(float(np.median(np.diff(times)[1:])), _peak())


def _rewrite(policy: str, number: int) -> _Cost:
    import torch

    from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy
    from ospo_agents.policies.prompt_format import PromptFormat

    torch.set_num_threads(1)
    model, tokenizer, _ = load_policy(policy, bf16=True)
    prompts = _task().prompts("train")[1][:number]
    begin = time.process_time()
    LanguageModelPolicy(model, tokenizer, PromptFormat(), max_new_tokens=_TOKENS)([""] * len(prompts), prompts)
    return _Cost(time.process_time() - begin, _peak())
