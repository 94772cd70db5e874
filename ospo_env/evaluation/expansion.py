"""Words of a corpus and judgements of training queries, as references without a model read them, and their texts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.terms import count_matrix, term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, token_spans

__all__ = ["CorpusWords", "corpus_words", "expanded", "fixed_sample", "mean_reward", "training_gains"]


class CorpusWords(NamedTuple):
    """The words of a corpus of D documents.

    Attributes:
        words: The V words, in the order of their first appearance.
        holds: float64 (D, V), 1 where a document holds a word.
        frequency: int64 (V,), the number of documents that hold each word.
    """

    words: list[str]
    holds: sparse.csr_matrix
    frequency: NDArray[np.int64]


def corpus_words(task: RetrievalTask) -> CorpusWords:
    """The words of a task's documents; counted once, and then read from disk."""
    refuse_after_fork("reading data")
    counts = term_counts(Corpus.of_documents(task.data.documents))
    holds = count_matrix(counts)
    holds.data = np.ones_like(holds.data)
    words = Vocabulary(counts).tokens()
    return CorpusWords(words, holds, np.bincount(counts["terms"], minlength=len(words)))


def training_gains(task: RetrievalTask) -> tuple[list[str], sparse.csr_matrix]:
    """Training queries that have a document of some gain, and the share of each document in their gains.

    Judgements of other splits are not read. A query's own document, which is never ranked for it, is left out.

    Returns:
        Q ids in stored order, and float64 (Q, D) whose rows sum to 1.

    Raises:
        TaskError: There is no such query.
    """
    refuse_after_fork("reading data")
    data = task.data
    queries = pl.DataFrame([data.queries["query_id"], data.queries["split"], data.own_documents.alias("own_row")])
    queries = queries.filter(pl.col("split") == "train").with_row_index("place")
    judged = data.qrels.join(queries, on="query_id").filter(
        (pl.col("gain") > 0) & pl.col("doc_row").ne_missing(pl.col("own_row"))
    )
    if judged.is_empty():
        raise TaskError("expected training queries with judgements to choose by; the data have none")
    shape = (queries.height, data.documents.height)
    cells = (judged["place"].to_numpy(), judged["doc_row"].to_numpy())
    gains = sparse.csr_matrix((judged["gain"].to_numpy().astype(np.float64), cells), shape=shape)
    totals = np.asarray(gains.sum(axis=1)).ravel()
    kept = np.flatnonzero(totals)
    return queries["query_id"].gather(kept).to_list(), sparse.diags(1 / totals[kept]) @ gains[kept]


def fixed_sample(task: RetrievalTask, split: str, most: int) -> list[str]:
    """Prompts of a split, at most so many, always the same, in random order.

    Raises:
        TaskError: The split has none.
    """
    ids, _ = task.prompts(split)
    if not ids:
        raise TaskError(f"expected {split} queries to choose by; the data have none")
    return [ids[row] for row in np.random.default_rng(0).permutation(len(ids))[:most].tolist()]


def mean_reward(task: RetrievalTask, prompt_ids: Sequence[str], texts: Sequence[str]) -> float:
    """The mean reward of some rewrites."""
    return float(task.rewards(prompt_ids, texts).mean())


def expanded(task: RetrievalTask, prompt_id: str, words: Sequence[str]) -> str:
    """A rewrite that adds words to the query, as many as the cap allows.

    Where the task sends the query itself (``compose="append"``), these are the words alone; else the query once and
    then the words. A query is never cut: one that fills the cap stays as it is.
    """
    if task.compose == "append":
        return cap_words(" ".join(words), task.max_words)[0]
    query = task.query(prompt_id).query
    return cap_words(" ".join([query, *words]), max(task.max_words, len(token_spans(query))))[0] if words else query
