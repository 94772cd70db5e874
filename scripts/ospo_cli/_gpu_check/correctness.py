"""Comparisons of a GPU with the CPU and of OSPO with GRPO: parameters, tokens, log-probabilities and credit."""

import copy
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback

from envs_data.sample import sample_data
from ospo_agents.assignment import assign_credit
from ospo_agents.compact_rollouts import CompactGRPOTrainer, add_compact_head
from ospo_agents.policies.decoding import decode
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.trl_task import TaskReward, prompt_dataset
from ospo_cli._benchmark.rows import Row
from ospo_env import RetrievalTask
from ospo_env.retrievers import dense

__all__ = ["correctness_rows"]

_PARAMETERS = 1e-3
_LOG_PROBABILITIES = 1e-3
_SAME = 0.99
_EVEN = {"redistribution": "entropy_weights", "redistribution_settings": {"beta": 0.0}}
"""A redistribution whose advantages are GRPO's."""


def correctness_rows(device: str, encoder: Path) -> list[Row]:
    """Rows of all comparisons, in float32.

    Args:
        device: ``cuda`` or ``cpu``.
        encoder: Directory of a sentence-transformers model.
    """
    task = RetrievalTask(sample_data("shopping"), "bm25", metric="nDCG@10")
    tokenizer = tiny_tokenizer(task.texts())
    return [
        *_parameters(device, task, tokenizer),
        *_tokens(device, task, tokenizer),
        *_credit(device, encoder, task),
    ]


def _parameters(device: str, task: RetrievalTask, tokenizer: Any) -> list[Row]:
    """Parameters after three steps: OSPO's with even advantages, and its own, against GRPO's."""
    start = _flat(tiny_model(tokenizer))
    grpo = _flat(_trained(device, task, tokenizer, None))
    moved = float((grpo - start).abs().max()) or float("nan")  # where GRPO moves nothing no row is met
    even, own = (
        float((_flat(_trained(device, task, tokenizer, settings)) - grpo).abs().max()) / moved
        for settings in (_EVEN, {})
    )
    what = "largest difference of a parameter to GRPO's, over the largest that GRPO moved one"
    return [
        Row(f"OSPO with GRPO's advantages: {what}", f"<= {_PARAMETERS}", even, "", most=_PARAMETERS),
        Row(f"OSPO with credit, a control that must differ: {what}", ">= 0.01", own, "", least=0.01),
    ]


def _trained(device: str, task: RetrievalTask, tokenizer: Any, ospo: dict[str, Any] | None) -> Any:
    """A tiny policy after three steps of plain gradient descent, whose differences are those of gradients."""
    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            "output_dir": scratch,
            "max_steps": 3,
            "learning_rate": 1.0,
            "optim": "sgd",
            "per_device_train_batch_size": 32,
            "num_generations": 8,
            "max_completion_length": 16,
            "beta": 0.0,
            "loss_type": "dr_grpo",
            "seed": 0,
            "bf16": False,
            "activation_checkpointing": False,
            "use_cpu": device == "cpu",
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "dataloader_pin_memory": device != "cpu",
        }
        trainer: Any
        if ospo is None:
            from trl import GRPOConfig

            trainer = CompactGRPOTrainer(
                model=tiny_model(tokenizer),
                reward_funcs=[TaskReward(task, PromptFormat(), tokenizer)],
                train_dataset=prompt_dataset(task, PromptFormat()),
                args=GRPOConfig(**settings),
                processing_class=tokenizer,
            )
        else:
            trainer = OSPOTrainer(
                tiny_model(tokenizer), task, PromptFormat(), OSPOConfig(**settings, **ospo), tokenizer
            )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.model


def _flat(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().cpu().double().flatten() for parameter in model.parameters()])


