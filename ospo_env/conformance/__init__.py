"""Checks of the contracts of retrievers and environments, clause by clause; run them on your own before use."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ospo_env.conformance.environment.case import EnvCase, EnvLike, make_env_case
from ospo_env.conformance.environment.clauses import ENV_CLAUSES
from ospo_env.conformance.messages import ConformanceError, raise_if_broken
from ospo_env.conformance.other_process import exit_if_run_again
from ospo_env.conformance.retriever.case import UNKNOWN_TEXTS, Case, make_case
from ospo_env.conformance.retriever.clauses import CLAUSES
from ospo_env.retrievers.registry import RetrieverSpec

__all__ = [
    "CLAUSES",
    "ENV_CLAUSES",
    "Case",
    "ConformanceError",
    "EnvCase",
    "check_env",
    "check_retriever",
    "make_case",
    "make_env_case",
]


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

    The check searches for a counter-example among some texts, pools and cuts; it proves nothing. It takes seconds,
    most of them for another process, in which the retriever is made again. A script calls it below
    ``if __name__ == "__main__":``, since the other process imports the script.

    Args:
        retriever: A name, ``module:attribute``, a factory, or a retriever.
        documents: The documents to make it of, or those that it was made of; at least two. By default a few built-in
            ones.
        texts: The texts to score; by default words of the documents in random order, and some odd ones.
        unknown: Texts that have to match nothing, besides blank ones; none for a retriever that knows every character.
        tolerance: Largest difference of two scores that ought to be equal: 0 for lexical retrievers, 1e-6 for cosines
            of neural encoders. The linear claim is about exact sums, whatever the tolerance.
        seed: Seed of the sampled texts, pools and cuts.

    Raises:
        ConformanceError: A clause is broken; the message names it and gives the counter-example.
        TaskError: There is no such retriever, one came as an object without its documents, or the script that calls
            this has no main guard.

    >>> check_retriever("bm25")
    """
    exit_if_run_again()
    case = make_case(retriever, documents, texts=texts, unknown=unknown, tolerance=tolerance, seed=seed)
    for clause, check in CLAUSES.items():
        raise_if_broken(f"retriever {case.name!r}", clause, partial(check, case, np.random.default_rng(seed)))


def check_env(env: EnvLike, *, texts: Sequence[str] | None = None, seed: int = 0) -> None:
    """Check an environment against all clauses of its contract, in the order of ``ENV_CLAUSES``.

    Its episodes have one step, or are in turns (``env.unwrapped.task.in_turns``): then each line of a text is searched
    for, and the answer follows.

    The check searches for a counter-example among some seeds and texts; it proves nothing. It takes seconds, most of
    them for another process, in which the environment is made again. Check a retriever
    of your own inside an environment with
    ``check_env(functools.partial(gymnasium.make, "OSPO-ESCI-v0", retriever="module:attribute"))``.

    Args:
        env: An id, a factory, or an environment. An environment is made again from its ``spec``; without a spec it is
            pickled for the other process, and clauses that need a second environment here check the one.
        texts: Texts to step with, in turns a line a step; by default demonstrations, prompts and a few others.
        seed: Seed of the episodes' seeds.

    Raises:
        ConformanceError: A clause is broken; the message names it and gives the counter-example.
        TaskError: There is no such environment, it has no task behind it, it cannot go to another process, or the
            script that calls this has no main guard.
    """
    exit_if_run_again()
    case = make_env_case(env, texts=texts, seed=seed)
    for clause, check in ENV_CLAUSES.items():
        raise_if_broken(f"environment {case.name!r}", clause, partial(check, case))
