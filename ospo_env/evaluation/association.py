"""Associations: words that judgements of training queries connect with the words of a query, by counting alone."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.evaluation.expansion import corpus_words, expanded, fixed_sample, mean_reward, training_gains
from ospo_env.task import RetrievalTask
from ospo_env.text import tokens

__all__ = ["Associations", "association_policy"]

_COUNTS = (1, 2, 4, 8, 16)
_THRESHOLDS = (0.0, 0.1, 0.3)
_DOUBT = 2  # queries without the word, which a query word's shares are averaged with


def association_policy(task: RetrievalTask, *, queries: int = 500) -> Callable[..., list[str]]:
    """The query with the words that :class:`Associations` gives for it.

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
            associations = Associations(task)
            chosen.append((associations, *_choose(task, associations, fixed_sample(task, "validation", queries))))
        associations, count, threshold = chosen[0]
        return [_rewrite(task, key, associations.words(task.query(key).query), count, threshold) for key in prompt_ids]

    return policy


class Associations:
    """Shares of words in documents that training queries with a query's words were judged to want.

    For a training query q, P(w|q) is the share of its gains that lies on documents with the word w. For a query word u,
    P(w|u) is the sum of P(w|q) over the n training queries with u, over n + 2. Of a query, P(w) is the mean of P(w|u)
    over its words that training queries have, weighted by their inverse frequency there, log(Q / n). Words are taken by
    P(w) log(P(w) / C(w)), C(w) being the share of the corpus's documents with w, with one document more that has it;
    ties in alphabetic order. Words of one character, words with digits, words of the query, and words that are no more
    frequent than in the corpus are not taken. Words that differ in a final s alone count as the same word of a query.

    Args:
        task: Task whose training judgements are read, no others.

    Raises:
        TaskError: The data have no training queries with judgements.
    """

    def __init__(self, task: RetrievalTask) -> None:
        self._vocabulary, holds, frequency = corpus_words(task)
        ids, gains = training_gains(task)
        self._shares: sparse.csr_matrix = (gains @ holds).tocsr()
        self._rows: dict[str, list[int]] = {}
        for row, prompt_id in enumerate(ids):
            for word in dict.fromkeys(map(_stem, tokens(task.query(prompt_id).query))):
                self._rows.setdefault(word, []).append(row)
        self._queries = len(ids)
        self._corpus = (frequency + 1) / (holds.shape[0] + 1)
        self._fit = np.array([len(word) > 1 and word.isalpha() for word in self._vocabulary], dtype=np.bool_)

    def words(self, query: str) -> Mapping[str, float]:
        """The associated words of a query with their shares P(w), best first."""
        indexed = [word for word in dict.fromkeys(map(_stem, tokens(query))) if word in self._rows]
        weights = {word: math.log(self._queries / len(self._rows[word])) for word in indexed}
        total = math.fsum(weights.values())
        if total <= 0:  # no word of the query is known, or all training queries have each
            return {}
        shares = np.sum([weight / total * self._of_word(word) for word, weight in weights.items()], axis=0)
        taken = np.flatnonzero((shares > self._corpus) & self._fit)
        gain = (shares[taken] * np.log(shares[taken] / self._corpus[taken])).round(12)  # so that equals are equal
        own = set(map(_stem, tokens(query)))
        ordered = sorted(zip((-gain).tolist(), (self._vocabulary[term] for term in taken), taken.tolist(), strict=True))
        return {word: float(shares[term]) for _, word, term in ordered if _stem(word) not in own}

    def _of_word(self, word: str) -> NDArray[np.float64]:
        """P(w|u) of a query word u for all words of the corpus: float64 (V,)."""
        rows = self._rows[word]
        sums: NDArray[np.float64] = np.asarray(self._shares[rows].sum(axis=0)).ravel()
        return sums / (len(rows) + _DOUBT)


def _choose(task: RetrievalTask, associations: Associations, ids: Sequence[str]) -> tuple[int, float]:
    """The number of words and the threshold of the highest mean reward on some queries, of equal ones the first."""
    shares = [associations.words(task.query(prompt_id).query) for prompt_id in ids]
    best, setting = -math.inf, (0, 0.0)
    for count, threshold in [(0, 0.0), *((count, threshold) for count in _COUNTS for threshold in _THRESHOLDS)]:
        texts = [_rewrite(task, key, own, count, threshold) for key, own in zip(ids, shares, strict=True)]
        reward = mean_reward(task, ids, texts)
        if reward > best:
            best, setting = reward, (count, threshold)
    return setting


def _rewrite(task: RetrievalTask, prompt_id: str, shares: Mapping[str, float], count: int, threshold: float) -> str:
    return expanded(task, prompt_id, [word for word, share in shares.items() if share > threshold][:count])


def _stem(word: str) -> str:
    return word.rstrip("s") or word
