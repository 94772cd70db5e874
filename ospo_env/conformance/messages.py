"""Names of clauses, counter-examples in words, and the error that carries both: shared by the two conformance kits."""

from collections.abc import Callable
from typing import Any, TypeVar

from envs_data.errors import one_line
from ospo_env.conformance.other_process import MainGuardError
from ospo_env.errors import TaskError

__all__ = ["ConformanceError", "clause", "clause_table", "quoted", "raise_if_broken"]

_Check = TypeVar("_Check", bound=Callable[..., str | None])
_names: dict[Callable[..., Any], str] = {}


class ConformanceError(TaskError):
    """A retriever or an environment breaks a clause of its contract.

    Attributes:
        clause: The clause's name, a key of ``CLAUSES`` or of ``ENV_CLAUSES``.
    """

    def __init__(self, what: str, clause: str, counterexample: str) -> None:
        super().__init__(f"{what} breaks the clause {clause!r}: {one_line(counterexample, 400)}")
        self.clause = clause


def clause(name: str) -> Callable[[_Check], _Check]:
    """Decorator: the public name of the clause that a function checks.

    The function searches for a counter-example, and returns it in words, or ``None``. Its docstring states the clause.
    """

    def named(check: _Check) -> _Check:
        _names[check] = name
        return check

    return named


def clause_table(*checks: _Check) -> dict[str, _Check]:
    """Checks by the names of their clauses, in the order of the arguments."""
    return {_names[check]: check for check in checks}


def raise_if_broken(what: str, clause: str, check: Callable[[], str | None]) -> None:
    """Run a check of a clause.

    Args:
        what: The retriever or environment, for the message.
        clause: The clause's name.
        check: Returns a counter-example in words, or ``None``.

    Raises:
        ConformanceError: The check found a counter-example, or raised an exception.
        MainGuardError: A script called the kit without a main guard.
    """
    try:
        counterexample = check()
    except (KeyboardInterrupt, MainGuardError):
        raise
    except BaseException as error:  # the code under test may raise anything, SystemExit included
        raise ConformanceError(what, clause, f"it raises {type(error).__name__}: {error}") from error
    if counterexample is not None:
        raise ConformanceError(what, clause, counterexample)


def quoted(text: str) -> str:
    """A text in quotes for a message, cut to 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
