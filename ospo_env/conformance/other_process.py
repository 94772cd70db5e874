"""A function's result in another process, with another hash seed and another number of threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

__all__ = ["run_elsewhere"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def run_elsewhere(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """A function's result, or its error, in a new process with another hash seed and number of threads."""
    with _other_environment(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *arguments, **named).result()


@contextmanager
def _other_environment() -> Iterator[None]:
    """Gives processes that are started inside the block another hash seed and number of threads."""
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
