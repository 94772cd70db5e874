"""The evaluation of a report, checked to be of the data of its run."""

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._report.evaluation_numbers import check_numbers
from ospo_cli._report.runs import Run
from ospo_cli._run_file import OPTIONAL, check_fields

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
    if not all(check(content) for check in (_is_evaluation, _are_counts, _are_signs, _is_by_query)):
        raise AgentError(f"{_EXPECTED}, {path} is none; evaluate again")
    evaluation: dict[str, Any] = content
    check_fields(evaluation, {}, path, OPTIONAL)
    check_numbers(evaluation, path)
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
        texts += [row["policy_digest"] for row in rows if "policy_digest" in row]
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


def _are_counts(content: dict[str, Any]) -> bool:
    """Whether counts of completions, which some policies lack, are whole numbers."""
    rows = content["policies"].values()
    return all(_is_count(row[name]) for row in rows for name in ("malformed", "completions_cut") if name in row)


def _are_signs(content: dict[str, Any]) -> bool:
    """Whether wins, ties and losses are whole in the metric; evaluations of earlier versions have none."""
    rows = content["policies"].values()
    if not any("signs" in row for row in rows):
        return True
    try:
        signs = [row["signs"][on][content["metric"]] for row in rows for on in row["metrics"]]
        counts = [sign[name] for sign in signs for name in ("wins", "ties", "losses")]
        return all(map(_is_count, counts)) and all(_is_number(sign["p_value"]) for sign in signs)
    except (LookupError, TypeError):
        return False


def _is_by_query(content: dict[str, Any]) -> bool:
    """Whether values and rewrites of single queries are whole; evaluations of earlier versions have none."""
    if "query_ids" not in content:
        return True
    try:
        ids, rows = content["query_ids"], list(content["policies"].values())
        by_retriever = [content["raw_values"], *(row["values"] for row in rows)]
        columns = [values for on in rows[0]["metrics"] for values in (named[on] for named in by_retriever)]
        rewrites = [row["rewrites"] for row in rows if row["rewrites"] is not None]
        return (
            len(set(ids)) == len(ids) == content["queries"]
            and all(isinstance(one, str) for one in ids)
            and all(len(values) == len(ids) and all(map(_is_number, values)) for values in columns)
            and all(len(texts) == len(ids) for texts in rewrites)
            and all(map(_are_texts, itertools.chain.from_iterable(rewrites)))
        )
    except (LookupError, TypeError, AttributeError):
        return False


def _are_texts(texts: object) -> bool:
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) for text in texts)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number that a page can show: a whole one may be too large for a float."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) <= sys.float_info.max
