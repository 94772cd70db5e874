"""The clauses on copies of a retriever: pickled, in another process, or made again."""

import pickle

import numpy as np

from ospo_env.conformance.messages import clause
from ospo_env.conformance.retriever.case import Case, pool_scores
from ospo_env.conformance.retriever.elsewhere import results_elsewhere
from ospo_env.retrievers.corpus import Corpus

__all__ = ["check_fingerprint", "check_pickles", "check_processes"]


@clause("pickles")
def check_pickles(case: Case, rng: np.random.Generator) -> str | None:
    """Pickling changes nothing."""
    case.retriever.rank_corpus(case.texts[0], 1)  # builds what is built late
    again = pickle.loads(pickle.dumps(case.retriever))
    if again.fingerprint != case.retriever.fingerprint:
        return f"the fingerprint was {case.retriever.fingerprint} and is {again.fingerprint}"
    scores = pool_scores(again, case.documents, case.texts)
    return case.difference(scores, case.scores(*case.texts), "after pickling", "before")


@clause("processes")
def check_processes(case: Case, rng: np.random.Generator) -> str | None:
    """Another process, hash seed or number of threads changes nothing."""
    fingerprint, scores = results_elsewhere(case)
    if fingerprint != case.retriever.fingerprint:
        return f"the fingerprint is {case.retriever.fingerprint} here and {fingerprint} in another process"
    return case.difference(scores, case.scores(*case.texts), "in another process", "here")


@clause("fingerprint")
def check_fingerprint(case: Case, rng: np.random.Generator) -> str | None:
    """Made again of the same documents it has the same fingerprint, of others or in another order another one."""
    if case.factory is None:
        return None  # only its maker knows what went into it
    fingerprint = case.retriever.fingerprint
    if (again := case.factory(Corpus.of_texts(case.documents)).fingerprint) != fingerprint:
        return f"made again of the same documents it is {again}; it was {fingerprint}"
    for other in ((f"{case.documents[0]} changed", *case.documents[1:]), case.documents[::-1]):
        if other != case.documents and case.factory(Corpus.of_texts(other)).fingerprint == fingerprint:
            return f"it is {fingerprint} on other documents, or another order of them, too"
    return None
