"""A function's result in another process, with another hash seed and another number of threads."""

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from ospo_env.errors import TaskError

__all__ = ["MainGuardError", "exit_if_run_again", "load_portable", "run_elsewhere"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_RUN_AGAIN = 77  # exit status of a process in which the script called the kit again
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class MainGuardError(TaskError):
    """A script that calls the kit has no main guard."""


def exit_if_run_again() -> None:
    """End this process if it is the other one and the script that runs again there has called the kit.

    A new process imports the script that started it, to find the classes in it. :func:`run_elsewhere` then says there
    what the script lacks.
    """
    if getattr(current_process(), "_inheriting", False):  # what multiprocessing itself looks at
        sys.exit(_RUN_AGAIN)


def run_elsewhere(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """A function's result, or its error, in a new process with another hash seed and number of threads.

    Raises:
        MainGuardError: The new process ran the script that called this again, and came to the same call.
        TaskError: The new process ended without a result.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments, named))
    with _other_environment():
        process.start()
    sender.close()
    try:
        returned, value = receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == _RUN_AGAIN:
            raise MainGuardError(
                "a check of the conformance kit starts another process, which runs this script again: put the call "
                "below the line if __name__ == '__main__':, and classes and functions above it"
            ) from None
        raise TaskError(f"the other process ended with status {process.exitcode} and without a result") from None
    finally:
        receiver.close()
        process.join()
    if not returned:
        raise value
    result: _Result = value
    return result


def load_portable(content: bytes) -> Any:
    """Unpickle something in the other process.

    Raises:
        TaskError: A class or function in it cannot be imported there.
    """
    try:
        return pickle.loads(content)
    except (AttributeError, ImportError) as error:
        raise TaskError(
            f"another process cannot import it ({error}); define it at the top level of its module, above "
            "if __name__ == '__main__':"
        ) from error


def _answer(
    sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Send whether a function returned, and its result or its error."""
    try:
        answer = True, function(*arguments, **named)
    except Exception as error:
        answer = False, error
    try:
        sender.send(answer)
    except Exception as error:  # not every error can be pickled
        sender.send((False, TaskError(f"{type(answer[1]).__name__}: {answer[1]} ({error})")))


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
