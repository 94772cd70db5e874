"""Ranges and sums of an evaluation's numbers, which anybody may have written or damaged."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_env.evaluation.verdict import EQUAL

__all__ = ["check_numbers"]


def check_numbers(evaluation: Mapping[str, Any], path: Path) -> None:
    """Check that an evaluation's numbers are in their ranges, and that means and signs are those of its queries.

    Args:
        evaluation: Content of the file, with all its fields and of their types.
        path: The file, for the message.

    Raises:
        AgentError: A number is out of its range, or contradicts others.
    """
    for fault in _faults(evaluation):
        raise AgentError(f"--evaluation: {path}: expected {fault}; evaluate again")


def _faults(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Numbers that were expected, each with the one in its place."""
    queries = evaluation["queries"]
    if isinstance(queries, bool) or not isinstance(queries, int) or queries < 1:
        yield f"a whole number of queries, at least 1, got {queries}"
    is_by_query = "query_ids" in evaluation  # evaluations of earlier versions have none
    for on, values in evaluation["raw_values"].items() if is_by_query else ():
        yield from _outside(values, 0, f"the raw query's values under {on:.80}")
    for name, row in evaluation["policies"].items():
        for on in row["metrics"]:
            where = f"of {name:.80} under {on:.80}"
            yield from _means_outside(row, on, where)
            if "signs" in row:
                yield from _wrong_signs(row["signs"][on][evaluation["metric"]], queries, where)
            if is_by_query:
                raw, values = (np.array(of[on], dtype=np.float64) for of in (evaluation["raw_values"], row["values"]))
                yield from _outside(row["values"][on], 0, f"values {where}")
                yield from _wrong_means(row, on, evaluation["metric"], values, raw, where)
        texts = sum(map(len, row["rewrites"])) if is_by_query and row["rewrites"] is not None else queries
        for count in ("malformed", "completions_cut"):
            if row.get(count, 0) > texts:
                yield f"{count} of {name:.80} as at most {texts}, which is the number of rewrites, got {row[count]}"


def _means_outside(row: Mapping[str, Any], on: str, where: str) -> Iterator[str]:
    for metric, mean in row["metrics"][on].items():
        yield from _outside([mean, *row["intervals"][on][metric]], 0, f"{metric:.80} {where}")
        yield from _outside(row["gains"][on][metric], -1, f"gains in {metric:.80} {where}")


def _wrong_signs(signs: Mapping[str, Any], queries: int, where: str) -> Iterator[str]:
    total = sum(signs[name] for name in ("wins", "ties", "losses"))
    if total != queries:
        yield f"wins, ties and losses {where} as {queries} queries together, got {total}"
    yield from _outside([signs["p_value"]], 0, f"p-values {where}")


def _wrong_means(
    row: Mapping[str, Any], on: str, metric: str, values: NDArray[np.float64], raw: NDArray[np.float64], where: str
) -> Iterator[str]:
    mean, gain = float(values.mean()), float((values - raw).mean())
    stored = [(row["metrics"][on][metric], mean)]
    stored += [(row[kind][on][metric][0], expected) for kind, expected in (("intervals", mean), ("gains", gain))]
    for value, expected in stored:
        if abs(value - expected) > EQUAL:
            yield f"a mean {where} of {expected:.6g}, which is that of its queries' values, got {value:.6g}"


def _outside(values: Iterable[float | None], low: int, what: str) -> Iterator[str]:
    """The first value outside of [low, 1]; None is unknown, and rounding is let through."""
    for value in values:
        if value is not None and not low - EQUAL <= value <= 1 + EQUAL:
            yield f"{what} in {low} to 1, got {value:.6g}"
            return
