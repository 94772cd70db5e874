"""The command ``ospo`` in the tests' own process: the exit code and the output of a process, without its imports."""

import io
import sys
import warnings
from typing import NamedTuple

from ospo_cli._cli import run
from ospo_cli.main import _main


class Done(NamedTuple):
    """What a program left, named as in ``subprocess``."""

    returncode: int
    stdout: str
    stderr: str


def ospo(*arguments):
    """Run ``ospo`` with these arguments; its streams are no terminals."""
    earlier, pipes = (sys.stdout, sys.stderr), (io.BytesIO(), io.BytesIO())
    sys.stdout, sys.stderr = (io.TextIOWrapper(pipe, encoding="utf-8") for pipe in pipes)
    try:
        with warnings.catch_warnings():  # programs print warnings in their own way
            run(_main, [str(argument) for argument in arguments])
    except SystemExit as left:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return Done(left.code, *(pipe.getvalue().decode() for pipe in pipes))
    finally:
        sys.stdout, sys.stderr = earlier
