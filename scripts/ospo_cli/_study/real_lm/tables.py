"""Tables of this part, in Markdown, from stored texts and their values."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_cli._modes import modes_in_words
from ospo_cli._study.numbers import crossed_interval, share_of_rollouts
from ospo_cli._study.plan import METRIC
from ospo_cli._study.real_lm.cells import read_texts
from ospo_cli._study.real_lm.plan import LMCell, Measure
from ospo_cli._study.tables import markdown
from ospo_env.evaluation.verdict import count_signs
from ospo_env.text import tokens

__all__ = [
    "Result",
    "learners_table",
    "rates_table",
    "read_results",
    "sweep_table",
    "texts_table",
    "validation_value",
    "values_table",
    "verdict_table",
]

_KINDS = ("greedy", "sampled")


class Result(NamedTuple):
    """The runs of one method on one data set.

    Attributes:
        texts: Stored texts of each run, a seed each.
        values: By retriever and documents: float64 (S, Q) of greedy texts, and (S, Q) of sampled ones, the mean over
            draws, without rows where nothing was sampled.
    """

    texts: list[Mapping[str, Any]]
    values: dict[tuple[str, str], dict[str, NDArray[np.float64]]]


def read_results(cells: Sequence[LMCell], out: Path, measures: Sequence[Measure]) -> dict[str, Result]:
    """Read the finished cells of one data set, by method."""
    results: dict[str, Result] = {}
    for method in dict.fromkeys(cell.method for cell in cells):
        own = [cell for cell in cells if cell.method == method]
        values = {}
        for measure in measures:
            paths = [measure.path(cell.path(out)) for cell in own]
            files = [json.loads(gzip.decompress(path.read_bytes())) for path in paths]
            values[measure.retriever, measure.candidates] = {
                "greedy": np.array([file["greedy"] for file in files]),
                "sampled": np.array([np.mean(file["sampled"], axis=0) for file in files if file["sampled"]]),
            }
        results[method] = Result([read_texts(cell, out) for cell in own], values)
    return results


def validation_value(cells: Sequence[LMCell], out: Path) -> float:
    """Best value on validation prompts, the mean of greedy and sampled texts, on the mean over runs."""
    curves = [read_texts(cell, out)["curve"] for cell in cells]
    return float(np.mean([max((point["greedy"] + point["sampled"]) / 2 for point in curve) for curve in curves]))


def rates_table(name: str, rows: Sequence[tuple[str, Mapping[float, float]]]) -> str:
    """Validation values by method and learning rate; the highest of a method chose its rate."""
    rates = list(rows[0][1])
    body = [[method, *(f"{values[rate]:.4f}" for rate in rates)] for method, values in rows]
    title = f"Learning rates on {name}: best {METRIC} on validation prompts, mean of kinds and runs"
    return markdown(title, ["method", *(f"{rate:g}" for rate in rates)], body)


def values_table(name: str, results: Mapping[str, Result], retrievers: Sequence[str], candidates: str) -> str:
    """Means of each method under each retriever, and paired differences to the raw query."""
    kinds = _KINDS if any(result.texts[0]["sampled"] for result in results.values()) else _KINDS[:1]
    head = ["method", *(f"{_short(retriever)} {kind}" for kind in kinds for retriever in retrievers)]
    rows = []
    for method, result in results.items():
        row = [method]
        for kind in kinds:
            for retriever in retrievers:
                values = result.values[retriever, candidates][kind]
                raw = results["query"].values[retriever, candidates]["greedy"]
                row.append(_cell(values, raw, method))
        rows.append(row)
    where = {"pool": "pools", "corpus": "the whole corpus"}[candidates]
    title = f"{METRIC} of {name} on {where}, {_described(results)}: mean (less the raw query's [95 % interval])"
    return markdown(title, head, rows)


def _cell(values: NDArray[np.float64], raw: NDArray[np.float64], method: str) -> str:
    if not values.size:
        return ""
    if method == "query":
        return f"{values.mean():.3f}"
    gain = crossed_interval(values - raw)
    return f"{values.mean():.3f} ({gain.value:+.3f} {gain.bounds('+.3f')})"


def verdict_table(name: str, results: Mapping[str, Result], retriever: str, candidates: str) -> str:
    """Wins, ties and losses of greedy texts against the raw query and against the best constant, a query each."""
    rows = []
    for method, result in results.items():
        values = result.values[retriever, candidates]["greedy"]
        row = [method]
        for other in ("query", "constant"):
            base = results[other].values[retriever, candidates]["greedy"]
            signs = count_signs((values - base).mean(axis=0))
            gain = crossed_interval(values - base)
            shown = f"{signs.wins} / {signs.ties} / {signs.losses}, {gain.value:+.3f} {gain.bounds('+.3f')}"
            row.append("" if method == other else shown)
        rows.append(row)
    title = f"Win / tie / loss of greedy texts of {name}, {_short(retriever)}, {candidates}: {_described(results)}"
    return markdown(title, ["method", "against the raw query", "against the constant"], rows)


def texts_table(name: str, results: Mapping[str, Result]) -> str:
    """Words, repeats and variety of greedy texts, and the seconds that they took."""
    head = ["method", "words", "repeated words", "distinct texts over queries", "empty texts", "seconds"]
    rows = []
    for method, result in results.items():
        texts = [text for run in result.texts for text in run["greedy"]]
        words = [tokens(text) for text in texts]
        repeated = sum(len(row) - len(set(row)) for row in words) / max(sum(map(len, words)), 1)
        distinct = np.mean([len(set(run["greedy"])) / len(run["greedy"]) for run in result.texts])
        empty = sum(not row for row in words) / len(texts)
        seconds = np.mean([run["seconds"] for run in result.texts])
        shares = [f"{share:.0%}" for share in (repeated, distinct, empty)]
        rows.append([method, f"{np.mean([len(row) for row in words]):.1f}", *shares, f"{seconds:,.0f}"])
    return markdown(f"Greedy texts of {name}", head, rows)


def learners_table(name: str, results: Mapping[str, Result], retriever: str, candidates: str) -> str:
    """Learners against GRPO, paired by seed and query, and the share of its rollouts that reach its last value."""
    grpo = results["grpo"]
    rows = []
    for method, result in results.items():
        if not result.texts[0]["steps"] or method == "grpo":
            continue
        row = [method]
        for kind in _KINDS:
            ours, theirs = (one.values[retriever, candidates][kind] for one in (result, grpo))
            gain = crossed_interval(ours - theirs)
            row += [f"{gain.value:+.3f} {gain.bounds('+.3f')}", str(_share(result, grpo, kind))]
        rows.append(row)
    head = ["method", *(f"{kind} {what}" for kind in _KINDS for what in ("less GRPO's", "share of GRPO's rollouts"))]
    title = (
        f"Learners on {name}, {_short(retriever)}, {candidates}; rollouts by validation prompts, {_described(results)}"
    )
    return markdown(title, head, rows)


def sweep_table(
    name: str, what: str, by_value: Mapping[int, Mapping[str, Result]], retriever: str, candidates: Sequence[str]
) -> str:
    """Means of greedy texts, and paired differences to the raw query, for several values of one setting."""
    first = next(iter(by_value.values()))
    rows = []
    for method in first:
        row = [method]
        for place in candidates:
            for results in by_value.values():
                values, raw = (results[one].values[retriever, place]["greedy"] for one in (method, "query"))
                row.append(_cell(values, raw, method))
        rows.append(row)
    head = ["method", *(f"{place} {value}" for place in candidates for value in by_value)]
    title = (
        f"{METRIC} of {name} by {what}, greedy texts, {_short(retriever)}: mean (less the raw query's [95 % interval])"
    )
    return markdown(title, head, rows)


def _share(result: Result, grpo: Result, kind: str) -> object:
    if "curve" not in grpo.texts[0]:
        return ""  # learned elsewhere
    ours, theirs = (np.array([[point[kind] for point in run["curve"]] for run in one.texts]) for one in (result, grpo))
    if theirs[:, -1].mean() <= theirs[:, 0].mean():
        return "GRPO gained nothing"
    share = share_of_rollouts(np.array([point["rollouts"] for point in grpo.texts[0]["curve"]]), ours, theirs)
    return share if np.isfinite(share.value) else "not reached"


def _short(retriever: str) -> str:
    return retriever.partition(":")[0]


def _described(results: Mapping[str, Result]) -> str:
    runs = [result for result in results.values() if result.texts[0]["steps"]]
    number = len(runs[0].texts) if runs else 0
    seeds = f"{number} seed{'s' if number > 1 else ''}, " if number else ""
    modes = modes_in_words(results["query"].texts[0]["modes"])
    return f"{seeds}{len(results['query'].texts[0]['ids'])} test queries" + (f"; {modes}" if modes else "")
