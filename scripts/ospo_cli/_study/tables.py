"""The study's tables, in Markdown, from the reports of its runs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.segments import phrases
from ospo_cli._modes import MODES, modes_in_words, modes_of
from ospo_cli._study.numbers import share_of_rollouts, transfer
from ospo_cli._study.plan import ABLATIONS, METRIC, TASKS, TRAINED_ON
from ospo_cli._tasks import open_task
from ospo_env import RetrievalTask
from ospo_env.evaluation.intervals import Interval, seed_interval

__all__ = [
    "ablations",
    "accuracy",
    "curves",
    "differences",
    "kinds_kept",
    "markdown",
    "measure_transfer",
    "out_of_distribution",
    "rates",
    "references",
    "repetition",
]

_KINDS = ("sampled", "greedy")

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Reports of finished runs by method, one for each seed, the same seeds in the same order."""


def markdown(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """One table with its title.

    >>> print(markdown("Squares", ["n", "n²"], [[2, 4]]))
    **Squares**
    <BLANKLINE>
    | n | n² |
    |---|---|
    | 2 | 4 |
    <BLANKLINE>
    """
    lines = [f"**{title}**", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([*lines, ""])


def rates(ends: Mapping[tuple[str, str, float], Sequence[Mapping[str, float]]], seeds: int, chosen_by: str) -> str:
    """Final values on validation queries by task, method and learning rate, of which the best choose the rates."""
    rows = [
        [task, method, f"{rate:g}", *(f"{np.mean([end[kind] for end in reports]):.3f}" for kind in _KINDS)]
        for (task, method, rate), reports in sorted(ends.items())
    ]
    title = f"{METRIC} on validation queries, mean of {seeds} other seeds: learning rates are chosen by the "
    return markdown(f"{title}{chosen_by} value", ["task", "method", "learning rate", *_KINDS], rows)


def curves(task: str, runs: Runs) -> str:
    """Values of sampled and of greedy rewrites on held-out queries, against rollouts, by method."""
    rollouts = [point["rollouts"] for point in next(iter(runs.values()))[0]["curve"]]
    head = ["rollouts", *(f"{method} {kind}" for kind in ("sampled", "greedy") for method in runs)]
    rows = [
        [f"{count:,.0f}"]
        + [
            str(seed_interval(_curve(runs[method], kind)[:, point]))
            for kind in ("sampled", "greedy")
            for method in runs
        ]
        for point, count in enumerate(rollouts)
    ]
    return markdown(f"{METRIC} of {_described(task, runs)}", head, rows)


def differences(task: str, runs: Runs, rates: Mapping[str, float]) -> str:
    """Final values, paired differences to GRPO, and the share of its rollouts that reaches its final value."""
    baseline = runs["grpo"]
    rollouts = np.array([point["rollouts"] for point in baseline[0]["curve"]])
    head = ["method", "learning rate"]
    head += [
        f"{kind} {what}" for kind in ("sampled", "greedy") for what in ("final", "less grpo's", "share of rollouts")
    ]
    rows = []
    for method, reports in runs.items():
        row: list[object] = [method, f"{rates[method]:g}"]
        for kind in _KINDS:
            ours, theirs = _curve(reports, kind), _curve(baseline, kind)
            row.append(seed_interval(ours[:, -1]))
            if method == "grpo":
                row += ["", ""]
            else:
                gain = seed_interval(theirs[:, -1] - theirs[:, 0])
                share: object = "unknown" if gain.value > 0 else "grpo gained nothing"
                if gain.low > 0:  # not with a single seed
                    share = share_of_rollouts(rollouts, ours, theirs)
                row += [seed_interval(ours[:, -1] - theirs[:, -1]), share]
        rows.append(row)
    title = f"After {rollouts[-1]:,.0f} rollouts, {_described(task, runs)}"
    return markdown(title, head, rows)


def measure_transfer(
    task: str, runs: Runs, retriever: str, data: str | None, kind: str = "greedy"
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Measure the rewrites that the runs kept, before and after training, under another retriever.

    Args:
        task: Name of the task.
        runs: Runs of one task and mode.
        retriever: Retriever that ranks.
        data: Prepared directory; none means the embedded sample.
        kind: Kind of rewrites: ``sampled`` or ``greedy``.

    Returns:
        For each method ``before`` and ``after``, the mean over queries (and draws) of each seed (S,).
    """
    modes = modes_of(next(iter(runs.values()))[0])
    opened = _open(task, data, retriever, modes)
    return {
        method: {
            when: np.array(
                [
                    np.mean([opened.rewards(report["ids"], texts).mean() for texts in _rewrites(report, kind)[when]])
                    for report in reports
                ]
            )
            for when in ("before", "after")
        }
        for method, reports in runs.items()
    }


def _open(task: str, data: str | None, retriever: str, modes: Mapping[str, Any]) -> RetrievalTask:
    where = None if data is None else Path(data)
    return open_task(TASKS[task].env, where, split="train", retriever=retriever, metric=METRIC, **modes)


def kinds_kept(runs: Runs) -> list[str]:
    """Kinds of rewrites that all runs kept; runs of earlier versions kept greedy ones only."""
    reports = [report for reports in runs.values() for report in reports]
    return [kind for kind in _KINDS if all(_rewrites(report, kind) for report in reports)]


def _rewrites(report: Mapping[str, Any], kind: str) -> dict[str, list[list[str]]]:
    """Rewrites before and after training, a list for each sample."""
    if kind == "greedy":
        return {when: [texts] for when, texts in report["rewrites"].items()}
    return dict(report.get("sampled_rewrites", {}))


def out_of_distribution(
    task: str, runs: Runs, unseen: Sequence[str], data: str | None = None, kind: str = "greedy"
) -> str:
    """Values of the final policies' rewrites under the retriever of training and under others."""
    names = [TRAINED_ON, *unseen]
    values = {name: measure_transfer(task, runs, name, data, kind) for name in names}
    gains = {name: {method: by["after"] - by["before"] for method, by in values[name].items()} for name in names}
    head = ["retriever", "warm start", *runs]
    head += [f"gain of {method}" for method in runs]
    head += [f"gain of {method} over that in distribution" for method in runs]
    others = [method for method in runs if method != "grpo" and "grpo" in runs]
    head += [f"gain of {method} less grpo's" for method in others]
    rows = []
    for name in names:
        start = next(iter(values[name].values()))["before"]
        row: list[object] = [name + (" (training)" if name == TRAINED_ON else ""), seed_interval(start)]
        row += [seed_interval(values[name][method]["after"]) for method in runs]
        row += [seed_interval(gains[name][method]) for method in runs]
        row += [
            "" if name == TRAINED_ON else _transferred(gains[TRAINED_ON][method], gains[name][method])
            for method in runs
        ]
        row += [seed_interval(gains[name][method] - gains[name]["grpo"]) for method in others]
        rows.append(row)
    return markdown(f"{METRIC} under retrievers, {kind}, {_described(task, runs)}", head, rows)


def _transferred(seen: NDArray[np.float64], unseen: NDArray[np.float64]) -> Interval | str:
    """Share of a gain that remains under an unseen retriever, where there is a gain."""
    return transfer(seen, unseen) if seed_interval(seen).low > 0 else "no gain there"


def repetition(task: str, runs: Runs) -> str:
    """Phrases of a rewrite and distinct ones among them, before and after training, which show repetition."""
    rows = []
    for kind in kinds_kept(runs):
        policies = [("warm start", "before", next(iter(runs.values())))]
        policies += [(method, "after", reports) for method, reports in runs.items()]
        for name, when, reports in policies:
            counts = np.array([_phrase_counts(_rewrites(report, kind)[when]) for report in reports])
            rows.append([name, kind, *(str(seed_interval(column)) for column in counts.T)])
    head = ["policy", "decoded", "phrases a rewrite", "distinct phrases a rewrite"]
    return markdown(f"Phrases of rewrites, {_described(task, runs)}", head, rows)


def _phrase_counts(draws: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Mean phrases of a text, and mean distinct ones, commas and case aside."""
    windows = [
        [text[start:end].strip(" ,").casefold() for start, end in phrases(text)] for texts in draws for text in texts
    ]
    return float(np.mean([len(one) for one in windows])), float(np.mean([len(set(one)) for one in windows]))


def references(
    task: str, split: str, retrievers: Sequence[str], data: str | None, modes: Mapping[str, Any] = MODES
) -> str:
    """Values of the raw query and of the oracle, which need no training."""
    from ospo_env import make_reference_policy

    rows = []
    for policy in ("query", "oracle"):
        row: list[object] = [{"query": "raw query"}.get(policy, policy)]
        for name in retrievers:
            opened = _open(task, data, name, modes)
            ids, prompts = opened.prompts(split)
            texts = make_reference_policy(policy, opened, 0)(ids, prompts)
            row.append(f"{opened.rewards(ids, texts).mean():.3f}")
        rows.append(row)
    return markdown(f"{METRIC} without training, {task}{_sent(modes)}, {split} queries", ["policy", *retrievers], rows)


def ablations(task: str, runs: Runs) -> str:
    """One row for each ablation: final values, and paired differences to the default and to GRPO."""
    final = {method: {kind: _curve(reports, kind)[:, -1] for kind in _KINDS} for method, reports in runs.items()}
    rows = []
    for method, values in final.items():
        row: list[object] = [method, ABLATIONS[method].varies if method in ABLATIONS else ""]
        for kind in _KINDS:
            row.append(seed_interval(values[kind]))
            row += [
                "" if other == method or other not in final else seed_interval(values[kind] - final[other][kind])
                for other in ("ospo", "grpo")
            ]
        row.append(f"{np.mean([report['log']['completions/mean_length'][-1] for report in runs[method]]):.1f}")
        rows.append(row)
    head = ["method", "varies"]
    head += [f"{kind} {what}" for kind in _KINDS for what in ("final", "less ospo's", "less grpo's")]
    return markdown(f"Ablations, {_described(task, runs)}", [*head, "tokens at the end"], rows)


def accuracy(task: str, reports: Sequence[Mapping[str, Any]]) -> str:
    """Two tables: areas under the ROC curve of credit, and of the advantages of tokens made of it."""
    made = []
    for part, what in (("credit", "Credit of segments"), ("advantages", "Advantages of tokens")):
        head = ["of", "any two", "of one query's rollouts"] + (["evaluations"] if part == "credit" else [])
        rows = []
        for name in reports[0][part]:
            entries = [report[part][name] for report in reports]
            row: list[object] = [name]
            row += [seed_interval([entry[pairs] for entry in entries]) for pairs in ("all", "same query")]
            if part == "credit":
                row.append(f"{np.mean([entry['evaluations'] for entry in entries]):,.1f}")
            rows.append(row)
        share = np.mean([report["right"] for report in reports])
        title = (
            f"{what}, area under the ROC curve: {task}, {len(reports)} seeds, {TRAINED_ON}, "
            f"{share:.0%} of segments are right"
        )
        made.append(markdown(title, head, rows))
    return "\n".join(made)


def _curve(reports: Sequence[Mapping[str, Any]], kind: str) -> NDArray[np.float64]:
    return np.array([[point[kind] for point in report["curve"]] for report in reports])


def _described(task: str, runs: Runs) -> str:
    reports = next(iter(runs.values()))
    seeds = "1 seed" if len(reports) == 1 else f"{len(reports)} seeds"
    return (
        f"{task}{_sent(modes_of(reports[0]))}, {seeds}, trained on {TRAINED_ON}, {len(reports[0]['ids'])} "
        f"{reports[0]['split']} queries: mean [95 % interval over seeds]"
    )


def _sent(modes: Mapping[str, Any]) -> str:
    """Words behind a task's name for what the retriever is sent; none at the defaults."""
    return f" ({words})" if (words := modes_in_words(modes)) else ""
