"""The benchmark: rows measured one after the other, printed as they come, and written."""

import json
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib.metadata import version

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from envs_data.files import write_atomically
from ospo_cli._benchmark.calls import call_rows
from ospo_cli._benchmark.credit import credit_rows
from ospo_cli._benchmark.curves import Curves, curve_rows, draw_costs
from ospo_cli._benchmark.engine import dense_rows, game_rows, lexical_rows
from ospo_cli._benchmark.engines import engine_rows
from ospo_cli._benchmark.environments import environment_rows
from ospo_cli._benchmark.estimators import estimator_rows
from ospo_cli._benchmark.language_model import lm_rows
from ospo_cli._benchmark.plan import CURVES, ENGINES, LANGUAGE_MODEL, REAL_SIZE, SERVE
from ospo_cli._benchmark.real_size import real_size_rows
from ospo_cli._benchmark.report import markdown, terminal_row
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.serve import serve_rows
from ospo_cli._benchmark.training import price_rows, warm_rows
from ospo_cli._terminal import say

__all__ = ["measure"]

_MEASURES: dict[str, Callable[[Namespace], list[Row]]] = {
    "games": game_rows,
    "estimators": estimator_rows,
    "calls": call_rows,
    "environments": environment_rows,
    "lexical": lexical_rows,
    "dense": dense_rows,
    "warm": warm_rows,
    "price": price_rows,
    "credit": credit_rows,
    LANGUAGE_MODEL: lm_rows,
    ENGINES: engine_rows,
    SERVE: serve_rows,
    REAL_SIZE: real_size_rows,
}
_PACKAGES = ("ospo", "numpy", "scipy", "gymnasium", "torch", "shapiq")


def measure(arguments: Namespace, command: str) -> None:
    """Measure the rows, print them, write the files.

    Args:
        arguments: As ``ospo benchmark`` parses them.
        command: The command line, for the files.
    """
    if "torch" in sys.modules or arguments.model is not None:
        import torch

        torch.set_num_threads(arguments.threads)
    measured: list[Row] = []
    curves: Curves = {}
    with threadpool_limits(limits=arguments.threads):
        for name in arguments.only:
            if name == CURVES:
                rows, curves = curve_rows(arguments)
            else:
                rows = _MEASURES[name](arguments)
            for row in rows:
                say(terminal_row(row))
            measured += rows
    if arguments.out is not None:
        _write(arguments, command, measured, curves)


def _write(arguments: Namespace, command: str, rows: Sequence[Row], curves: Curves) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
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
