"""Tables of the true advantages of phrases and separators against what schemes lay there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_cli._study.plan import TRAINED_ON
from ospo_cli._study.tables import markdown
from ospo_env.evaluation.intervals import Interval, interval

__all__ = ["corrected_correlation", "true_advantages"]

BASELINE = "grpo"
_RESAMPLES = 2_000

_Array = NDArray[np.float64]


def corrected_correlation(laid: _Array, true: _Array, noise: _Array, cluster: NDArray[np.int64]) -> Interval:
    """Correlation of what is laid with the true advantage, were it measured without noise; clusters are resampled.

    The variance of the true advantage is that of its estimates less the mean variance of their noise.

    Args:
        laid: float (K,).
        true: Estimates, float (K,).
        noise: Variance of each estimate, float (K,).
        cluster: Query of each, int (K,), which is resampled as a whole.

    >>> x = np.array([0.0, 1.0, 2.0, 3.0])
    >>> round(corrected_correlation(x, x, np.zeros(4), np.arange(4)).value, 6)
    1.0
    """
    products = np.stack([np.ones_like(laid), laid, true, laid**2, laid * true, true**2, noise])
    numbers = np.unique(cluster, return_inverse=True)[1]
    sums = np.stack([np.bincount(numbers, product) for product in products], axis=1)

    def correlation(rows: NDArray[np.int64]) -> float:
        count, x, d, xx, xd, dd, spread = sums[rows].sum(axis=0)
        signal = dd / count - (d / count) ** 2 - spread / count
        varied = xx / count - (x / count) ** 2
        if signal <= 0 or varied <= 1e-12:
            return float("nan")
        return float((xd / count - x * d / count**2) / np.sqrt(varied * signal))

    return interval(correlation, len(sums), _RESAMPLES)


def true_advantages(task: str, reports: Sequence[Mapping[str, Any]]) -> str:
    """Two tables, of words and of separators: correlation with the true advantage, and sizes.

    Schemes that lay what GRPO lays have no row of their own.

    Args:
        task: Name of the task.
        reports: Reports of :func:`ospo_cli._study.true_advantage.measure_true_advantages`, one a seed.
    """
    steps = reports[0]["steps"]
    policy = f"after {steps} steps of OSPO" if steps else "the warm start"
    settings = reports[0]["settings"]
    made = []
    for kind, what in (("words", "Segments"), ("separators", "Separators and ends")):
        true, noise = (_joined(reports, kind, name) for name in ("true", "noise"))
        cluster = np.concatenate(
            [1_000_000 * number + np.array(report[kind]["query"]) for number, report in enumerate(reports)]
        )
        repeat = _joined(reports, kind, "repeat").astype(bool) if kind == "words" else None
        size = float(np.sqrt(max(np.mean(true**2) - noise.mean(), 0.0)))
        head = ["advantage", "correlation", "root mean square"]
        first: list[object] = ["true", "", f"{size:.2f}"]
        if repeat is not None:
            head += ["mean on first phrases", "mean on repeats"]
            first += _means(true, repeat)
        rows = [first]
        everywhere = {
            name: np.concatenate([np.array(report[kind]["laid"][name]) for report in reports])
            for name in reports[0][kind]["laid"]
        }
        for name, laid in everywhere.items():
            if name != BASELINE and np.array_equal(laid, everywhere[BASELINE]):
                continue
            alone = kind == "words" or name != BASELINE
            row: list[object] = [name if alone else f"{name}, and whatever is not named"]
            row.append(_shown(corrected_correlation(laid, true, noise, cluster)))
            row.append(f"{np.sqrt(np.mean(laid**2)):.2f}")
            if repeat is not None:
                row += _means(laid, repeat)
            rows.append(row)
        title = (
            f"{what}: true advantage by {settings['continuations']} continuations, in units of A; {task}, {policy}, "
            f"{len(reports)} seeds, {TRAINED_ON}, {len(true):,} places of {len(np.unique(cluster))} queries"
        )
        made.append(markdown(title, head, rows))
    return "\n".join(made)


def _shown(correlation: Interval) -> str:
    """The correlation, where the true advantage can be told from noise in nearly all samples of queries."""
    return "no signal" if np.isnan(correlation).any() else str(correlation)


def _joined(reports: Sequence[Mapping[str, Any]], kind: str, name: str) -> _Array:
    return np.concatenate([np.array(report[kind][name], dtype=np.float64) for report in reports])


def _means(values: _Array, repeat: NDArray[np.bool_]) -> list[object]:
    return [f"{values[chosen].mean():+.2f}" if chosen.any() else "" for chosen in (~repeat, repeat)]
