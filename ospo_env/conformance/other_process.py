"""Another process, with another hash seed and another number of threads, and what it finds of a retriever."""

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ospo_env.conformance.retriever.case import Case, pool_scores
from ospo_env.retrievers.registry import corpus_digest

__all__ = ["run_elsewhere", "seen_elsewhere"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def run_elsewhere(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """What a function of a module returns, or raises, in a new process with another hash seed and number of threads."""
    with _other_environment(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *arguments, **named).result()


def seen_elsewhere(case: Case) -> tuple[str, NDArray[np.float64]]:
    """Fingerprint and scores (B, D) of all texts, as another process finds them.

    The retriever is made again there, of the same documents. One that came made, or whose factory no other process
    can import, goes there pickled.
    """
    return run_elsewhere(_seen, _portable(case), case.documents, case.texts)


def _portable(case: Case) -> bytes:
    """A pickled pair of which one is ``None``: the retriever, and what makes it."""
    if case.factory is not None:
        try:
            return pickle.dumps((None, case.factory))
        except (pickle.PicklingError, AttributeError, TypeError):
            pass  # a lambda, for example
    return pickle.dumps((case.retriever, None))


def _seen(content: bytes, documents: tuple[str, ...], texts: tuple[str, ...]) -> tuple[str, NDArray[np.float64]]:
    retriever, factory = pickle.loads(content)
    if factory is not None:
        retriever = factory(documents, corpus_digest(documents))
    return retriever.fingerprint, pool_scores(retriever, documents, texts)


@contextmanager
def _other_environment() -> Iterator[None]:
    """Processes started meanwhile have another hash seed and number of threads than this one."""
    changes = dict.fromkeys(_THREADS, "2" if os.environ.get("OMP_NUM_THREADS") == "1" else "1")
    changes["PYTHONHASHSEED"] = "78" if os.environ.get("PYTHONHASHSEED") == "77" else "77"
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
