"""Preference pairs from a policy's own rollouts: the best of a group against the worst, by the task's rewards."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.errors import AgentError
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task
from ospo_agents.trl_task import TaskReward

__all__ = ["Preference", "preference_dataset", "sample_preferences"]


@dataclass(frozen=True)
class Preference:
    """What one group of rollouts says.

    Attributes:
        prompt_id: The prompt of the group.
        chosen: The completion of highest reward, the first of equals; None where all rewards are equal.
        rejected: The completion of lowest reward, the first of equals; None where all rewards are equal.
        rewards: Rewards of the group's rollouts, in [0, 1].
    """

    prompt_id: str
    chosen: str | None
    rejected: str | None
    rewards: tuple[float, ...]


def sample_preferences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    prompt_format: PromptFormat,
    *,
    groups: int,
    group_size: int,
    groups_at_once: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    start: int = 0,
) -> Iterator[list[Preference]]:
    """Sample groups of rollouts of training prompts and compare each group's best with its worst.

    Prompts come in seeded random order, all once before any comes again, as GRPO draws them. The model stays as it
    is, so all rollouts are of the policy that it is now. Each batch has a seed of its own: sampling that was
    interrupted goes on with the next one as if it had not been.

    Args:
        model: The policy.
        tokenizer: Its tokenizer, with a chat template and a padding token.
        task: Gives prompts and rewards.
        prompt_format: How prompts are put and rewrites found; a malformed completion earns 0.
        groups: Number of groups in all, at least 1.
        group_size: Rollouts of one prompt, at least 2.
        groups_at_once: Groups in a batch; the last batch may be smaller.
        max_new_tokens: Bound on a completion's length.
        temperature: Of sampling, above 0.
        seed: Of the order of the prompts and of sampling; the global generator is left as it was.
        start: Number of the first batch to sample; those before it are skipped.

    Yields:
        The groups of one batch.

    Raises:
        AgentError: The task has no training prompts.
    """
    ids, prompts = task.prompts("train")
    if not ids:
        raise AgentError("expected prompts in the split 'train', but it has none; prepare more data")
    order = _order(len(ids), groups, seed)
    reward = TaskReward(task, prompt_format, tokenizer)
    generation = {
        "max_new_tokens": max_new_tokens,
        "do_sample": True,
        "temperature": temperature,
        "top_k": 0,  # what the model's own generation config says is for users, not for its policy
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for batch in range(start, -(-groups // groups_at_once)):
        drawn = [row for row in order[batch * groups_at_once :][:groups_at_once] for _ in range(group_size)]
        with _sampling(model, int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])):
            completions = _complete(
                model, tokenizer, [prompt_format.messages(prompts[row]) for row in drawn], generation
            )
        rewards = reward(
            completion_ids=completions, prompt_id=[ids[row] for row in drawn], log_metric=lambda name, value: None
        )
        texts = tokenizer.batch_decode(completions, skip_special_tokens=True)
        yield [
            _compare(ids[drawn[first]], texts[first : first + group_size], rewards[first : first + group_size])
            for first in range(0, len(drawn), group_size)
        ]


def preference_dataset(preferences: Sequence[Preference], task: Task, prompt_format: PromptFormat) -> Dataset:
    """The pairs as TRL's conversational rows: ``prompt``, ``chosen`` and ``rejected``.

    Raises:
        AgentError: No group has a pair.
    """
    prompts = dict(zip(*task.prompts("train"), strict=True))
    rows = [
        {
            "prompt": prompt_format.messages(prompts[group.prompt_id]),
            "chosen": [{"role": "assistant", "content": group.chosen}],
            "rejected": [{"role": "assistant", "content": group.rejected}],
        }
        for group in preferences
        if group.chosen is not None
    ]
    if not rows:
        raise AgentError(
            f"expected groups whose rollouts differ in reward, but in each of {len(preferences)} all are equal; "
            "use larger groups, a higher temperature or a longer warm start"
        )
    return Dataset.from_list(rows)


def _order(prompts: int, groups: int, seed: int) -> list[int]:
    """Rows of prompts, one a group: seeded passes over all of them."""
    rng = np.random.default_rng(seed)
    passes = [rng.permutation(prompts) for _ in range(-(-groups // prompts))]
    order: list[int] = np.concatenate(passes)[:groups].tolist()
    return order


def _complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[list[dict[str, str]]],
    generation: dict[str, Any],
) -> list[list[int]]:
    """Token ids of one completion for each conversation."""
    encoded = tokenizer.apply_chat_template(
        list(conversations),
        add_generation_prompt=True,
        padding=True,
        padding_side="left",
        return_tensors="pt",
        return_dict=True,
    ).to(model.device)
    with torch.inference_mode():
        output = model.generate(**encoded, **generation)
    completions: list[list[int]] = output[:, encoded["input_ids"].shape[1] :].tolist()
    return completions


def _compare(prompt_id: str, texts: Sequence[str], rewards: Sequence[float]) -> Preference:
    best, worst = int(np.argmax(rewards)), int(np.argmin(rewards))
    equal = rewards[best] == rewards[worst]
    return Preference(
        prompt_id, None if equal else texts[best], None if equal else texts[worst], tuple(map(float, rewards))
    )


@contextlib.contextmanager
def _sampling(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """Evaluation mode and a seed of its own; both are as before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        model.train(training)
