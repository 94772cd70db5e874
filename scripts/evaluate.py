"""Evaluate policies on a split under one or more retrievers, and print one table.

A policy is a run directory, a policy directory, or a reference: query (the raw query as rewrite), oracle, random.
A trained policy writes each rewrite once; every retriever then ranks the same rewrites.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from _cli import Formatter, run

import ospo_env  # noqa: F401 - registers the environments
from agents import AgentError
from envs_data import DataError
from envs_data.prepared import write_atomically
from ospo_env import REFERENCE_POLICIES, make_reference_policy


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Formatter)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--policy", nargs="+", required=True, help="policies, one or more")
    parser.add_argument("--retrievers", default="bm25,lsa", help="retrievers, separated by commas")
    parser.add_argument("--metric", default="nDCG@10", help="metric of the printed table; the JSON file has all")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily, else samples")
    parser.add_argument("--max-new-tokens", type=int, default=48, help="bound on a completion")
    parser.add_argument("--seed", type=int, default=0, help="of sampling and of the random policy")
    parser.add_argument("--json", type=Path, help="file to write with every metric and count")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    """Evaluate, print and write."""
    arguments = parse(argv)
    retrievers = [name.strip() for name in arguments.retrievers.split(",") if name.strip()]
    if not retrievers:
        raise AgentError("--retrievers: expected at least one name, for example bm25,lsa")
    policies = {name: _check_policy(name) for name in arguments.policy}
    tasks = {name: _task(arguments, name) for name in retrievers}
    ids, prompts = next(iter(tasks.values())).prompts(arguments.split)
    if not ids:
        raise DataError(f"the split {arguments.split!r} has no queries; choose another or prepare more data")
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, directory in policies.items():
        written = None if directory is None else _rewrite(directory, arguments, ids, prompts)
        results[name] = {}
        for retriever, task in tasks.items():
            texts = written or make_reference_policy(name, task, seed=arguments.seed)(ids, prompts)
            metrics = task.evaluate(ids, texts)
            results[name][retriever] = {metric: float(np.mean(values)) for metric, values in metrics.items()}
    any_task = next(iter(tasks.values()))
    _print_table(arguments, any_task, len(ids), retrievers, results)
    if arguments.json is not None:
        report = {
            "env": arguments.env,
            "dataset": any_task.data.manifest["dataset"],
            "synthetic": any_task.data.synthetic,
            "data_fingerprint": any_task.data.fingerprint,
            "split": arguments.split,
            "queries": len(ids),
            "temperature": arguments.temperature,
            "seed": arguments.seed,
            "results": results,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.json, json.dumps(report, indent=2).encode() + b"\n")
        print(f"Wrote {arguments.json}")


def _check_policy(name: str) -> Path | None:
    """The policy's directory, or None for a reference; found before anything slow starts."""
    if name in REFERENCE_POLICIES:
        return None
    if not Path(name).exists():
        raise AgentError(f"expected a policy directory or one of {', '.join(REFERENCE_POLICIES)}; {name!r} is neither")
    from agents.lm_policy import find_policy

    return find_policy(name)


def _task(arguments: argparse.Namespace, retriever: str) -> Any:
    data = None if arguments.data is None else str(arguments.data)
    try:
        env = gym.make(arguments.env, data=data, split=arguments.split, retriever=retriever, metric=arguments.metric)
    except gym.error.Error as error:
        raise DataError(str(error)) from error
    return env.unwrapped.task  # type: ignore[attr-defined]


def _rewrite(directory: Path, arguments: argparse.Namespace, ids: list[str], prompts: list[str]) -> list[str]:
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


def _print_table(
    arguments: argparse.Namespace, task: Any, queries: int, retrievers: list[str], results: dict[str, Any]
) -> None:
    kind = "synthetic data" if task.data.synthetic else "real data"
    print(
        f"\n{arguments.metric} on {queries} {arguments.split} queries of {arguments.env} "
        f"({task.data.manifest['dataset']}, {kind}); mean over queries"
    )
    width = max(len("policy"), *(len(name) for name in results))
    print("  ".join([f"{'policy':<{width}}", *(f"{name:>10}" for name in retrievers)]))
    for name, row in results.items():
        values = (f"{row[retriever][arguments.metric]:>10.4f}" for retriever in retrievers)
        print("  ".join([f"{name:<{width}}", *values]))


if __name__ == "__main__":
    run(main, AgentError)
