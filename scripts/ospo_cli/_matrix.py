"""Tables and a plot of policies x retrievers, from the numbers that ``ospo_env.evaluation.summary`` makes."""

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ospo_cli._terminal import Table
from ospo_env.evaluation.intervals import Interval
from ospo_env.text import clean_text

__all__ = ["draw_policies", "policy_labels", "policy_tables"]

_SHOWN_BESIDE = ("RR", "R@10")


def policy_labels(summary: Mapping[str, Any]) -> dict[str, str]:
    """Labels of policies in tables and pictures: the name and, for a run, whether it is before or after learning."""
    return {name: name + (f" ({row['stage']})" if row["stage"] else "") for name, row in summary.items()}


def policy_tables(summary: Mapping[str, Any], labels: Mapping[str, str], metric: str) -> list[Table]:
    """Tables of the metric with intervals, of gains over the raw query in it and their signs, and of two others."""
    mean = "mean [95 % interval over queries]"
    tables = [_table(summary, labels, f"{metric}: {mean}", _interval_text("intervals", metric))]
    title = f"Gain over the raw query, {metric}"
    tables.append(_table(summary, labels, title, _interval_text("gains", metric), _gain_tone(metric)))
    if all("signs" in row for row in summary.values()):  # evaluations of earlier versions have none
        title = f"Win / tie / loss against the raw query, {metric} (p of a sign test)"
        tables.append(_table(summary, labels, title, lambda row, name: _signs_text(row["signs"][name][metric])))
    for other in (name for name in _SHOWN_BESIDE if name != metric):
        title = f"{'MRR' if other == 'RR' else other}: {mean}"
        tables.append(_table(summary, labels, title, _interval_text("intervals", other)))
    return tables


def _interval_text(kind: str, metric: str) -> Callable[[Mapping[str, Any], str], str]:
    return lambda row, name: str(Interval.of_json(row[kind][name][metric]))


def _gain_tone(metric: str) -> Callable[[Mapping[str, Any], str], str]:
    """Whether the interval of a gain lies above 0, below it, or neither."""

    def tone(row: Mapping[str, Any], name: str) -> str:
        gain = Interval.of_json(row["gains"][name][metric])
        return "" if math.isnan(gain.low) else "good" if gain.low > 0 else "bad" if gain.high < 0 else ""

    return tone


def _signs_text(signs: Mapping[str, Any]) -> str:
    return f"{signs['wins']} / {signs['ties']} / {signs['losses']} ({signs['p_value']:.2g})"


def _table(
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    title: str,
    cell: Callable[..., str],
    tone: Callable[..., str] = lambda row, name: "",
) -> Table:
    retrievers = list(next(iter(summary.values()))["metrics"])
    return Table(
        title,
        ("policy", *retrievers),
        tuple((labels[policy], *(cell(row, name) for name in retrievers)) for policy, row in summary.items()),
        tuple(("", *(tone(row, name) for name in retrievers)) for row in summary.values()),
        narrowest=22,
    )


def draw_policies(summary: Mapping[str, Any], labels: Mapping[str, str], metric: str, title: str) -> bytes:
    """The means of policies as dots with their intervals, a panel a retriever, as the bytes of a PNG file."""
    from matplotlib.figure import Figure

    retrievers: Sequence[str] = list(next(iter(summary.values()))["metrics"])
    figure = Figure(figsize=(2.6 + 3.2 * len(retrievers), 1.5 + 0.45 * len(summary)), layout="constrained")
    panels = figure.subplots(1, len(retrievers), sharex=True, sharey=True, squeeze=False)[0]
    places = np.arange(len(summary))
    for axes, name in zip(panels, retrievers, strict=True):
        intervals = [Interval.of_json(row["intervals"][name][metric]) for row in summary.values()]
        values, low, high = np.array(intervals).T
        axes.errorbar(values, places, xerr=np.nan_to_num([values - low, high - values]), fmt="o", color="#0072B2")
        first = next(iter(summary.values()))
        raw = first["metrics"][name][metric] - first["gains"][name][metric][0]
        axes.axvline(raw, color="#555555", linestyle="--", linewidth=1, label="raw query")
        axes.set_title(clean_text(name), fontsize=9, parse_math=False)  # a dollar is a dollar
        axes.set_xlabel(clean_text(metric), parse_math=False)
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    names = [textwrap.fill(clean_text(labels[policy])[-60:], 30) for policy in summary]
    panels[0].set_yticks(places, names, parse_math=False)
    panels[0].invert_yaxis()
    panels[-1].legend(fontsize=8, frameon=False, loc="best")
    figure.suptitle(clean_text(title), fontsize=9, parse_math=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()
