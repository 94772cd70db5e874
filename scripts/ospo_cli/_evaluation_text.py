"""An evaluation as lines of text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ospo_cli._matrix import policy_labels, policy_tables
from ospo_cli._modes import modes_in_words
from ospo_cli._terminal import Table
from ospo_env.evaluation.trec import full_level

__all__ = ["other_settings", "report_blocks", "trec_lines"]

_RANKED = {"pool": "each query's candidate pool", "corpus": "the whole corpus"}


def report_blocks(report: Mapping[str, Any]) -> list[str | Table]:
    """Lines and tables of an evaluation: its data, its tables, and notes on each policy.

    Args:
        report: The evaluation, as its JSON file holds it.
    """
    kind = "synthetic data" if report["synthetic"] else "real data"
    rows = report["policies"]
    lines: list[str | Table] = [
        "",
        f"{report['queries']} {report['split']} queries of {report['env']} ({report['dataset']}, {kind})",
        f"Ranked: {_RANKED[report['candidates']]}",
        *([f"Sent: {sent}"] if (sent := modes_in_words(report)) else []),
        *policy_tables(rows, policy_labels(rows), report["metric"]),
    ]
    lines += ["", f"Texts that lost words to the cap of {report['max_words']}, of {report['queries']}:"]
    width = max(map(len, rows))
    lines += [f"  {name:<{width}}  {_counts(row['texts_cut'])}" for name, row in rows.items()]
    for sentence in other_settings(report):
        lines += ["", sentence]
    for name, row in rows.items():
        if row.get("malformed"):
            completions = f"{row['malformed']} of {report['queries']} completions"
            without = "each sends the raw query alone" if report["compose"] == "append" else "each earns 0"
            lines += ["", f"{name}: {completions} hold no rewrite; {without}."]
        if row.get("completions_cut"):
            cut = f"{row['completions_cut']} of {report['queries']} completions"
            lines += ["", f"{name}: {cut} were cut at the limit of their length."]
        if row.get("remark"):
            lines += ["", f"{name}: {row['remark']}."]
    trained_on = sorted({name for row in rows.values() for name in (row["trained_on"] or "").split(",") if name})
    if trained_on:
        unseen = [name for name in next(iter(rows.values()))["metrics"] if name not in trained_on]
        never = ", ".join(unseen) or "none of these"
        lines += ["", f"Trained on {', '.join(trained_on)}; never seen in training: {never}."]
    return lines


def other_settings(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each policy that was made for another cap, other candidates, another metric or another mode.

    Args:
        report: The evaluation; those of earlier versions do not say what policies were made for.
    """
    sentences = []
    for name, row in report["policies"].items():
        made_for = row.get("made_for")
        if not isinstance(made_for, Mapping):
            continue
        others = [
            f"{key} {value}, not {report.get(key)}" for key, value in made_for.items() if report.get(key) != value
        ]
        if others:
            sentences.append(f"{name} was made for {'; '.join(others)}.")
    return sentences


def trec_lines(directory: Path, scale: int, unmatched: Mapping[str, int], queries: int) -> list[str]:
    """Notes on reading the TREC files of an evaluation.

    Args:
        directory: Directory of the files.
        scale: Factor that gains were multiplied by.
        unmatched: Number of queries without a line in each run.
        queries: Number of queries.
    """
    level = full_level(scale)
    nothing = f"of {queries} queries have no line, as nothing matches their texts"
    return [
        f"Wrote {directory}: a .run file a policy and retriever, and qrels.txt with gains times {scale}:",
        f"  relevant from level {level} on: rel={level} in ir-measures, -l {level} in trec_eval",
        "  call trec_eval with -c, which counts 0 for a query without a line in a run",
        *(f"  {tag}.run: {count} {nothing}" for tag, count in unmatched.items() if count),
    ]


def _counts(by_retriever: Mapping[str, int]) -> str:
    """One number if it is the same under all retrievers, as it is for texts that are written once."""
    counts = set(by_retriever.values())
    return str(*counts) if len(counts) == 1 else ", ".join(f"{count} ({on})" for on, count in by_retriever.items())
