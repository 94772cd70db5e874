"""Evaluate policies on a split under one or more retrievers, and print one table.

A policy is a run directory, a policy directory, or a reference: query (the raw query as rewrite), oracle, random.
A trained policy writes each rewrite once; every retriever then ranks the same rewrites.
"""

import difflib
import json
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _cli import Parser, open_task, run
from _runs import read_run

from agents import AgentError
from envs_data.prepared import write_atomically
from ospo_env import REFERENCE_POLICIES, make_reference_policy

_SUPERVISED = ("sft", "dpo")  # learners that are no reinforcement learning


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--policy", nargs="+", required=True, help="policies, one or more")
    parser.add_argument("--retrievers", default="bm25,lsa", help="retrievers, separated by commas")
    parser.add_argument("--metric", default="nDCG@10", help="metric of the printed table; the JSON file has others too")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily, else samples")
    parser.add_argument("--max-new-tokens", type=int, help="bound on a completion; none means the one of training")
    parser.add_argument("--seed", type=int, default=0, help="of sampling and of the random policy")
    parser.add_argument("--json", type=Path, help="file to write with every metric and count")
    arguments = parser.parse_args(argv)
    arguments.retrievers = [name.strip() for name in arguments.retrievers.split(",") if name.strip()]
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Evaluate, print and write."""
    arguments = parse(argv)
    policies = {name: _find(name) for name in arguments.policy}
    tasks = {
        name: open_task(arguments.env, arguments.data, split=arguments.split, retriever=name, metric=arguments.metric)
        for name in arguments.retrievers
    }
    task = next(iter(tasks.values()))
    ids, prompts = task.prompts(arguments.split)
    report: dict[str, Any] = {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "split": arguments.split,
        "queries": len(ids),
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "policies": {},
    }
    for name, directory in policies.items():
        entry = report["policies"][name] = {"stage": None, "trained_on": None, "metrics": {}}
        written = None
        if directory is not None:
            written = _rewrite(directory, arguments, ids, prompts)
            manifest = read_run(directory.parent)
            if manifest is not None:
                algo = manifest["arguments"]["algo"]
                what = algo.upper() if algo in _SUPERVISED else "RL"
                entry["stage"] = f"{'after' if directory.name == 'policy' else 'before'} {what}"
                entry["trained_on"] = manifest["arguments"]["retriever"]
        for retriever, opened in tasks.items():
            texts = make_reference_policy(name, opened, arguments.seed)(ids, prompts) if written is None else written
            metrics = opened.evaluate(ids, texts)
            entry["metrics"][retriever] = {metric: float(np.mean(values)) for metric, values in metrics.items()}
    _print_table(report, task.metric)
    if arguments.json is not None:
        write_atomically(arguments.json, json.dumps(report, indent=2).encode() + b"\n")
        print(f"Wrote {arguments.json}")


def _check(arguments: Namespace) -> None:
    if not arguments.retrievers:
        raise AgentError("--retrievers: expected at least one name, for example bm25,lsa")
    if not math.isfinite(arguments.temperature) or arguments.temperature < 0:
        raise AgentError(f"--temperature: expected a finite number of at least 0, got {arguments.temperature}")
    if arguments.max_new_tokens is not None and arguments.max_new_tokens < 1:
        raise AgentError(f"--max-new-tokens: expected at least 1, got {arguments.max_new_tokens}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    if arguments.json is not None:
        if arguments.json.is_dir():
            raise AgentError(f"--json: expected a file to write, but {arguments.json} is a directory")
        arguments.json.parent.mkdir(parents=True, exist_ok=True)


def _find(name: str) -> Path | None:
    """The policy's directory, or None for a reference; found before anything slow starts."""
    if name in REFERENCE_POLICIES:
        return None
    if len(name) > 1024 or not Path(name).exists():
        near = difflib.get_close_matches(name[:1024], REFERENCE_POLICIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AgentError(
            f"--policy: expected a directory or one of {', '.join(REFERENCE_POLICIES)}; {name[:80]!r} is neither{hint}"
        )
    from agents.lm_policy import find_policy

    return find_policy(name)


def _rewrite(directory: Path, arguments: Namespace, ids: list[str], prompts: list[str]) -> list[str]:
    from _progress import quiet

    from agents.lm_policy import LanguageModelPolicy, load_policy

    quiet()
    policy = LanguageModelPolicy(
        *load_policy(directory),
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    return policy(ids, prompts)


def _print_table(report: dict[str, Any], metric: str) -> None:
    kind = "synthetic data" if report["synthetic"] else "real data"
    print(
        f"\n{metric} on {report['queries']} {report['split']} queries of {report['env']} "
        f"({report['dataset']}, {kind}), mean over queries"
    )
    rows = report["policies"]
    labels = {name: name + (f" ({entry['stage']})" if entry["stage"] else "") for name, entry in rows.items()}
    width = max(len("policy"), *map(len, labels.values()))
    retrievers = list(next(iter(rows.values()))["metrics"])
    print("  ".join([f"{'policy':<{width}}", *(f"{name:>10}" for name in retrievers)]))
    for name, entry in rows.items():
        values = (f"{entry['metrics'][retriever][metric]:>10.4f}" for retriever in retrievers)
        print("  ".join([f"{labels[name]:<{width}}", *values]))
    trained_on = sorted({entry["trained_on"] for entry in rows.values() if entry["trained_on"]})
    if trained_on:
        unseen = [name for name in retrievers if name not in trained_on]
        print(f"Trained on {', '.join(trained_on)}; never seen in training: {', '.join(unseen) or 'none of these'}.")


if __name__ == "__main__":
    run(main)
