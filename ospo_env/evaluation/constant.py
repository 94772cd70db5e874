"""The best constant: the same words for all queries. What a policy earns above it comes from reading the query."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ospo_env.evaluation.expansion import corpus_words, expanded, fixed_sample, training_gains
from ospo_env.task import RetrievalTask

__all__ = ["choose_constant", "constant_policy"]

_OF_EACH_KIND = 60  # candidates
_KEPT = 10  # candidates that are tried on all queries
_SCREENED = 200  # training queries that the others are left out by


def constant_policy(task: RetrievalTask, *, words: int = 3, queries: int = 1_500) -> Callable[..., list[str]]:
    """The query with the words of :func:`choose_constant`, which are chosen at the first call."""
    chosen: list[list[str]] = []

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        if not chosen:
            chosen.append(choose_constant(task, words=words, queries=queries))
        return [expanded(task, prompt_id, chosen[0]) for prompt_id in prompt_ids]

    return policy


def choose_constant(task: RetrievalTask, *, words: int = 3, queries: int = 1_500) -> list[str]:
    """The expansion that earns most on training queries, under the task's retriever and in its mode.

    There are 120 candidates without digits: the words in most documents of the corpus, and those that documents with a
    gain for training queries hold more often than the corpus, by P log(P / C), P and C being the shares of these and of
    all documents that hold the word. The 10 best on 200 training queries are tried on the others, since the best of
    many on a few queries is so by chance: there words are added one after another, as long as the best, the first of
    equals, raises the mean reward by more than the standard error of the difference. Of fewer than 400 training queries
    all serve for both.

    Args:
        task: Task whose training judgements are read, no others.
        words: Words at most.
        queries: Training queries at most, a fixed sample.

    Returns:
        The words; none where no word raises it so.

    Raises:
        TaskError: The data have no training queries with judgements.
        RetrieverError: The retriever failed.
    """
    ids = fixed_sample(task, "train", queries)
    first, rest = (ids[:_SCREENED], ids[_SCREENED:]) if len(ids) >= 2 * _SCREENED else (ids, ids)

    def rewards(prompt_ids: Sequence[str], text: Sequence[str]) -> NDArray[np.float64]:
        return task.rewards(prompt_ids, [expanded(task, prompt_id, text) for prompt_id in prompt_ids])

    screened = {word: rewards(first, [word]).mean() for word in _candidates(task)}
    candidates = sorted(screened, key=lambda word: -screened[word])[:_KEPT]  # stable: of equal ones the first
    chosen: list[str] = []
    best = rewards(rest, chosen)
    while candidates and len(chosen) < words:
        tried = {word: rewards(rest, [*chosen, word]) for word in candidates}
        word = max(candidates, key=lambda word: tried[word].mean())
        raised = tried[word] - best
        if raised.mean() <= raised.std() / np.sqrt(len(raised)):
            break
        best = tried[word]
        chosen.append(word)
        candidates.remove(word)
    return chosen


def _candidates(task: RetrievalTask) -> list[str]:
    corpus = corpus_words(task)
    _, gains = training_gains(task)
    rows = np.unique(gains.indices)
    here = np.asarray(corpus.holds[rows].sum(axis=0)).ravel() / len(rows)
    there = corpus.frequency / corpus.holds.shape[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(here > 0, here * np.log(here / there), 0.0)
    fit = [row for row, word in enumerate(corpus.words) if len(word) > 1 and word.isalpha()]
    common = sorted(fit, key=lambda row: (-corpus.frequency[row], corpus.words[row]))
    telling = sorted((row for row in fit if divergence[row] > 0), key=lambda row: (-divergence[row], corpus.words[row]))
    return [corpus.words[row] for row in dict.fromkeys([*common[:_OF_EACH_KIND], *telling[:_OF_EACH_KIND]])]
