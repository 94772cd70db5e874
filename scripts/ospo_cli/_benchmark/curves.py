"""Growth of the cost with coalitions, rollouts, pool size and corpus size, each at most linear."""

import dataclasses
import io
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from envs_data import PreparedData
from envs_data.documents import Documents
from envs_data.files import write_atomically
from ospo_cli._benchmark.rows import Row, interleaved
from ospo_cli._benchmark.work import Rollouts, fresh_task, make_rollouts, open_data
from ospo_env.task import RetrievalTask

__all__ = ["Curves", "curve_rows", "draw_costs"]

Curves = dict[str, dict[str, tuple[list[int], list[float]]]]
"""By quantity that grows and by retriever: its values, and the milliseconds at each."""

Works = list[tuple[RetrievalTask, Rollouts]]
_RETRIEVERS = ("bm25", "lsa")


def curve_rows(arguments: Namespace) -> tuple[list[Row], Curves]:
    """Rows of the exponent of growth (1 is linear, 0 flat), and the curves: milliseconds of one call of the engine."""
    data = open_data(None)
    scale = 2 if arguments.quick else 8
    curves: Curves = {}
    for name in _RETRIEVERS:
        task = fresh_task(data, name)
        players = [4, 6, 8, 10] if arguments.quick else [4, 6, 8, 10, 12, 14]
        games = [make_rollouts(task, 1, 1, [n], "shapley") for n in players]
        _add(curves, "coalitions", name, [2**n for n in players], data, games, arguments)
        groups = [scale * 2**k for k in range(5)]
        batches = [make_rollouts(task, 8, group, [10]) for group in groups]
        _add(curves, "rollouts", name, [8 * group for group in groups], data, batches, arguments)
        sizes = [50, 100, 200, 400, 800]
        few = make_rollouts(task, 4, 4, [10])
        _grow(curves, "pool size", name, sizes, [_with_pools(data, size) for size in sizes], few, arguments)
        totals = [data.documents.height * factor for factor in ((1, 2, 4) if arguments.quick else (1, 2, 4, 8, 16))]
        _grow(curves, "corpus size", name, totals, [_with_documents(data, total) for total in totals], few, arguments)
    rows = []
    for what, series in curves.items():
        exponents = {name: _exponent(*points) for name, points in series.items()}
        details = {name: dict(zip(values, times, strict=True)) for name, (values, times) in series.items()}
        work = f"growth of cost with {what} ({', '.join(series)}), exponent at the upper end"
        rows.append(Row(work, "<= 1 (linear), up to noise", max(exponents.values()), "", most=1.15, details=details))
    return rows, curves


def _add(
    curves: Curves,
    what: str,
    name: str,
    values: list[int],
    data: PreparedData,
    works: Sequence[Rollouts],
    arguments: Namespace,
) -> None:
    tasks = [fresh_task(data, name) for _ in works]
    _time(curves, what, name, values, list(zip(tasks, works, strict=True)), arguments)


def _grow(
    curves: Curves,
    what: str,
    name: str,
    values: list[int],
    data: Sequence[PreparedData],
    rollouts: Rollouts,
    arguments: Namespace,
) -> None:
    _time(curves, what, name, values, [(fresh_task(one, name), rollouts) for one in data], arguments)


def _time(curves: Curves, what: str, name: str, values: list[int], works: Works, arguments: Namespace) -> None:
    for task, rollouts in works:
        rollouts.worths(task)
    seconds = interleaved([partial(rollouts.worths, task) for task, rollouts in works], arguments.repeats)
    curves.setdefault(what, {})[name] = (values, [1000 * second for second in seconds])


def _exponent(values: Sequence[int], milliseconds: Sequence[float]) -> float:
    """The slope on doubly logarithmic axes between the middle and the last point."""
    middle = len(values) // 2
    return float(np.log(milliseconds[-1] / milliseconds[middle]) / np.log(values[-1] / values[middle]))


def _with_pools(data: PreparedData, size: int) -> PreparedData:
    """The same queries on pools of another size: their judged documents, and others at random."""
    rng = np.random.default_rng(0)
    judged = dict(data.qrels.group_by("query_id").agg("doc_row").iter_rows())
    pools = []
    for query_id in data.queries["query_id"]:
        first = judged[query_id][:size]
        others = np.setdiff1d(rng.choice(data.documents.height, 2 * size, replace=False), first)
        pools.append(sorted([*first, *others[: size - len(first)].tolist()]))
    return dataclasses.replace(data, pools=data.pools.with_columns(doc_rows=pl.Series(pools, dtype=pl.List(pl.UInt32))))


def _with_documents(data: PreparedData, total: int) -> PreparedData:
    """The same pools in a corpus of more documents, copies of its own."""
    copies = -(-total // data.documents.height)
    return dataclasses.replace(data, documents=Documents(pl.concat([data.documents.frame] * copies).head(total)))


def draw_costs(curves: Mapping[str, Mapping[str, tuple[list[int], list[float]]]], path: Path) -> None:
    """One panel for each thing that grows; a dashed line is linear growth."""
    figure = Figure(figsize=(4.0 * len(curves), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (what, series) in zip(np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True):
        for name, (values, milliseconds) in series.items():
            axes.plot(values, milliseconds, marker="o", label=name)
        low = min(milliseconds[0] for _, milliseconds in series.values())
        axes.plot(values, [low * value / values[0] for value in values], "k--", linewidth=0.8, label="linear")
        axes.set(xscale="log", yscale="log", xlabel=what, ylabel="milliseconds of CPU time a call")
        axes.set_xticks(values, [f"{value:,}" for value in values], fontsize="x-small", rotation=30)
        ticks = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
        axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(0.5 * low, 2 * max(max(milliseconds) for _, milliseconds in series.values()))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_atomically(path, stream.getvalue())
