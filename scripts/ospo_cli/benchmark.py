"""Measure the engine beside the published procedure, and print target and measurement side by side.

Times are of this process's CPU, on one thread unless told otherwise, the least of several rounds in which the things
compared run in turn. The reference (`_benchmark/reference.py`) is timed on a random sample of its coalitions and scaled
to all of them; the JSON says how many. Training rows read the trainer's own clock.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._benchmark.plan import ENGINES, LANGUAGE_MODEL, LEAST_STEPS, NEED_MODEL, REAL_SIZE, ROWS, SERVE
from ospo_cli._cli import Parser, command_line
from ospo_cli._outputs import check_directory

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--quick --only games lexical",
    "--data runs/data/hm --model DIR --out runs/benchmark",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("benchmark", description=__doc__, examples=_EXAMPLES)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ROWS,
        metavar="ROWS",
        help=f"rows to measure, of {', '.join(ROWS)} (default: all but language-model, engines, serve and real-size)",
    )
    parser.add_argument("--data", type=Path, help="prepared directory for bm25 and lsa (default: the embedded sample)")
    parser.add_argument(
        "--dense-data", type=Path, help="prepared directory for dense rows (default: the embedded sample)"
    )
    parser.add_argument("--model", type=Path, help="directory of a sentence-transformers model, for dense rows")
    parser.add_argument(
        "--policy", type=Path, help="directory of a causal language model, for the rows language-model and serve"
    )
    parser.add_argument("--bf16", action="store_true", help="measure the dense retriever in bfloat16 too")
    parser.add_argument(
        "--scratch", type=Path, help="new directory for the 8 GB of files of real-size, which stay there"
    )
    parser.add_argument(
        "--out", type=Path, help="directory to write benchmark.json, benchmark.md and benchmark.png into"
    )
    parser.add_argument(
        "--training-steps", type=int, help="training steps of the rows price and warm (default: 40 and 100)"
    )
    parser.add_argument("--threads", type=int, default=1, help="number of threads of linear algebra and of the encoder")
    parser.add_argument("--quick", action="store_true", help="measure smaller sizes in one round, to try the command")
    arguments = parser.parse_args(argv)
    if arguments.threads < 1:
        raise AgentError(f"--threads: expected at least 1, got {arguments.threads}")
    if arguments.training_steps is not None and arguments.training_steps < LEAST_STEPS:
        raise AgentError(f"--training-steps: expected at least {LEAST_STEPS}, got {arguments.training_steps}")
    check_directory("--out", arguments.out)
    arguments.prompts, arguments.group = (2, 2) if arguments.quick else (8, 8)
    arguments.repeats, arguments.sample = (1, 4) if arguments.quick else (5, 48)
    left_out = (REAL_SIZE, ENGINES, LANGUAGE_MODEL, SERVE, *(() if arguments.model is not None else NEED_MODEL))
    arguments.only = arguments.only or [name for name in ROWS if name not in left_out]
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Measure, print, write."""
    arguments = parse(argv)
    from ospo_cli._benchmark.measure import measure  # slow to import, and not needed for --help

    measure(arguments, command_line("benchmark", argv))
