"""Means, intervals and gains over the raw query, of policies x retrievers x metrics. Pure functions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ospo_env.evaluation.intervals import mean_interval
from ospo_env.evaluation.verdict import RESAMPLES, count_signs

__all__ = ["Values", "summarise"]

Metrics: TypeAlias = Mapping[str, NDArray[np.float64]]
"""By metric: float64 (Q,), a value in [0, 1] for each query."""

Values: TypeAlias = Mapping[str, Mapping[str, Metrics]]
"""By policy, retriever and metric; all arrays are of the same Q queries in the same order."""

_T = TypeVar("_T")


def summarise(values: Values, raw: Mapping[str, Metrics]) -> dict[str, dict[str, Any]]:
    """Means with 95 % intervals over queries, and paired gains over the raw query.

    Args:
        values: Values of all policies.
        raw: Values of the raw query, by retriever and metric.

    Returns:
        By policy, ``metrics`` (the means), ``intervals``, ``gains`` and ``signs`` (``wins``, ``ties``, ``losses`` and
        the ``p_value`` of a sign test), each by retriever and metric. An interval is ``[value, low, high]``; bounds are
        ``None`` for a single query, since JSON has no nan.
    """
    return {
        policy: {
            "metrics": _each(by_retriever, lambda retriever, metric, array: float(np.mean(array))),
            "intervals": _each(by_retriever, lambda retriever, metric, array: _interval(array)),
            "gains": _each(by_retriever, lambda retriever, metric, array: _interval(array - raw[retriever][metric])),
            "signs": _each(
                by_retriever, lambda retriever, metric, array: count_signs(array - raw[retriever][metric])._asdict()
            ),
        }
        for policy, by_retriever in values.items()
    }


def _each(
    by_retriever: Mapping[str, Metrics], measure: Callable[[str, str, NDArray[np.float64]], _T]
) -> dict[str, dict[str, _T]]:
    """A measure of the values under each retriever in each metric."""
    return {
        retriever: {metric: measure(retriever, metric, array) for metric, array in metrics.items()}
        for retriever, metrics in by_retriever.items()
    }


def _interval(values: NDArray[np.float64]) -> list[float | None]:
    return mean_interval(values, RESAMPLES).as_json()
