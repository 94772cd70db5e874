"""Measure the engine beside the published procedure, and print target and measurement side by side.

python scripts/benchmark.py --data runs/data/hm --model DIR --out runs/benchmark

Times are of this process's CPU, on one thread unless told otherwise, the least of several rounds in which the things
compared run in turn. The reference (`_benchmark/reference.py`) is timed on a random sample of its coalitions and scaled
to all of them; the JSON says how many. Training rows read the trainer's own clock.
"""

import json
import platform
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from envs_data.files import write_atomically
from ospo_agents import AgentError
from ospo_cli._benchmark.curves import Curves, curve_rows, draw_costs
from ospo_cli._benchmark.engine import dense_rows, game_rows, lexical_rows
from ospo_cli._benchmark.environments import environment_rows
from ospo_cli._benchmark.real_size import real_size_rows
from ospo_cli._benchmark.report import markdown, spoken
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.training import LEAST_STEPS, price_rows, warm_rows
from ospo_cli._cli import Parser

__all__ = ["main"]

_CURVES = "curves"
_REAL_SIZE = "real-size"  # a quarter of an hour and 8 GB of disk: only when it is asked for
_ROWS: dict[str, Callable[[Namespace], list[Row]]] = {
    "games": game_rows,
    "environments": environment_rows,
    "lexical": lexical_rows,
    "dense": dense_rows,
    "warm": warm_rows,
    "price": price_rows,
    _REAL_SIZE: real_size_rows,
}
_NEED_MODEL = ("dense", "warm")
_PACKAGES = ("ospo", "numpy", "scipy", "gymnasium", "torch", "shapiq")


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser(prog="benchmark.py", description=__doc__)
    rows = (*_ROWS, _CURVES)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=rows,
        metavar="ROWS",
        help=f"rows to measure, of {', '.join(rows)} (default: all but real-size)",
    )
    parser.add_argument("--data", type=Path, help="prepared directory for bm25 and lsa (default: the embedded sample)")
    parser.add_argument("--dense-data", type=Path, help="prepared directory for dense rows (default: embedded sample)")
    parser.add_argument("--model", type=Path, help="directory of a sentence-transformers model, for dense rows")
    parser.add_argument("--bf16", action="store_true", help="measure the dense retriever in bfloat16 too")
    parser.add_argument("--scratch", type=Path, help="new directory for real-size's files, 8 GB, which stay there")
    parser.add_argument("--out", type=Path, help="directory for benchmark.json, benchmark.md and benchmark.png")
    parser.add_argument("--training-steps", type=int, help="of the rows price and warm (default: 40 and 100)")
    parser.add_argument("--threads", type=int, default=1, help="threads of linear algebra and encoder")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one round: a test of the command itself")
    arguments = parser.parse_args(argv)
    if arguments.threads < 1:
        raise AgentError(f"--threads: expected at least 1, got {arguments.threads}")
    if arguments.training_steps is not None and arguments.training_steps < LEAST_STEPS:
        raise AgentError(f"--training-steps: expected at least {LEAST_STEPS}, got {arguments.training_steps}")
    arguments.prompts, arguments.group = (2, 2) if arguments.quick else (8, 8)
    arguments.repeats, arguments.sample = (1, 4) if arguments.quick else (5, 48)
    left_out = (_REAL_SIZE, *(() if arguments.model is not None else _NEED_MODEL))
    arguments.only = arguments.only or [name for name in rows if name not in left_out]
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Measure, print, write."""
    arguments = parse(argv)
    if "torch" in sys.modules or arguments.model is not None:
        import torch

        torch.set_num_threads(arguments.threads)
    found: list[Row] = []
    curves: Curves = {}
    with threadpool_limits(limits=arguments.threads):
        for name in arguments.only:
            if name == _CURVES:
                rows, curves = curve_rows(arguments)
            else:
                rows = _ROWS[name](arguments)
            for row in rows:
                print(spoken(row), flush=True)
            found += rows
    if arguments.out is not None:
        _write(arguments, found, curves)


def _write(arguments: Namespace, rows: Sequence[Row], curves: Curves) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", *sys.argv])
    content = {
        "command": command,
        "machine": {"processor": platform.processor() or platform.machine(), "system": platform.platform()},
        "versions": {name: version(name) for name in _PACKAGES},
        "rows": [row.as_json() for row in rows],
    }
    write_atomically(arguments.out / "benchmark.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(arguments.out / "benchmark.md", markdown(rows, command).encode())
    if curves:
        draw_costs(curves, arguments.out / "benchmark.png")
