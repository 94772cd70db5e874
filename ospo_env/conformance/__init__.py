"""Whether a retriever keeps its contract, clause by clause; one of your own should pass before it is used."""

from collections.abc import Sequence

import numpy as np

from envs_data.errors import one_line
from ospo_env.conformance.case import UNKNOWN_TEXTS, Case, make_case
from ospo_env.conformance.clauses import CLAUSES
from ospo_env.errors import TaskError
from ospo_env.retrievers.registry import RetrieverSpec

__all__ = ["CLAUSES", "Case", "ConformanceError", "check_retriever", "make_case"]


class ConformanceError(TaskError):
    """A retriever breaks a clause of its contract.

    Attributes:
        clause: Its name, a key of :data:`CLAUSES`.
    """

    def __init__(self, name: str, clause: str, counterexample: str) -> None:
        super().__init__(f"retriever {name!r} breaks the clause {clause!r}: {one_line(counterexample, 400)}")
        self.clause = clause


def check_retriever(
    retriever: RetrieverSpec,
    documents: Sequence[str] | None = None,
    *,
    texts: Sequence[str] | None = None,
    unknown: Sequence[str] = UNKNOWN_TEXTS,
    tolerance: float = 0.0,
    seed: int = 0,
) -> None:
    """Check a retriever against all clauses of its contract, in the order of :data:`CLAUSES`.

    That is a search for a counter-example among some texts, pools and cuts, not a proof. It takes seconds, most of
    them for another process, in which the retriever is made again.

    Args:
        retriever: A name, ``module:attribute``, a factory, or a retriever.
        documents: The texts to make it of, or those that it was made of; at least two. By default a few built-in ones.
        texts: What to score; by default words of the documents in random order, and some odd ones.
        unknown: Texts that have to match nothing, besides blank ones; none for a retriever that knows every character.
        tolerance: By how much two scores that ought to be equal may differ: 0 for lexical retrievers, 1e-6 for cosines
            of neural encoders. The linear claim is about exact sums, whatever this says.
        seed: Of the drawn texts, pools and cuts.

    Raises:
        ConformanceError: A clause is broken; the message names it and gives the counter-example.
        TaskError: There is no such retriever, or one came as an object without its documents.

    >>> check_retriever("bm25")
    """
    case = make_case(retriever, documents, texts=texts, unknown=unknown, tolerance=tolerance, seed=seed)
    for clause, check in CLAUSES.items():
        try:
            counterexample = check(case, np.random.default_rng(seed))
        except Exception as error:  # anybody's code
            raise ConformanceError(case.name, clause, f"it raises {type(error).__name__}: {error}") from error
        if counterexample is not None:
            raise ConformanceError(case.name, clause, counterexample)
