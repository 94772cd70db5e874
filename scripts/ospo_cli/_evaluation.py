"""An evaluation: policies write rewrites, retrievers rank them, tables and files say what they earned."""

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_agents.progress_bar import progress_bar
from ospo_cli._evaluation_files import check_file_names, file_name, texts_by_query, trec_tag, write_qrels, write_run
from ospo_cli._evaluation_text import report_blocks, trec_lines
from ospo_cli._guarded import check_guard, guard_lines, guard_report
from ospo_cli._matrix import draw_policies, policy_labels
from ospo_cli._modes import MODES
from ospo_cli._outputs import write_file
from ospo_cli._policies import Request, ResolvedPolicy, open_policy, settings_of
from ospo_cli._tasks import open_task
from ospo_cli._terminal import say_blocks
from ospo_env import RetrievalTask, Rewrites, make_reference_policy, write_rewrites
from ospo_env.evaluation.summary import summarise
from ospo_env.evaluation.verdict import query_means
from ospo_env.rendering import terminal_line

__all__ = ["evaluate"]


class _Measured(NamedTuple):
    """Measurements of policies.

    Attributes:
        values: By policy, retriever and metric: float64 (Q,).
        cut: By policy and retriever: number of texts that lost words to the cap.
        unmatched: By TREC run: number of queries without a line.
        rewrites: By policy and retriever: the rewrites.
    """

    values: dict[str, dict[str, dict[str, NDArray[np.float64]]]]
    cut: dict[str, dict[str, int]]
    unmatched: dict[str, int]
    rewrites: dict[str, dict[str, Rewrites]]


def evaluate(arguments: Namespace) -> None:
    """Evaluate the policies, write the files, then print the tables.

    Args:
        arguments: As ``ospo evaluate`` parses them.
    """
    request = Request(
        arguments.env,
        arguments.data,
        arguments.split,
        temperature=arguments.temperature,
        max_new_tokens=arguments.max_new_tokens,
        seed=arguments.seed,
        encoder=arguments.encoder,
        retrievers=tuple(arguments.retrievers),
    )
    policies = {name: open_policy(name, request) for name in arguments.policy}
    check_file_names(arguments)
    settings = settings_of(arguments, {name: policy.made_for for name, policy in policies.items()})
    tasks = {
        name: open_task(arguments.env, arguments.data, split=arguments.split, retriever=name, **settings)
        for name in arguments.retrievers
    }
    task = next(iter(tasks.values()))
    ids, prompts = task.prompts(arguments.split)
    for name, policy in policies.items():
        policy.check(task, ids)
        if policy.several and arguments.trec is not None:
            raise AgentError(f"--trec: expected one rewrite a query, as in a TREC run; {name} has several for some")
    choosing = check_guard(arguments.guard, request, policies, task)
    # Written first, so that ids and gains that TREC files cannot hold are an error before the work begins.
    scale = None if arguments.trec is None else write_qrels(arguments.trec, task, ids)
    written = _write_once(policies, task, ids, prompts, arguments.rewrites)
    raw = make_reference_policy("query", task)(ids, prompts)
    measured = _measure(policies, written, tasks, ids, prompts, arguments.trec)
    raw_values = {retriever: opened.evaluate(ids, raw) for retriever, opened in tasks.items()}
    summary = summarise(measured.values, raw_values)
    for name, policy in policies.items():
        notes = written[name].notes if name in written else {}
        own: dict[str, Any] = {"made_for": dict(policy.made_for), "texts_cut": measured.cut[name]}
        own |= {"values": _each_query(measured.values[name], task.metric), "rewrites": None}
        if name in written:
            own["rewrites"] = texts_by_query(written[name], ids)
        summary[name] = {"stage": None, "trained_on": None, **notes, **own, **summary[name]}
    report = {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "split": arguments.split,
        "metric": task.metric,
        "candidates": task.candidates,
        "max_words": task.max_words,
        **{name: getattr(task, name) for name in MODES},
        "queries": len(ids),
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "query_ids": ids,
        "raw_values": _each_query(raw_values, task.metric),
        "policies": summary,
    }
    if arguments.guard is not None:
        report["guard"] = guard_report(
            arguments.guard, list(policies), lambda name, on: measured.rewrites[name][on], tasks, choosing
        )
    files = _write_files(arguments, report, list(written))
    blocks = [*report_blocks(report), *(guard_lines(report) if "guard" in report else ()), *files]
    if scale is not None:
        blocks += trec_lines(arguments.trec, scale, measured.unmatched, len(ids))
    say_blocks(blocks)


