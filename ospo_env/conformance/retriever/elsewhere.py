"""Fingerprint and scores of a retriever in another process."""

import pickle

import numpy as np
from numpy.typing import NDArray

from ospo_env.conformance.other_process import load_portable, run_elsewhere
from ospo_env.conformance.retriever.case import Case, pool_scores
from ospo_env.retrievers.corpus import Corpus

__all__ = ["results_elsewhere"]


def results_elsewhere(case: Case) -> tuple[str, NDArray[np.float64]]:
    """Fingerprint and scores (B, D) of all texts, computed in another process.

    The retriever is made again there, of the same documents. A retriever that came as an object, or whose factory the
    other process cannot import, is pickled instead.
    """
    return run_elsewhere(_results, _portable(case), case.documents, case.texts)


def _portable(case: Case) -> bytes:
    """A pickled pair of which one is ``None``: the retriever, and what makes it."""
    if case.factory is not None:
        try:
            return pickle.dumps((None, case.factory))
        except (pickle.PicklingError, AttributeError, TypeError):
            pass  # a lambda, for example
    return pickle.dumps((case.retriever, None))


def _results(content: bytes, documents: tuple[str, ...], texts: tuple[str, ...]) -> tuple[str, NDArray[np.float64]]:
    retriever, factory = load_portable(content)
    if factory is not None:
        retriever = factory(Corpus.of_texts(documents))
    return retriever.fingerprint, pool_scores(retriever, documents, texts)
