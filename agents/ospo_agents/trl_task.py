"""A task in TRL's terms: data sets of prompts and demonstrations, and a reward function."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ospo_agents.batches import generated_ids
from ospo_agents.errors import AgentError
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import MeasuredTask, Task
from ospo_agents.rewrite_shares import rewrite_shares

__all__ = ["METRIC", "TaskReward", "demonstration_dataset", "prompt_dataset"]


METRIC = "metric"
"""Logged name of the metric of rollouts, where a task says what people read of a text."""


def prompt_dataset(task: Task, prompt_format: PromptFormat, split: str = "train") -> Dataset:
    """Prompts of a split as TRL's conversational rows: ``prompt`` and ``prompt_id``.

    Raises:
        AgentError: The split has no prompts.
    """
    ids, prompts = task.prompts(split)
    if not ids:
        raise AgentError(f"expected prompts in the split {split!r}, but it has none; prepare more data")
    return Dataset.from_list(
        [
            {"prompt": prompt_format.messages(prompt), "prompt_id": prompt_id}
            for prompt_id, prompt in zip(ids, prompts, strict=True)
        ]
    )


def demonstration_dataset(task: Task, prompt_format: PromptFormat) -> Dataset:
    """Demonstrations of a task as TRL's conversational rows: ``prompt`` and ``completion``.

    Raises:
        AgentError: The task has none.
    """
    prompts = dict(zip(*task.prompts("train"), strict=True))
    demonstrations = task.demonstrations()
    if not demonstrations:
        raise AgentError("expected demonstrations for the warm start, but the data has none; prepare the data again")
    return Dataset.from_list(
        [
            {
                "prompt": prompt_format.messages(prompts[prompt_id]),
                "completion": prompt_format.completion(rewrite),
            }
            for prompt_id, rewrite in demonstrations
        ]
    )


class TaskReward:
    """Reward function for TRL: the worth of each rewrite; a malformed completion earns 0.

    Args:
        task: Scores the rewrites.
        prompt_format: Finds the rewrite in a completion.
        tokenizer: Decodes completions, so that a rewrite has the same characters here and where credit is assigned.
    """

    __name__ = "task_reward"

    def __init__(self, task: Task, prompt_format: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> None:
        self.task = task
        self.prompt_format = prompt_format
        self.tokenizer = tokenizer

    def __call__(
        self,
        *,
        completion_ids: Sequence[list[int]],
        prompt_id: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        generated: Sequence[Sequence[int]] | None = None,
        **_columns: Any,  # TRL passes every other column of the batch too
    ) -> list[float]:
        """One reward for each completion.

        Args:
            prompt_id: The prompt that each completion answers, length B.
            completion_ids: Tokens of the completions, length B.
            log_metric: Receives the share of malformed completions; AsyncGRPO passes none.
            generated: 0 for the tokens of each completion that a tool wrote, else 1, which
                :class:`ospo_agents.trainer.OSPOTrainer` passes; None for all.
            **_columns: The other columns of the batch.
        """
        contents = self.tokenizer.batch_decode(generated_ids(completion_ids, generated), skip_special_tokens=True)
        rewrites = [self.prompt_format.rewrite(content) for content in contents]
        if log_metric is not None:
            log_metric("malformed", rewrites.count(None) / len(rewrites))
            for name, share in rewrite_shares(self.task, prompt_id, rewrites).items():
                log_metric(name, share)
        texts = [rewrite or "" for rewrite in rewrites]
        rewards = self.task.rewards(prompt_id, texts)
        if log_metric is not None and isinstance(self.task, MeasuredTask):
            metrics = self.task.metric_values(prompt_id, texts)
            log_metric(METRIC, float(sum(metrics[[rewrite is not None for rewrite in rewrites]]) / len(texts)))
        # 0 whatever the task says of the empty text: a malformed completion is no text at all.
        return [0.0 if rewrite is None else float(reward) for rewrite, reward in zip(rewrites, rewards, strict=True)]
