"""Associations: words that judgements of training queries connect with the words of a query, by counting alone."""

import math
from collections.abc import Callable, Mapping, Sequence

from envs_data.assembly.associations import Associations
from ospo_env.evaluation.expansion import corpus_words, expanded, fixed_sample, mean_reward, training_gains
from ospo_env.task import RetrievalTask
from ospo_env.text import tokens

__all__ = ["association_policy", "task_associations"]

_COUNTS = (1, 2, 4, 8, 16)
_THRESHOLDS = (0.0, 0.1, 0.3)


def association_policy(task: RetrievalTask, *, queries: int = 500) -> Callable[..., list[str]]:
    """The query with the words that :class:`~envs_data.assembly.associations.Associations` gives for it.

    Their number (1, 2, 4, 8, 16 or none) and the threshold of their share (0, .1 or .3) are those of the highest mean
    reward on validation queries, under the task's retriever and in its mode, of equal ones the fewest words. They are
    chosen at the first call. Judgements of test queries are not read.

    Args:
        task: Task whose training and validation judgements are read.
        queries: Validation queries at most, a fixed sample.

    Raises:
        TaskError: At a call, the data have no training queries with judgements, or no validation queries.
        RetrieverError: At a call, the retriever failed.
    """
    chosen: list[tuple[Associations, int, float]] = []

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        if not chosen:
            associations = task_associations(task)
            chosen.append((associations, *_choose(task, associations, fixed_sample(task, "validation", queries))))
        associations, count, threshold = chosen[0]
        return [
            _rewrite(task, key, associations.words(tokens(task.query(key).query)), count, threshold)
            for key in prompt_ids
        ]

    return policy


def task_associations(task: RetrievalTask) -> Associations:
    """Associations of a task's training judgements, no others; C(w) counts one document more that has the word.

    Raises:
        TaskError: The data have no training queries with judgements.
    """
    vocabulary, holds, frequency = corpus_words(task)
    ids, gains = training_gains(task)
    queries = [tokens(task.query(prompt_id).query) for prompt_id in ids]
    return Associations(vocabulary, (gains @ holds).tocsr(), (frequency + 1) / (holds.shape[0] + 1), queries)


def _choose(task: RetrievalTask, associations: Associations, ids: Sequence[str]) -> tuple[int, float]:
    """The number of words and the threshold of the highest mean reward on some queries, of equal ones the first."""
    shares = [associations.words(tokens(task.query(prompt_id).query)) for prompt_id in ids]
    best, setting = -math.inf, (0, 0.0)
    for count, threshold in [(0, 0.0), *((count, threshold) for count in _COUNTS for threshold in _THRESHOLDS)]:
        texts = [_rewrite(task, key, own, count, threshold) for key, own in zip(ids, shares, strict=True)]
        reward = mean_reward(task, ids, texts)
        if reward > best:
            best, setting = reward, (count, threshold)
    return setting


def _rewrite(task: RetrievalTask, prompt_id: str, shares: Mapping[str, float], count: int, threshold: float) -> str:
    return expanded(task, prompt_id, [word for word, share in shares.items() if share > threshold][:count])
