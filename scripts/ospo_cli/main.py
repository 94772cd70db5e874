"""The command ``ospo``: one word for each program. A program's module is imported only when it is called."""

import importlib
import sys

__all__ = ["PROGRAMS", "main"]

PROGRAMS = {
    "prepare": "prepare a data set: ESCI, H&M, tables of your own, BEIR",
    "train": "train a rewriting policy: OSPO, or a baseline",
    "train-sb3": "train a Stable-Baselines3 agent on the same tasks",
    "evaluate": "evaluate policies under retrievers",
    "explain": "explain which segments of a rewrite earned the reward",
    "report": "write a run's report as one HTML page",
    "study": "run the study behind docs/RESULTS.md",
    "benchmark": "run the benchmark behind docs/PERFORMANCE.md",
    "make-official-size": "write synthetic files of the official sizes",
}


def main() -> None:
    """Run the program that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        width = max(map(len, PROGRAMS))
        print("usage: ospo PROGRAM ...\n")
        print("\n".join(f"  {program:<{width}}  {what}" for program, what in PROGRAMS.items()))
        return
    if name not in PROGRAMS:
        sys.exit(f"error: unknown program {name!r}; see ospo --help")
    from ospo_cli._cli import run

    sys.argv = [f"ospo {name}", *sys.argv[2:]]
    run(importlib.import_module(f"ospo_cli.{name.replace('-', '_')}").main)
