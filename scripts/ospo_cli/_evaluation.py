"""An evaluation: policies write rewrites, retrievers rank them, tables and files say what they earned."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from envs_data.files import write_atomically
from ospo_cli._evaluation_files import check_file_names, file_name, trec_tag, write_qrels, write_run
from ospo_cli._matrix import draw_matrix, policy_labels, print_tables
from ospo_cli._policies import Request, ResolvedPolicy, open_policy
from ospo_cli._tasks import open_task
from ospo_env import RetrievalTask, Rewrites, make_reference_policy, rescore, write_rewrites
from ospo_env.evaluation.summary import summarise
from ospo_env.evaluation.trec import full_level

__all__ = ["evaluate"]


def evaluate(arguments: Namespace) -> None:
    """Evaluate the policies, print the tables, write the files.

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
    )
    policies = {name: open_policy(name, request) for name in arguments.policy}
    check_file_names(arguments)
    tasks = {
        name: open_task(
            arguments.env,
            arguments.data,
            split=arguments.split,
            retriever=name,
            metric=arguments.metric,
            candidates=arguments.candidates,
            max_words=arguments.max_words,
        )
        for name in arguments.retrievers
    }
    task = next(iter(tasks.values()))
    ids, prompts = task.prompts(arguments.split)
    for policy in policies.values():
        policy.check(task, ids)
    # Written first, so that ids and gains that TREC files cannot hold are an error before the work begins.
    scale = None if arguments.trec is None else write_qrels(arguments.trec, task, ids)
    written = _write_once(policies, task, ids, prompts, arguments.rewrites)
    raw = make_reference_policy("query", task)(ids, prompts)
    values, unmatched = _measure(policies, written, tasks, ids, prompts, arguments.trec)
    summary = summarise(values, {retriever: opened.evaluate(ids, raw) for retriever, opened in tasks.items()})
    for name in policies:
        notes = written[name].notes if name in written else {}
        summary[name] = {"stage": None, "trained_on": None, **notes, **summary[name]}
    report = {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "split": arguments.split,
        "metric": task.metric,
        "candidates": arguments.candidates,
        "max_words": task.max_words,
        "queries": len(ids),
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "policies": summary,
    }
    _print(report)
    if arguments.json is not None:
        write_atomically(arguments.json, json.dumps(report, indent=2, allow_nan=False).encode() + b"\n")
        print(f"Wrote {arguments.json}")
    if arguments.plot is not None:
        title = f"{arguments.env}, {len(ids)} {arguments.split} queries"
        write_atomically(arguments.plot, draw_matrix(summary, policy_labels(summary), task.metric, title))
        print(f"Wrote {arguments.plot}")
    if scale is not None:
        level = full_level(scale)
        print(f"Wrote {arguments.trec}: a .run file a policy and retriever, and qrels.txt with gains times {scale}:")
        print(f"  relevant from level {level} on: rel={level} in ir-measures, -l {level} in trec_eval")
        print("  call trec_eval with -c, which counts 0 for a query without a line in a run")
        for tag, count in unmatched.items():
            if count:
                print(f"  {tag}.run: {count} of {len(ids)} queries have no line, as nothing matches their texts")


def _write_once(
    policies: dict[str, ResolvedPolicy], task: RetrievalTask, ids: list[str], prompts: list[str], directory: Path | None
) -> dict[str, Rewrites]:
    """Rewrites of the policies that do not read the task, with a bar for each; each is stored as soon as it is done."""
    written = {}
    once = {name: policy for name, policy in policies.items() if not policy.reads_task}
    for number, (name, policy) in enumerate(once.items(), start=1):
        label = f"[{number}/{len(once)}] {name[-40:]} writes"
        with tqdm(total=len(ids), desc=label, unit="prompt", dynamic_ncols=True) as bar:
            written[name] = policy.write(task, ids, prompts, bar.update)
        if directory is not None:
            path = directory / f"{file_name(name)}.jsonl"
            write_rewrites(path, written[name])
            print(f"Wrote {path}")
    return written


def _measure(
    policies: dict[str, ResolvedPolicy],
    written: dict[str, Rewrites],
    tasks: dict[str, RetrievalTask],
    ids: list[str],
    prompts: list[str],
    trec: Path | None,
) -> tuple[dict[str, Any], dict[str, int]]:
    """Values of all policies under all retrievers, with one bar; TREC runs too if ``trec`` is a directory.

    The second result has for each run the number of queries without a line.
    """
    values: dict[str, Any] = {name: {} for name in policies}
    unmatched = {}
    with tqdm(total=len(policies) * len(tasks), desc="ranking", unit="ranking", dynamic_ncols=True) as bar:
        for name, policy in policies.items():
            for retriever, opened in tasks.items():
                bar.set_postfix_str(f"{name[-40:]} under {retriever[-40:]}")
                rewrites = written.get(name) or policy.write(opened, ids, prompts, lambda done: None)
                values[name][retriever] = rescore(rewrites, retriever, task=opened)
                if trec is not None:
                    tag = trec_tag(name, retriever)
                    unmatched[tag] = write_run(trec, tag, rewrites, opened)
                bar.update()
    return values, unmatched


def _print(report: dict[str, Any]) -> None:
    kind = "synthetic data" if report["synthetic"] else "real data"
    ranked = {"pool": "each query's candidate pool", "corpus": "the whole corpus"}[report["candidates"]]
    print(f"\n{report['queries']} {report['split']} queries of {report['env']} ({report['dataset']}, {kind})")
    print(f"Ranked: {ranked}")
    rows = report["policies"]
    print_tables(rows, policy_labels(rows), report["metric"])
    for name, row in rows.items():
        if row.get("malformed"):
            print(f"\n{name}: {row['malformed']} of {report['queries']} completions hold no rewrite; each earns 0.")
    trained_on = sorted({row["trained_on"] for row in rows.values() if row["trained_on"]})
    if trained_on:
        unseen = [name for name in next(iter(rows.values()))["metrics"] if name not in trained_on]
        print(f"\nTrained on {', '.join(trained_on)}; never seen in training: {', '.join(unseen) or 'none of these'}.")
