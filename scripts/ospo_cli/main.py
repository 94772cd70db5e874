"""The command ``ospo``: one word for each program. A program's module is imported only when it is called."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from ospo_cli._cli import run
from ospo_cli._terminal import say

__all__ = ["PROGRAMS", "main"]

PROGRAMS = {
    "prepare": "prepare a data set: ESCI, H&M, tables of your own, BEIR",
    "train": "train a rewriting policy: OSPO, or a baseline",
    "train-sb3": "train a Stable-Baselines3 agent on the same tasks",
    "evaluate": "evaluate policies under retrievers",
    "explain": "explain which segments of a rewrite earned the reward",
    "model": "write a pretrained model from a package of the package index",
    "serve": "serve a trained policy's rewrites over HTTP",
    "serve-env": "serve a task as an OpenEnv environment",
    "card": "write a model card for a trained policy, and upload it",
    "report": "write a run's report as one HTML page",
    "gpu-check": "check the learner on a GPU, and measure what credit costs there",
    "study": "run the study behind docs/RESULTS.md",
    "benchmark": "run the benchmark behind docs/PERFORMANCE.md",
    "make-official-size": "write synthetic files of the official sizes",
}

_EXAMPLES = ("train --preset demo --out runs/demo", "evaluate --env OSPO-ESCI-v0 --policy query runs/demo")


def main() -> NoReturn:
    """Run the program that the first argument names."""
    run(_main)


def _main(argv: Sequence[str] | None) -> None:
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        say(_help(), cleaned=True)
    elif name == "--version":
        from importlib.metadata import version

        say(f"ospo {version('ospo')}", cleaned=True)
    elif name in PROGRAMS:
        importlib.import_module(f"ospo_cli.{name.replace('-', '_')}").main(arguments)
    else:
        near = difflib.get_close_matches(name, PROGRAMS, n=1)
        hint = f"; did you mean {near[0]!r}? See" if near else "; see"
        sys.stderr.write(f"error: unknown program {name!r}{hint} ospo --help\n")
        sys.exit(2)


def _help() -> str:
    width = max(map(len, PROGRAMS))
    return "\n".join(
        [
            "usage: ospo PROGRAM ...",
            "       ospo PROGRAM --help",
            "       ospo --version",
            "",
            "Train and evaluate policies that rewrite search queries.",
            "",
            "programs:",
            *(f"  {program:<{width}}  {what}" for program, what in PROGRAMS.items()),
            "",
            "examples:",
            *(f"  ospo {example}" for example in _EXAMPLES),
        ]
    )
