"""Pseudo-relevance feedback: the raw query, expanded with words of the documents that it ranks; no judgements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.terms import term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.scoring.calls import ranked_documents
from ospo_env.scoring.candidate_pools import own_document_rows
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, token_spans, tokens

__all__ = ["feedback_policy"]


def feedback_policy(
    task: RetrievalTask, *, documents: int = 10, terms: int | None = None, interpolation: float = 0.5
) -> Callable[[Sequence[str], Sequence[str]], list[str]]:
    """A relevance model of the first ranking, interpolated with the query (RM3), written as a text.

    The raw query ranks the whole corpus. With P(d|q) in proportion to the scores of the best documents (equal weights
    where a score is not positive) and P(w|d) the share of a word in a document, the relevance model is
    P(w|R) = sum over d of P(d|q) P(w|d) (Lavrenko and Croft 2001). Words are taken in the order of
    P(w|R) log(P(w|R) / P(w|C)), their part of the divergence from the corpus C, which leaves out words that are common
    everywhere (Carpineto et al. 2001), ties in alphabetic order; words that are no more frequent than in the corpus
    are not taken.

    The interpolation with the query (Abdul-Jaleel et al. 2004) gives it a share of the words, since repetition is the
    only weight in a text: the query stands in front, as often as comes nearest to its share of the cap and at least
    once; then each other word once, up to the cap. A query that matches nothing, or that fills the cap, stays as it is.

    Where the task sends the query itself (``compose="append"``), the text is the other words alone, as many as come
    nearest to that share of the query with its ``query_weight``, and empty for a query that matches nothing. Where
    repeated words are not sent (``repeats="once"``), the query stands in front once.

    Args:
        task: Task whose retriever ranks and whose documents are read; pools and judgements are not read.
        documents: Number of feedback documents, at least 1.
        terms: Words to add at most, at least 1; None for as many as the cap, or behind the query its share, allows.
        interpolation: Share of the query, at least 0 and below 1.

    Returns:
        A function of prompt ids and prompts, both of length B, that gives B texts: within the cap, but for longer
        queries that stand in front.

    Raises:
        TaskError: An argument is out of range; at a call, unknown prompt ids.
        RetrieverError: At a call, the retriever failed.
    """
    for name, value in (("documents", documents), ("terms", 1 if terms is None else terms)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise TaskError(f"expected {name} as a whole number of at least 1; got {value!r}")
    if not 0.0 <= interpolation < 1.0:
        raise TaskError(f"expected interpolation as a share of at least 0 and below 1; got {interpolation!r}")
    refuse_after_fork("reading data")
    counts = term_counts(Corpus.of_documents(task.data.documents))
    words = Vocabulary(counts).tokens()
    corpus = np.bincount(counts["terms"], weights=counts["counts"], minlength=len(words)).astype(np.float64)
    corpus /= max(corpus.sum(), 1.0)

    own_rows = dict(zip(task.data.queries["query_id"], own_document_rows(task.data).tolist(), strict=True))

    def rewrite(prompt_id: str) -> str:
        (text,) = task.sent([prompt_id], task.raw_rewrites([prompt_id]))
        own = own_rows[prompt_id]
        rows, scores = ranked_documents(task.retriever, text, documents + (own >= 0), task.data.documents.height)
        rows, scores = rows[rows != own][:documents], scores[rows != own][:documents]
        copies, room = _shares(task, len(token_spans(text)), interpolation)
        added = room if terms is None else min(terms, room)
        if not len(rows) or added < 1:
            return text if copies else ""
        own_words = set(tokens(text))
        ranked_words = [words[term] for term in _divergent(*_relevance_model(counts, rows, scores), corpus, words)]
        expansion = [word for word in ranked_words if word not in own_words][:added]
        return cap_words(" ".join([text] * copies + expansion), task.max_words)[0]

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        return [rewrite(prompt_id) for prompt_id in prompt_ids]

    return policy


def _shares(task: RetrievalTask, size: int, interpolation: float) -> tuple[int, int]:
    """Number of copies of a query of some words, and the most words that are added to it."""
    if task.compose == "append":
        others = task.query_weight * size * (1.0 - interpolation) / interpolation if interpolation else task.max_words
        return 0, max(1, round(min(others, task.max_words)))
    if not size or task.repeats == "once":
        return 1, task.max_words - size
    return max(1, min(round(interpolation * task.max_words / size), task.max_words // size)), task.max_words - size


def _relevance_model(
    counts: Mapping[str, NDArray[Any]], rows: NDArray[np.int32], scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The words of k documents, their ids ascending (U,), and P(w|R) of each (U,)."""
    weights = scores / scores.sum() if (scores > 0.0).all() else np.full(len(rows), 1.0 / len(rows))
    cells = [slice(counts["starts"][row], counts["starts"][row + 1]) for row in rows]
    shares = [
        weight * counts["counts"][cell] / max(counts["counts"][cell].sum(), 1)
        for cell, weight in zip(cells, weights, strict=True)
    ]
    terms, places = np.unique(np.concatenate([counts["terms"][cell] for cell in cells]), return_inverse=True)
    model = np.bincount(places, weights=np.concatenate(shares), minlength=len(terms))
    return terms.astype(np.int64), model.astype(np.float64)


def _divergent(
    terms: NDArray[np.int64], model: NDArray[np.float64], corpus: NDArray[np.float64], words: Sequence[str]
) -> list[int]:
    """The terms of U that a model (U,) makes more frequent than the corpus (V,), by their part of the divergence."""
    parts = model * np.log(model / corpus[terms])
    gain = {term: part for term, part in zip(terms.tolist(), parts.tolist(), strict=True) if part > 0.0}
    return sorted(gain, key=lambda term: (-gain[term], words[term]))
