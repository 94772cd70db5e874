"""A run's log as one picture."""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ospo_agents.files import write_atomically
from ospo_agents.training.run_directory import EVALUATED, METRIC

__all__ = ["draw_curves", "panels"]

_METRIC_PANEL = "metric of rollouts"
# Title -> logged name -> label. Panels without a logged name are left out.
_PANELS: dict[str, dict[str, str]] = {
    "reward": {"reward": "mean", "reward_std": "standard deviation"},
    _METRIC_PANEL: {METRIC: "mean"},
    "reward of greedy rewrites, validation": {EVALUATED: "mean"},
    "loss": {"loss": "loss"},
    "entropy (nats a token)": {"entropy": "policy"},
    "length (tokens)": {"completions/mean_length": "mean"},
    "segments a rollout": {"segments": "mean"},
    "credit spread": {"credit_spread": "standard deviation"},
    "KL to the warm start": {"kl": "mean a token"},
    "malformed completions": {"malformed": "share"},
    "rewrites (share)": {"distinct_rewrites": "distinct over queries", "empty_rewrites": "empty"},
    "greedy rewrites, validation (share)": {
        "eval_distinct_rewrites": "distinct over queries",
        "eval_empty_rewrites": "empty",
    },
    "words that no document has (share)": {"unknown_words": "rollouts", "eval_unknown_words": "greedy, validation"},
    "preference accuracy": {"rewards/accuracies": "chosen above rejected"},
    "preference margin": {"rewards/margins": "chosen less rejected"},
    "token accuracy": {"mean_token_accuracy": "mean"},
    "evaluations since the start": {
        "evaluations/asked": "asked",
        "evaluations/distinct": "distinct",
        "evaluations/cached": "cached",
    },
}
_TIMES = {"time/generation": "generation", "time/scoring": "scoring", "time/credit": "credit", "time/update": "update"}
_TOTAL_TIME = {"step_time": "step"}
_COLUMNS = 3
_CELL = (4.2, 2.8)  # inches of a panel
_MARGINS = (0.75, 0.45, 0.1, 0.3)  # inches around its axes: left, bottom, right, top
_HEAD = 0.2  # inches of the title


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str, metric: str) -> None:
    """Draw what was logged against steps, and write a PNG file, all of it or nothing.

    Args:
        rows: Rows of the log.
        path: The file.
        title: Title of the picture.
        metric: Name of the metric that is the reward.
    """
    shown = panels(rows)
    figure, places = _axes(len(shown) + 1, title)
    for axes, (name, series) in zip(places, shown.items(), strict=False):
        is_other = name == "reward" and _METRIC_PANEL in shown
        is_metric = name.startswith(("reward", "metric")) and not is_other
        axes.set_title(f"{name} ({metric})" if is_metric else name, fontsize="medium", y=1.0)
        for label, (steps, values) in series.items():
            axes.plot(steps, values, linewidth=1.2, marker="." if len(steps) == 1 else None, label=label)
        if name.startswith("evaluations"):
            axes.set_yscale("symlog")  # asked are many more than scored
    _draw_times(places[-1], rows)
    for axes in places:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("step", fontsize="small")
        axes.tick_params(labelsize="small")
        axes.grid(visible=True, alpha=0.3)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(fontsize="small")
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)  # type: ignore[no-untyped-call]  # draws once; savefig draws twice
    write_atomically(path, stream.getvalue())


def panels(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Series to draw: title -> label -> steps and values, without those that were never logged."""
    series_of = {
        title: {label: _series(rows, name) for name, label in names.items() if _series(rows, name)[0]}
        for title, names in _PANELS.items()
    }
    return {title: series for title, series in series_of.items() if series}


def _axes(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure with so many axes, at fixed places in inches: to fit them to their labels takes longer than to draw."""
    rows = -(-count // _COLUMNS)
    width, height = _CELL[0] * _COLUMNS, _CELL[1] * rows + _HEAD
    figure = Figure(figsize=(width, height), dpi=110)
    figure.suptitle(title, y=1 - _HEAD / 3 / height)
    left, bottom, right, top = _MARGINS
    size = ((_CELL[0] - left - right) / width, (_CELL[1] - bottom - top) / height)
    corners = [
        ((column * _CELL[0] + left) / width, (row * _CELL[1] + bottom) / height)
        for row in reversed(range(rows))
        for column in range(_COLUMNS)
    ]
    return figure, [figure.add_axes((*corner, *size)) for corner in corners[:count]]


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Steps at which a name was logged, and its values there."""
    points = [(row["step"], row[name]) for row in rows if name in row and _is_finite(row[name]) and _of_step(row)]
    return [step for step, _ in points], [value for _, value in points]


def _of_step(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a step or of an evaluation, not a summary of the whole run."""
    return "loss" in row or EVALUATED in row


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _draw_times(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Time of each step by stage, stacked; the total where the learner does not tell stages apart."""
    axes.set_title("seconds a step", fontsize="medium", y=1.0)
    stages = {label: _series(rows, name) for name, label in _TIMES.items()}
    steps = stages["generation"][0]
    if steps and all(series[0] == steps for series in stages.values()):
        axes.stackplot(steps, [values for _, values in stages.values()], labels=list(stages), alpha=0.8)
        return
    total = {label: _series(rows, name) for name, label in _TOTAL_TIME.items()}
    if not total["step"][0]:  # DPO and SFT log no times: take the clock
        steps, clock = _series(rows, "seconds")
        total["step"] = (steps[1:], [after - before for before, after in pairwise(clock)])
    axes.plot(*total["step"], linewidth=1.2, label="step")
