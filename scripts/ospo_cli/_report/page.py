"""The page of a report: one HTML file that needs no network and runs no script."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from envs_data.files import file_sha256
from ospo_cli._evaluation_text import other_settings
from ospo_cli._explanation import Explanation, credit_colour
from ospo_cli._matrix import draw_matrix, policy_labels
from ospo_cli._modes import modes_in_words, modes_of
from ospo_cli._report.curves import Curve, draw_rewards
from ospo_cli._report.runs import Run
from ospo_env.evaluation.intervals import Interval
from ospo_env.text import clean_text

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_HASHED = ("run.json", "log.jsonl", "policy/*.safetensors", "warmstart/*.safetensors")


def render_page(
    runs: Sequence[Run],
    curves: Sequence[Curve],
    evaluation: Mapping[str, Any] | None,
    explanations: Sequence[Explanation],
    sources: Mapping[str, Any],
) -> str:
    """The page as text.

    Every text of data, models and arguments is escaped by the template engine.

    Args:
        runs: The runs; the page is about the first.
        curves: Their learning curves.
        evaluation: The content of the file that ``ospo evaluate --json`` wrote; None leaves the matrix out.
        explanations: Rewrites of the first run's policy.
        sources: ``chosen`` (how the queries were chosen, in words), ``retriever_fingerprint``, ``evaluation_file`` and
            ``command`` (of the report).
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": "{:+.3f}".format, "plain": "{:.3f}".format, "shown": _shown}
    run = runs[0]
    metric = run.arguments["metric"]
    page = environment.get_template("report.html.j2").render(
        run=run,
        runs=runs,
        metric=metric,
        curves=curves,
        curves_image=_png(draw_rewards(curves, metric)) if curves else None,
        logged_image=_png(path.read_bytes()) if (path := run.path / "curves.png").is_file() else None,
        matrix=None if evaluation is None else _matrix(evaluation),
        evaluation=evaluation,
        evaluation_modes="" if evaluation is None else modes_in_words(modes_of(evaluation)),
        run_modes=modes_in_words(run.settings),
        explanations=explanations,
        largest=max((explanation.largest for explanation in explanations), default=0.0),
        background=_background,
        sources=sources,
        hashes=_hashes(run, sources["evaluation_file"]),
        manifests=[(str(run.path), json.dumps(run.manifest, indent=2)) for run in runs],
    )
    return clean_text(page)


def _matrix(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The heat map, and for each metric the rows of a table: label, then mean and gain for each retriever."""
    policies, metric = evaluation["policies"], evaluation["metric"]
    labels = policy_labels(policies)
    first = next(iter(policies.values()))
    retrievers = list(first["metrics"])
    title = f"{evaluation['env']}, {evaluation['queries']} {evaluation['split']} queries"
    tables = {
        name: [
            (
                labels[policy],
                [tuple(Interval.of_json(row[kind][on][name]) for kind in ("intervals", "gains")) for on in retrievers],
            )
            for policy, row in policies.items()
        ]
        for name in dict.fromkeys([metric, *first["metrics"][retrievers[0]]])
    }
    seen = {name for row in policies.values() for name in (row["trained_on"] or "").split(",") if name}
    return {
        "image": _png(draw_matrix(policies, labels, metric, title)),
        "retrievers": [(name, bool(seen) and name not in seen) for name in retrievers],
        "tables": tables,
        "other_settings": other_settings(evaluation),
    }


def _background(credit: float, largest: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*credit_colour(credit, largest))


def _shown(value: Any) -> str:
    """A value of a manifest as a cell shows it."""
    return value if isinstance(value, str) else json.dumps(value)


def _hashes(run: Run, evaluation: Path | None) -> dict[str, str]:
    """SHA-256 of the files that the numbers of the page come from."""
    files = [path for pattern in _HASHED for path in sorted(run.path.glob(pattern))]
    return {str(path): file_sha256(path) for path in [*files, *filter(None, [evaluation])]}


def _png(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
