"""Preference pairs from a policy's own rollouts: the best of a group against the worst, by the task's rewards.

A completion that was cut at the bound on its length is in no pair: training on pairs ends every completion with the end
token, which the policy did not write there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.errors import AgentError
from ospo_agents.policies.generation import Completion, evaluating, generate, generation_settings
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task
from ospo_agents.trl_task import TaskReward

__all__ = ["Preference", "preference_dataset", "sample_preferences"]


@dataclass(frozen=True)
class Preference:
    """A group of rollouts, compared.

    Attributes:
        prompt_id: The prompt of the group.
        chosen: Completion of highest reward among those that the policy ended, the first of equals; None where
            their rewards are all equal.
        rejected: Completion of lowest reward among these, the first of equals; None where all rewards are equal.
        rewards: Rewards of all of the group's rollouts, in [0, 1].
        cut: Number of rollouts that were cut at the bound on their length.
    """

    prompt_id: str
    chosen: str | None
    rejected: str | None
    rewards: tuple[float, ...]
    cut: int = 0


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
        prompt_format: Form of prompts and completions; a malformed completion earns 0.
        groups: Number of groups in all, at least 1.
        group_size: Rollouts of one prompt, at least 2.
        groups_at_once: Groups in a batch; the last batch may be smaller.
        max_new_tokens: Bound on a completion's length.
        temperature: Temperature of sampling, above 0.
        seed: Seed of the order of the prompts and of sampling; the global generator is left as it was.
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
    settings = generation_settings(model, tokenizer, max_new_tokens=max_new_tokens, temperature=temperature)
    for batch in range(start, -(-groups // groups_at_once)):
        rows = [row for row in order[batch * groups_at_once :][:groups_at_once] for _ in range(group_size)]
        with evaluating(model, int(np.random.SeedSequence([seed, batch]).generate_state(1)[0])):
            completions = generate(model, tokenizer, [prompt_format.messages(prompts[row]) for row in rows], settings)
        token_ids = [completion.token_ids for completion in completions]
        rewards = reward(
            completion_ids=token_ids, prompt_id=[ids[row] for row in rows], log_metric=lambda name, value: None
        )
        texts = tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        groups_of_batch = [slice(first, first + group_size) for first in range(0, len(rows), group_size)]
        yield [
            _compare(ids[rows[group.start]], texts[group], rewards[group], completions[group])
            for group in groups_of_batch
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
            f"expected groups whose rollouts differ in reward, but in each of {len(preferences)} all are equal, "
            f"{sum(group.cut for group in preferences)} rollouts apart that were cut at the bound on their length; "
            "use larger groups, a higher temperature, a longer warm start or a larger bound"
        )
    return Dataset.from_list(rows)


def _order(prompts: int, groups: int, seed: int) -> list[int]:
    """Rows of prompts, one a group: seeded passes over all of them."""
    rng = np.random.default_rng(seed)
    passes = [rng.permutation(prompts) for _ in range(-(-groups // prompts))]
    order: list[int] = np.concatenate(passes)[:groups].tolist()
    return order


def _compare(
    prompt_id: str, texts: Sequence[str], rewards: Sequence[float], completions: Sequence[Completion]
) -> Preference:
    ended = [place for place, completion in enumerate(completions) if completion.ended]
    best = max(ended, key=lambda place: rewards[place], default=0)
    worst = min(ended, key=lambda place: rewards[place], default=0)
    differ = rewards[best] > rewards[worst]
    return Preference(
        prompt_id,
        texts[best] if differ else None,
        texts[worst] if differ else None,
        tuple(map(float, rewards)),
        cut=len(completions) - len(ended),
    )