def _each_query(values: Mapping[str, Mapping[str, NDArray[np.float64]]], metric: str) -> dict[str, list[float]]:
    """Values of a metric, one a query, by retriever."""
    return {retriever: by_metric[metric].tolist() for retriever, by_metric in values.items()}


def _write_files(arguments: Namespace, report: dict[str, Any], stored: list[str]) -> list[str]:
    """Write the JSON file and the picture; a line for each file that the evaluation has written."""
    lines = []
    if arguments.rewrites is not None:
        lines += [f"Wrote {_rewrites_path(arguments.rewrites, name)}" for name in stored]
    if arguments.json is not None:
        write_file(arguments.json, json.dumps(report, indent=2, allow_nan=False).encode() + b"\n")
        lines.append(f"Wrote {arguments.json}")
    if arguments.plot is not None:
        summary, title = report["policies"], f"{report['env']}, {report['queries']} {report['split']} queries"
        write_file(arguments.plot, draw_policies(summary, policy_labels(summary), report["metric"], title))
        lines.append(f"Wrote {arguments.plot}")
    return lines


def _rewrites_path(directory: Path, policy: str) -> Path:
    return directory / f"{file_name(policy)}.jsonl"


def _write_once(
    policies: dict[str, ResolvedPolicy], task: RetrievalTask, ids: list[str], prompts: list[str], directory: Path | None
) -> dict[str, Rewrites]:
    """Rewrites of the policies that do not read the task, with a bar for each; each is stored as soon as it is done."""
    written = {}
    once = {name: policy for name, policy in policies.items() if not policy.reads_task}
    for number, (name, policy) in enumerate(once.items(), start=1):
        label = terminal_line(f"[{number}/{len(once)}] {name[-40:]} writes")
        with progress_bar(total=len(ids), desc=label, unit="prompt") as bar:
            written[name] = policy.write(task, ids, prompts, bar.update)
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            write_rewrites(_rewrites_path(directory, name), written[name])
    return written


def _measure(
    policies: dict[str, ResolvedPolicy],
    written: dict[str, Rewrites],
    tasks: dict[str, RetrievalTask],
    ids: list[str],
    prompts: list[str],
    trec: Path | None,
) -> _Measured:
    """Measure all policies under all retrievers, with one bar; write TREC runs too if ``trec`` is a directory."""
    measured = _Measured(
        values={name: {} for name in policies},
        cut={name: {} for name in policies},
        unmatched={},
        rewrites={name: {} for name in policies},
    )
    with progress_bar(total=len(policies) * len(tasks), desc="ranking", unit="ranking") as bar:
        for name, policy in policies.items():
            for retriever, opened in tasks.items():
                bar.set_postfix_str(terminal_line(f"{name[-40:]} under {retriever[-40:]}"))
                rewrites = written.get(name) or policy.write(opened, ids, prompts, lambda done: None)
                measured.rewrites[name][retriever] = rewrites
                values = opened.evaluate(rewrites.prompt_ids, rewrites.texts)
                if policy.several:
                    values = {metric: query_means(array, rewrites.prompt_ids, ids) for metric, array in values.items()}
                measured.values[name][retriever] = values
                beyond = opened.words_beyond_cap(rewrites.prompt_ids, rewrites.texts)
                measured.cut[name][retriever] = sum(map(bool, beyond))
                if trec is not None:
                    tag = trec_tag(name, retriever)
                    measured.unmatched[tag] = write_run(trec, tag, rewrites, opened)
                bar.update()
    return measured
