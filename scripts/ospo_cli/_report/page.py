"""The page of a report: one HTML file that needs no network and runs one script, the filter of its queries."""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from envs_data.files import file_sha256
from ospo_agents.training.run_directory import read_log
from ospo_cli._evaluation_text import other_settings
from ospo_cli._explanation import Explanation, Segment
from ospo_cli._matrix import policy_labels
from ospo_cli._modes import modes_in_words, modes_of
from ospo_cli._phrases import PhraseStudy
from ospo_cli._report.axes import Axis, Bin, gain_bins
from ospo_cli._report.charts import logged_charts, reward_chart
from ospo_cli._report.commands import suggested_commands
from ospo_cli._report.curves import Curve
from ospo_cli._report.headline import find_repeats, in_words
from ospo_cli._report.held_out import HeldOut
from ospo_cli._report.queries import mark_repeats
from ospo_cli._report.runs import Run
from ospo_env.evaluation.intervals import Interval
from ospo_env.evaluation.phrase_table import PhraseRow
from ospo_env.evaluation.verdict import EQUAL
from ospo_env.text import clean_text

__all__ = ["Card", "make_card", "render_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_HASHED = ("run.json", "log.jsonl", "policy/*.safetensors", "warmstart/*.safetensors")
_PHRASES = 10  # shown of each end of the table


class Card(NamedTuple):
    """A query that the page explains.

    Attributes:
        kind: ``best``, ``median`` or ``worst``; empty where the query was chosen otherwise.
        explanation: Its explanation.
        segments: Segments of the rewrite, each with its parts and whether they repeat a word.
    """

    kind: str
    explanation: Explanation
    segments: list[tuple[Segment, list[tuple[str, bool]]]]


class _Histogram(NamedTuple):
    retriever: str
    bins: tuple[Bin, ...]
    x: Axis
    y: Axis
    ties: int
    queries: int


def make_card(explanation: Explanation, kind: str) -> Card:
    """The card of an explained query, with repeated words marked."""
    text = explanation.text
    repeats = find_repeats(text, explanation.query if explanation.compose == "append" else "")
    segments = []
    for segment in explanation.segments:
        start = segment.end - len(segment.text.lstrip())
        parts = mark_repeats(text, repeats, start, max(start, segment.start + len(segment.text.rstrip())))
        segments.append((segment, parts))
    return Card(kind, explanation, segments)


def render_page(
    runs: Sequence[Run],
    curves: Sequence[Curve],
    evaluation: Mapping[str, Any] | None,
    held_out: HeldOut | None,
    cards: Sequence[Card],
    sources: Mapping[str, Any],
) -> str:
    """The page as text.

    Every text of data, models and arguments is escaped by the template engine.

    Args:
        runs: The runs; the page is about the first.
        curves: Their learning curves.
        evaluation: The content of the file that ``ospo evaluate --json`` wrote; None leaves its parts out.
        held_out: Its numbers of the first run's policy; None where it has none.
        cards: Explained rewrites of the first run's policy.
        sources: ``chosen`` (how the queries were chosen, in words), ``metric``, ``compose`` and
            ``retriever_fingerprint`` of the task, ``evaluation_file``, ``matched_by_name`` (whether no digest shows
            that it is of the run's policy) and ``command`` (of the report).
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": "{:+.3f}".format, "plain": "{:.3f}".format, "shown": _shown, "share": _share}
    run = runs[0]
    trained_on = run.trained_on if held_out is None else held_out.trained_on
    script = environment.get_template("report.js").render()
    page = environment.get_template("report.html.j2").render(
        run=run,
        runs=runs,
        metric=sources["metric"],
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        held_out=held_out,
        in_words=in_words,
        evaluation=evaluation,
        matrix=None if evaluation is None else _matrix(evaluation, trained_on),
        headline_policy=None if held_out is None else held_out.name,
        evaluation_modes="" if evaluation is None else modes_in_words(modes_of(evaluation)),
        run_modes=modes_in_words(run.settings),
        histograms=[] if held_out is None else _histograms(held_out),
        phrases=None
        if held_out is None or held_out.queries is None
        else _phrases(held_out.queries.study, sources["compose"]),
        cards=cards,
        largest=max((card.explanation.largest for card in cards), default=0.0),
        strength=_strength,
        curves=curves,
        reward_chart=reward_chart(curves, run.arguments["metric"]) if curves else None,
        logged_charts=logged_charts(read_log(run.path)),
        sources=sources,
        commands=suggested_commands(run),
        hashes=_hashes(run, sources["evaluation_file"]),
        manifests=[(str(run.path), json.dumps(run.manifest, indent=2)) for run in runs],
    )
    return clean_text(page)


def _matrix(evaluation: Mapping[str, Any], trained_on: Collection[str]) -> dict[str, Any]:
    """Policies under each retriever: rows of a dot-and-interval plot in the metric, and tables of the other metrics."""
    policies, metric = evaluation["policies"], evaluation["metric"]
    labels = policy_labels(policies)
    for policy, row in policies.items():
        if row["trained_on"] and set(row["trained_on"].split(",")) != set(trained_on):
            labels[policy] += f", trained on {row['trained_on']}"
    metrics = next(iter(policies.values()))["metrics"]

    def cells(name: str, on: str) -> list[tuple[str, str, Interval, Interval]]:
        rows = []
        for policy, row in policies.items():
            mean, gain = (Interval.of_json(row[kind][on][name]) for kind in ("intervals", "gains"))
            rows.append((policy, labels[policy], mean, gain))
        return rows

    retrievers = sorted(metrics, key=lambda on: on not in trained_on)
    plots = [(on, on in trained_on, cells(metric, on)) for on in retrievers]
    others = [name for name in metrics[retrievers[0]] if name != metric]
    return {
        "plots": plots,
        "axis": Axis.over([bound for *_, rows in plots for *_, mean, _ in rows for bound in mean]),
        "others": {name: [(on, cells(name, on)) for on in retrievers] for name in others},
        "other_settings": other_settings(evaluation),
    }


def _histograms(held_out: HeldOut) -> list[_Histogram]:
    """Gains of single queries under each retriever, on the same axes."""
    binned = {row.retriever: gain_bins(held_out.gains[row.retriever]) for row in held_out.rows if held_out.gains}
    edges = [edge for bins in binned.values() for one in bins for edge in (one.low, one.high)]
    highest = max((one.queries for bins in binned.values() for one in bins), default=1)
    x, y = Axis.over(edges or [-0.1, 0.1]), Axis.over([0, highest], 3, whole=True)
    return [
        _Histogram(on, bins, x, y, len(held_out.gains[on]) - sum(one.queries for one in bins), len(held_out.gains[on]))
        for on, bins in binned.items()
    ]


def _phrases(study: PhraseStudy, compose: str) -> dict[str, Any]:
    """Both ends of the phrase table, with their axis, the lists to paste, and what credit sums to."""
    table = study.table
    undivided = [
        row.credited.solution
        for row in study.rewrites
        if abs(float(row.credited.credit.sum()) - (row.gain if compose == "append" else row.credited.worth)) > EQUAL
    ]
    ends = list(table) if len(table) <= 2 * _PHRASES else [*table[:_PHRASES], *table[-_PHRASES:]]
    return {
        "study": study,
        "rows": ends,
        "gap": _PHRASES if len(table) > len(ends) else None,
        "axis": Axis.over([0.0, *_bounds(ends)]),
        "undivided": list(dict.fromkeys(undivided)),
        "estimates": sum(row.estimated for row in study.rewrites),
        "keep": json.dumps(study.listed("keep"), ensure_ascii=False),
        "stop": json.dumps(study.listed("stop"), ensure_ascii=False),
    }


def _bounds(rows: Iterable[PhraseRow]) -> list[float]:
    return [bound for row in rows for bound in row.credit]


def _strength(credit: float, largest: float) -> str:
    """A style with the strength of a segment's colour, in percent of the strongest."""
    return f"--strength:{100 * min(abs(credit) / largest, 1.0) if largest else 0:.0f}%"


def _shown(value: Any) -> str:
    """A value of a manifest as a cell shows it."""
    return value if isinstance(value, str) else json.dumps(value)


def _share(part: float, whole: float = 1.0) -> str:
    """A share in percent; one below 10 % has a decimal, unless it is 0."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def _hashes(run: Run, evaluation: Path | None) -> dict[str, str]:
    """SHA-256 of the files that the numbers of the page come from."""
    files = [path for pattern in _HASHED for path in sorted(run.path.glob(pattern))]
    return {str(path): file_sha256(path) for path in [*files, *filter(None, [evaluation])]}
