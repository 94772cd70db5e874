"""Line charts of a page as places in percent: rewards with intervals, and all else that was logged. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ospo_agents.training.curves import panels
from ospo_cli._report.axes import Axis
from ospo_cli._report.curves import Curve, rewards, step_bands

__all__ = ["Chart", "Mark", "Series", "logged_charts", "reward_chart"]

_MOST_POINTS = 400  # of a line; a figure is not wider


class Mark(NamedTuple):
    """A dot with its interval, in percent from the left and from the top; the ends are None where none is known."""

    x: float
    y: float
    low: float | None
    high: float | None


class Series(NamedTuple):
    """Lines, areas and dots of one colour.

    Attributes:
        label: Its label.
        line: Points of its thick line, as SVG writes them; empty for none.
        thin: Points of thin lines.
        bands: Points of areas.
        marks: Dots with intervals.
    """

    label: str
    line: str = ""
    thin: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


class Chart(NamedTuple):
    """A chart against steps.

    Attributes:
        title: Its title.
        x: Axis of the steps.
        y: Axis of the values.
        series: Its lines, areas and dots.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]


def reward_chart(curves: Sequence[Curve], metric: str) -> Chart:
    """Learning curves: a run alone has its steps with bands and blocks with intervals, several have their mean."""
    steps = [step for curve in curves for run in curve.runs for step, _ in rewards(run)]
    values = [0.0, *(value for curve in curves for run in curve.runs for _, value in rewards(run))]
    bounds = [point.reward.high for curve in curves for point in curve.points]
    x, y = Axis.over([0, *steps], 5, whole=True), Axis.over([*values, *bounds])  # intervals are cut at the axis' foot
    return Chart(f"reward ({metric})", x, y, tuple(_series(curve, x, y) for curve in curves))


def logged_charts(rows: Sequence[Mapping[str, object]]) -> list[Chart]:
    """A small chart of each group of values that a learner logged."""
    charts = []
    for title, by_label in panels(rows).items():
        x = Axis.over([0, *(step for steps, _ in by_label.values() for step in steps)], 4, whole=True)
        y = Axis.over([value for _, values in by_label.values() for value in values], 3)
        series = [
            Series(label, _line(list(zip(steps, values, strict=True)), x, y))
            for label, (steps, values) in by_label.items()
        ]
        charts.append(Chart(title, x, y, tuple(series)))
    return charts


def _series(curve: Curve, x: Axis, y: Axis) -> Series:
    thin = tuple(_line(rewards(run), x, y) for run in curve.runs)
    if len(curve.runs) > 1:
        middles = [(point.middle, point.reward) for point in curve.points]
        band = _band([(middle, reward.low, reward.high) for middle, reward in middles], x, y)
        return Series(curve.label, _line([(middle, reward.value) for middle, reward in middles], x, y), thin, band)
    marks = tuple(
        Mark(
            x.at(point.middle),
            _top(y, point.reward.value),
            *(None if math.isnan(bound) else _top(y, max(bound, y.ticks[0])) for bound in point.reward[1:]),
        )
        for point in curve.points
    )
    bands = _band([(step, low, high) for (step, _), (low, high) in step_bands(curve.runs[0])], x, y)
    return Series(curve.label, "", thin, bands, marks)


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    every = math.ceil(len(points) / _MOST_POINTS)
    kept = [*points[:-1:every], *points[-1:]]
    if len(kept) == 1:
        kept *= 2  # a dot, with round ends
    return " ".join(f"{x.at(step):g},{_top(y, value):g}" for step, value in kept)


def _band(rows: Sequence[tuple[float, float, float]], x: Axis, y: Axis) -> tuple[str, ...]:
    """The area between two lines; none where a bound is unknown."""
    if any(math.isnan(low) for _, low, _ in rows):
        return ()
    below = _line([(step, max(low, y.ticks[0])) for step, low, _ in rows], x, y)
    above = _line([(step, min(high, y.ticks[-1])) for step, _, high in reversed(rows)], x, y)
    return (f"{below} {above}",)


def _top(axis: Axis, value: float) -> float:
    return round(100 - axis.at(value), 2)