def _tokens(device: str, task: RetrievalTask, tokenizer: Any) -> list[Row]:
    """Greedy tokens against transformers' own loop on the device, log-probabilities against the CPU's."""
    on_cpu = tiny_model(tokenizer)
    model = copy.deepcopy(on_cpu).to(device)
    conversations = [PromptFormat().messages(prompt) for prompt in task.prompts("train")[1][:32]]
    contexts = tokenizer.apply_chat_template(conversations, add_generation_prompt=True)["input_ids"]
    batch = tokenizer.pad({"input_ids": contexts}, padding_side="left", return_tensors="pt").to(device)
    width = batch["input_ids"].shape[1]
    settings = {"max_new_tokens": 24, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    with torch.inference_mode():
        # Rows have to end at different times: the end is a token that they come to sooner or later.
        settings["eos_token_id"] = _spread_token(model.generate(**batch, **settings, eos_token_id=None)[:, width:])
        ours, theirs = (model.generate(**batch, **settings, **own) for own in ({"custom_generate": decode}, {}))
    longest = max(ours.shape[1], theirs.shape[1])
    ours, theirs = (
        torch.nn.functional.pad(ids, (0, longest - ids.shape[1]), value=tokenizer.pad_token_id)
        for ids in (ours, theirs)
    )
    same = 100 * float((ours == theirs)[:, width:].double().mean())
    labels = torch.where(ours == tokenizer.pad_token_id, -100, ours)
    values = []
    for one in (on_cpu, model):
        _add_head(one)
        inputs = {name: tensor.to(one.device) for name, tensor in {"input_ids": ours, "labels": labels}.items()}
        mask = (inputs["labels"] != -100).long()
        with torch.no_grad():
            values.append(one(**inputs, attention_mask=mask, fused_lm_head=True).log_probs.cpu().double())
    return [
        Row(
            "greedy tokens equal to transformers' own loop on the device",
            f">= {_SAME:.0%}",
            same,
            "%",
            least=100 * _SAME,
        ),
        Row(
            "largest difference of a log-probability to the CPU's",
            f"<= {_LOG_PROBABILITIES}",
            float((values[0] - values[1]).abs().max()),
            "nats",
            most=_LOG_PROBABILITIES,
        ),
    ]


def _spread_token(written: torch.Tensor) -> int:
    """The token of texts (B, T) whose first places in them are the most different ones."""
    rows: list[list[int]] = written.tolist()
    return max(
        sorted({token for row in rows for token in row}),
        key=lambda token: len({row.index(token) for row in rows if token in row}),
    )


def _add_head(model: Any) -> None:
    """Give a model TRL's output layer for log-probabilities and this project's, as the trainers do."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    add_compact_head(model)


def _credit(device: str, encoder: Path, task: RetrievalTask) -> list[Row]:
    """Credit under a dense retriever on the device against the CPU's."""
    data = sample_data("shopping")
    ids = task.prompts("train")[0][:32]
    generator = np.random.default_rng(0)
    words = sorted({word for text in task.texts() for word in text.lower().split() if word.isalpha()})
    texts = [", ".join(" ".join(generator.choice(words, 2)) for _ in range(5)) for _ in ids]
    shares = []
    for place in ("cpu", device):
        opened = partial(dense.DenseRetriever, model=str(encoder), device=place)
        valued = RetrievalTask(data, opened, metric="nDCG@10")
        credited = assign_credit(valued, ids, texts, segmenter="phrases", solution="shapley")
        shares.append(_joined([one.credit for one in credited]))
    same = float(np.mean(np.abs(shares[0] - shares[1]) <= 1e-6))
    return [
        Row(
            "credits of phrases under a dense retriever equal to the CPU's",
            f">= {_SAME:.0%}",
            100 * same,
            "%",
            least=100 * _SAME,
            details={"credits": int(shares[0].size), "not 0": int((shares[0] != 0).sum())},
        )
    ]


def _joined(credits: Sequence[Any]) -> Any:
    return np.concatenate([np.asarray(credit, float) for credit in credits])
