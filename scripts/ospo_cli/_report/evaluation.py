"""The evaluation of a report, checked to be of the data of its run."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._report.runs import Run

__all__ = ["read_evaluation"]

_EXPECTED = "--evaluation: expected a file that ospo evaluate --json wrote"


def read_evaluation(path: Path, run: Run) -> dict[str, Any]:
    """Read what ``ospo evaluate --json`` wrote, on the data of a run.

    Raises:
        AgentError: The file is something else, or of other data.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AgentError(f"{_EXPECTED}, but {path}: {error}") from error
    if not _is_evaluation(content):
        raise AgentError(f"{_EXPECTED}, {path} is none; evaluate again")
    evaluation: dict[str, Any] = content
    if evaluation["data_fingerprint"] != run.manifest["data_fingerprint"]:
        raise AgentError(
            f"--evaluation: {path} is of the data {evaluation['data_fingerprint'][:16]}, "
            f"{run.path} of {run.manifest['data_fingerprint'][:16]}; evaluate the run on its own data"
        )
    return evaluation


def _is_evaluation(content: Any) -> bool:
    """Whether content has all that a page shows: each policy's values under every retriever in every metric."""
    try:
        rows, metric = list(content["policies"].values()), content["metric"]
        kinds = [row[kind] for row in rows for kind in ("metrics", "intervals", "gains")]
        cells = {(on, name) for kind in kinds for on, by_name in kind.items() for name in (metric, *by_name)}
        intervals = [row[kind][on][name] for row in rows for kind in ("intervals", "gains") for on, name in cells]
        numbers = [row["metrics"][on][name] for row in rows for on, name in cells]
        numbers += [number for value, *bounds in intervals for number in (value, *bounds) if number is not None]
        texts = [row[name] for row in rows for name in ("stage", "trained_on") if row[name] is not None]
        texts += [content[name] for name in ("env", "split", "metric", "candidates", "data_fingerprint")]
        numbers += [content[name] for name in ("queries", "temperature")]
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    return (
        bool(cells)
        and all(isinstance(text, str) for text in texts)
        and all(map(_is_number, numbers))
        and all(len(interval) == 3 and interval[0] is not None for interval in intervals)
    )


def _is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number that a page can show: a whole one may be too large for a float."""
    if isinstance(value, float):
        return not math.isinf(value)
    return isinstance(value, int) and abs(value) <= sys.float_info.max
