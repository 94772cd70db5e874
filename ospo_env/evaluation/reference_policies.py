"""Reference policies, which read the task itself and need no model, by name."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.evaluation.association import association_policy
from ospo_env.evaluation.constant import constant_policy
from ospo_env.evaluation.feedback import feedback_policy
from ospo_env.evaluation.spelling import spelling_policy
from ospo_env.forks import refuse_after_fork
from ospo_env.metrics import FULL_GAIN
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, tokens

__all__ = ["REFERENCE_POLICIES", "ReferencePolicy", "make_reference_policy"]

ReferencePolicy: TypeAlias = Callable[[Sequence[str], Sequence[str]], list[str]]
"""Function of prompt ids and prompts that returns one text for each."""


def make_reference_policy(name: str, task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """A policy to compare learners with; it reads the task itself, as no learner may.

    Args:
        name: A name in :data:`REFERENCE_POLICIES`.
        task: The task to read. Of judgements, ``"constant"`` reads those of training queries, ``"association"`` also
            those of validation queries, and ``"oracle"`` those of the queries that it writes for; the others read none.
        seed: Seed of ``"random"``; the others need none.

    Returns:
        A function of prompt ids and prompts, both of length B, that gives B texts.

    Raises:
        TaskError: Unknown name; at a call, unknown prompt ids.
    """
    refuse_after_fork("a reference policy")
    if name not in REFERENCE_POLICIES:
        raise TaskError(unknown_name("reference policy", name, REFERENCE_POLICIES))
    return REFERENCE_POLICIES[name](task, seed)


def query_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """The raw query alone, without the history; the word cap does not cut it.

    It is the rewrite itself, or the empty rewrite where the query is sent anyway (``compose="append"``).
    """

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        return task.raw_rewrites(prompt_ids)

    return policy


def prf_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """The raw query with words of the documents that it ranks: :func:`feedback_policy` at its defaults."""
    return feedback_policy(task)


def random_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """The leading words of a random document, up to the cap; a function of ``seed`` and the prompt's id alone."""
    documents = task.data.documents["text"]

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        rows = [_generator(seed, task.query(prompt_id).query_id).integers(len(documents)) for prompt_id in prompt_ids]
        return [cap_words(documents[int(row)], task.max_words)[0] for row in rows]

    return policy


def oracle_policy(task: RetrievalTask, seed: int = 0) -> ReferencePolicy:
    """A rewrite made from the judged documents; a strong reference, **not** an upper bound.

    For each query it tries the phrases of the latent intent, where the data hold it, the title and the leading words of
    each document of full gain, and the words that the documents of full gain share and the rest of the pool lacks. It
    keeps the text of the highest reward, the first among equals. It does not search combinations of words, so a
    learner may beat it. Where the query is sent too (``compose="append"``), it tries the empty text first, so that it
    earns no less than the raw query.
    """

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        candidates = _candidates(task, prompt_ids)
        tried = [(prompt_id, text) for prompt_id, texts in candidates.items() for text in texts]
        rewards = task.rewards([prompt_id for prompt_id, _ in tried], [text for _, text in tried])
        best: dict[str, tuple[float, str]] = {}
        for (prompt_id, text), reward in zip(tried, rewards.tolist(), strict=True):
            if prompt_id not in best or reward > best[prompt_id][0]:
                best[prompt_id] = (reward, text)
        return [best[prompt_id][1] for prompt_id in prompt_ids]

    return policy


REFERENCE_POLICIES: dict[str, Callable[[RetrievalTask, int], ReferencePolicy]] = {
    "query": query_policy,
    "prf": prf_policy,
    "constant": lambda task, seed: constant_policy(task),
    "association": lambda task, seed: association_policy(task),
    "spelling": lambda task, seed: spelling_policy(task),
    "oracle": oracle_policy,
    "random": random_policy,
}
"""The reference policies by name."""


def _generator(seed: int, prompt_id: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{prompt_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _candidates(task: RetrievalTask, prompt_ids: Sequence[str]) -> dict[str, list[str]]:
    """Distinct texts that the oracle tries for each prompt, at least one, each within the word cap."""
    refuse_after_fork("the oracle")
    intents = {prompt_id: task.query(prompt_id).intent for prompt_id in prompt_ids}
    asked = pl.col("query_id").is_in(list(intents))
    qrels = task.data.qrels.filter(asked & (pl.col("gain") >= FULL_GAIN))
    own = pl.DataFrame([task.data.queries["query_id"], task.data.own_documents.alias("own_row")])
    others = qrels.join(own, on="query_id").filter(pl.col("doc_row").ne_missing(pl.col("own_row")))
    full = dict(others.group_by("query_id").agg(pl.col("doc_row").sort()).iter_rows())
    pools = dict(task.data.pools.filter(asked).iter_rows())
    titles, texts = task.data.documents["title"], task.data.documents["text"]
    words: dict[int, frozenset[str]] = {}
    for row in {row for prompt_id in intents for row in (*full.get(prompt_id, ()), *pools[prompt_id])}:
        words[row] = frozenset(tokens(texts[row]))
    candidates = {}
    for prompt_id, intent in intents.items():
        rows = full.get(prompt_id, [])
        negatives = [words[row] for row in set(pools[prompt_id]).difference(rows)]
        tried = [""] if task.compose == "append" else []
        tried += [", ".join(intent)] if intent else []
        tried += [titles[row] for row in rows] + [texts[row] for row in rows]
        tried.append(_shared_words([words[row] for row in rows], negatives, task.max_words))
        candidates[prompt_id] = list(dict.fromkeys(cap_words(text, task.max_words)[0] for text in tried))
    return candidates


def _shared_words(wanted: Collection[frozenset[str]], others: Collection[frozenset[str]], most: int) -> str:
    """Words by the share of the wanted documents that have them, less that of the others; only gains are kept.

    >>> _shared_words([frozenset({"red", "shoe", "the"}), frozenset({"red", "boot", "the"})], [frozenset({"the"})], 2)
    'red boot'
    """
    here = Counter(word for document in wanted for word in document)
    there = Counter(word for document in others for word in document)
    gain = {word: here[word] / len(wanted) - there[word] / max(len(others), 1) for word in here}
    best = sorted((word for word in here if gain[word] > 0.0), key=lambda word: (-gain[word], word))
    return " ".join(best[:most])
