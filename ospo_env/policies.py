"""Reference policies that look behind the door: the raw query, a strong reference, and noise."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl

from envs_data import unknown_name
from ospo_env.errors import TaskError
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, tokens

__all__ = ["POLICIES", "ReferencePolicy", "make_reference_policy"]

ReferencePolicy: TypeAlias = Callable[[Sequence[str], Sequence[str]], list[str]]
"""Prompt ids and prompts in, one text for each out."""


def make_reference_policy(name: str, task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """A policy that no learner could be, to compare learners with.

    Args:
        name: ``"query"``, ``"oracle"`` or ``"random"``; see the functions of those names.
        task: The task to look into.
        seed: Seed of ``"random"``; the others need none.

    Returns:
        A function of prompt ids and prompts, both of length B, that gives B texts.

    Raises:
        TaskError: Unknown name; at a call, unknown prompt ids.
    """
    if name not in POLICIES:
        raise TaskError(unknown_name("reference policy", name, POLICIES))
    return POLICIES[name](task, seed)


def query_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """The raw query as rewrite: what the shopper typed, without the history."""

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        return [task.query(prompt_id).query for prompt_id in prompt_ids]

    return policy


def random_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """The leading words of a random document, up to the cap; seeded by ``seed`` and the prompt's id alone."""
    texts = task.data.documents["text"]

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        rows = [_rng(seed, prompt_id).integers(len(texts)) for prompt_id in prompt_ids]
        return [cap_words(text, task.max_words)[0] for text in texts.gather(rows)]

    return policy


def oracle_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """A rewrite made from the answers; a strong reference, **not** an upper bound.

    For each query it tries the phrases of the latent intent, where the data know it, the title and the leading words
    of each document of full gain, and the words that the documents of full gain share and the rest of the pool lacks.
    It keeps the text of the highest reward, the first among equals. No search goes over combinations of words, so a
    learner may beat it.
    """
    candidates_of = _CandidateMaker(task)

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        candidates = [candidates_of(prompt_id) for prompt_id in prompt_ids]
        sizes = [len(texts) for texts in candidates]
        rewards = task.rewards(
            [prompt_id for prompt_id, size in zip(prompt_ids, sizes, strict=True) for _ in range(size)],
            [text for texts in candidates for text in texts],
        )
        ends = np.cumsum(sizes)
        return [
            texts[int(np.argmax(rewards[end - len(texts) : end]))] for texts, end in zip(candidates, ends, strict=True)
        ]

    return policy


POLICIES: dict[str, Callable[[RetrievalTask, int], ReferencePolicy]] = {
    "query": query_policy,
    "oracle": oracle_policy,
    "random": random_policy,
}
"""The reference policies by name."""


class _CandidateMaker:
    """The texts that the oracle tries for a query, at least one, each within the word cap."""

    def __init__(self, task: RetrievalTask) -> None:
        self._task = task
        full = task.data.qrels.filter(pl.col("gain") >= 1.0).group_by("query_id").agg(pl.col("doc_row").sort())
        self._full = dict(zip(full["query_id"].to_list(), full["doc_row"].to_list(), strict=True))
        self._words: dict[int, set[str]] = {}

    def __call__(self, prompt_id: str) -> list[str]:
        intent = self._intent(prompt_id)
        documents = self._task.data.documents
        rows = self._full[prompt_id]
        texts = [", ".join(intent)] if intent else []
        texts += documents["title"].gather(rows).to_list()
        texts += documents["text"].gather(rows).to_list()
        texts.append(self._shared_words(prompt_id, rows))
        return list(dict.fromkeys(cap_words(text, self._task.max_words)[0] for text in texts))

    def _shared_words(self, prompt_id: str, rows: list[int]) -> str:
        """The words by the share of full-gain documents less the share of the pool's others that have them."""
        others = sorted(set(self._pool(prompt_id)) - set(rows))
        here = Counter(word for row in rows for word in self._words_of(row))
        there = Counter(word for row in others for word in self._words_of(row))
        contrast = {word: here[word] / len(rows) - there[word] / max(len(others), 1) for word in here}
        best = sorted(contrast, key=lambda word: (-contrast[word], word))[: self._task.max_words]
        return " ".join(word for word in best if contrast[word] > 0.0)
