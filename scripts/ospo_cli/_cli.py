"""Shared by all programs: arguments, output, and errors as the person who typed the command sees them.

Nothing that is slow to import is imported here, so that ``--help`` answers at once; :mod:`ospo_cli._tasks` opens tasks.
"""

import argparse
import difflib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ospo_cli._terminal import prepare_streams, say_error, settle_streams

__all__ = ["EXTRAS", "MAX_WORDS_HELP", "Parser", "command_line", "path_text", "retriever_names", "run"]

MAX_WORDS_HELP = "words of a rewrite that count (default: the environment's own cap)"

EXTRAS = {
    "accelerate": "agents",
    "datasets": "agents",
    "jinja2": "agents",
    "matplotlib": "agents",
    "peft": "agents",
    "stable_baselines3": "agents",
    "torch": "agents",
    "transformers": "agents",
    "trl": "agents",
    "gguf": "models",
    "ir_datasets": "irds",
    "sentence_transformers": "dense",
    "openai": "endpoint",
    "openenv": "openenv",
    "fastapi": "serve",
    "prometheus_client": "serve",
    "uvicorn": "serve",
}
"""Modules that the base install lacks, and the extra that brings each."""


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that keeps the description's lines and shows defaults, but for those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser with examples in its help and errors of one line.

    Args:
        program: The program's name as ``ospo`` knows it; none for a part of another parser.
        examples: Arguments of example commands, a line each; the help shows them after the program's name.
        settings: Passed on to :class:`argparse.ArgumentParser`.
    """

    def __init__(self, program: str | None = None, *, examples: Sequence[str] = (), **settings: Any) -> None:
        if program is not None:
            settings["prog"] = _program_name(program)
        super().__init__(**{"formatter_class": _Formatter, **settings})
        if examples:
            lines = ["examples:", *(f"  {_as_typed(self.prog)} {example}" for example in examples)]
            self.epilog = "\n".join([*([self.epilog, ""] if self.epilog else []), *lines])

    def parse_args(  # type: ignore[override]  # argparse overloads it for other namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse all arguments; an unknown option is an error that names the nearest known one."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown)}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with exit code 2."""
        from ospo_env.rendering import terminal_line

        see = " See" if message.endswith("?") else "; see"
        self.exit(2, f"error: {terminal_line(message)}{see} {_as_typed(self.prog)} --help\n")

    def _hint(self, unknown: Sequence[str]) -> str:
        options = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        near = difflib.get_close_matches(options[0], list(_options(self)), n=1) if options else []
        return f"; did you mean {near[0]}?" if near else ""


def path_text(text: str) -> str:
    """A path as ``run.json`` holds it, as ``type=`` of an argument."""
    return os.fspath(Path(text))


def retriever_names(text: str) -> list[str]:
    """Names separated by commas, as ``type=`` of an argument.

    >>> retriever_names("bm25, lsa")
    ['bm25', 'lsa']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def command_line(program: str, argv: Sequence[str] | None) -> str:
    """The command that runs a program with these arguments, as a shell takes it.

    Args:
        program: The program's name as ``ospo`` knows it.
        argv: The arguments; ``None`` for those of the command line.
    """
    arguments = sys.argv[1:] if argv is None else argv
    return f"{_as_typed(_program_name(program))} {shlex.join(arguments)}".rstrip()


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> NoReturn:
    """Run a program and leave with its exit code: 0, 1 for a fault of its own, 2 for bad input, 130 when interrupted.

    Args:
        main: The program's main function, which takes the arguments.
        argv: Arguments; ``None`` for those of the command line.
    """
    prepare_streams()
    try:
        try:
            main(argv)
        finally:
            settle_streams()
    except KeyboardInterrupt:
        say_error("interrupted")
        sys.exit(130)
    except Exception as error:
        message = _message(error)
        say_error(traceback.format_exc() if message is None else f"error: {message}")
        sys.exit(1 if message is None else 2)
    sys.exit(0)


def _message(error: Exception) -> str | None:
    """Text to print for an error that the user can act on; ``None`` for any other error."""
    from envs_data import DataError, FileFaults
    from ospo_agents import AgentError
    from ospo_env import RetrieverError, TaskError
    from ospo_env.rendering import terminal_line

    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        return None if extra is None else f"this needs the package {error.name}; pip install 'ospo[{extra}]' has it"
    if not isinstance(error, AgentError | DataError | TaskError | RetrieverError | OSError):
        return None
    lines = str(error).splitlines() if isinstance(error, FileFaults) else [str(error)]
    return "\n".join(map(terminal_line, lines))


def _program_name(program: str) -> str:
    """``ospo train``, or ``train.py`` where that script was started."""
    script = f"{program.replace('-', '_')}.py"
    return script if os.path.basename(sys.argv[0]) == script else f"ospo {program}"


def _as_typed(name: str) -> str:
    """A program's name as a command: scripts are started by Python."""
    script, _, rest = name.partition(" ")
    return f"python scripts/{script} {rest}".rstrip() if script.endswith(".py") else name


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The long options of a parser and of the parsers below it."""
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)
