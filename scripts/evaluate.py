"""Evaluate policies on a split under one or more retrievers: one matrix, with intervals.

A policy is a run directory, a policy directory, a hub id (with a slash), a file of stored rewrites (--rewrites writes
them), or a reference: query (the raw query as rewrite), oracle, random. A trained policy writes each rewrite once;
every retriever then ranks the same rewrites. Gains are over the raw query, paired by query.
"""

import difflib
import json
import math
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _cli import Parser, open_task, run
from _matrix import draw_matrix, print_tables, summarise
from _runs import read_run
from _sb3 import is_sb3_policy, open_sb3_policy

from agents import AgentError
from envs_data.prepared import write_atomically
from ospo_env import REFERENCE_POLICIES, Rewrites, make_reference_policy, read_rewrites, rescore, write_rewrites
from ospo_env.trec import full_level, gain_scale, qrels_lines, run_lines

_SUPERVISED = ("sft", "dpo")  # learners that are no reinforcement learning


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--policy", nargs="+", required=True, help="policies, one or more")
    parser.add_argument("--retrievers", default="bm25,lsa", help="retrievers, separated by commas")
    parser.add_argument("--metric", default="nDCG@10", help="metric of the first tables; MRR and R@10 are printed too")
    parser.add_argument("--candidates", default="pool", choices=("pool", "corpus"), help="documents that are ranked")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily, else samples")
    parser.add_argument("--max-new-tokens", type=int, help="bound on a completion; none means the one of training")
    parser.add_argument("--seed", type=int, default=0, help="of sampling and of the random policy")
    parser.add_argument("--json", type=Path, help="file to write with every metric, interval and gain")
    parser.add_argument("--plot", type=Path, help="PNG file to write with the matrix as a heat map")
    parser.add_argument("--rewrites", type=Path, help="directory to write the trained policies' rewrites into")
    parser.add_argument("--trec", type=Path, help="directory to write TREC run and qrels files into")
    arguments = parser.parse_args(argv)
    arguments.retrievers = [name.strip() for name in arguments.retrievers.split(",") if name.strip()]
    arguments.policy = list(dict.fromkeys(arguments.policy))
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Evaluate, print and write."""
    arguments = parse(argv)
    policies = {name: _find(name) for name in arguments.policy}
    _check_file_names(arguments)
    tasks = {
        name: open_task(
            arguments.env,
            arguments.data,
            split=arguments.split,
            retriever=name,
            metric=arguments.metric,
            candidates=arguments.candidates,
        )
        for name in arguments.retrievers
    }
    task = next(iter(tasks.values()))
    ids, prompts = task.prompts(arguments.split)
    written = {name: _written(name, where, arguments, task, ids, prompts) for name, where in policies.items()}
    if arguments.rewrites is not None:
        for rewrites in filter(None, written.values()):
            path = arguments.rewrites / f"{_file_name(rewrites.policy)}.jsonl"
            write_rewrites(path, rewrites)
            print(f"Wrote {path}")
    raw = make_reference_policy("query", task)(ids, prompts)
    values: dict[str, Any] = {}
    for name, rewrites in written.items():
        values[name] = {}
        for retriever, opened in tasks.items():
            judged = rewrites or _reference(name, arguments, opened, ids, prompts)
            values[name][retriever] = rescore(judged, retriever, task=opened)
            if arguments.trec is not None:
                _write_trec(arguments.trec, judged, retriever, opened)
    summary = summarise(values, {retriever: opened.evaluate(ids, raw) for retriever, opened in tasks.items()})
    for name, rewrites in written.items():
        summary[name] = {"stage": None, "trained_on": None, **(rewrites.notes if rewrites else {}), **summary[name]}
    report = {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "split": arguments.split,
        "candidates": arguments.candidates,
        "queries": len(ids),
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "policies": summary,
    }
    _print(report, task.metric)
    if arguments.json is not None:
        write_atomically(arguments.json, json.dumps(report, indent=2).encode() + b"\n")
        print(f"Wrote {arguments.json}")
    if arguments.plot is not None:
        title = f"{arguments.env}, {len(ids)} {arguments.split} queries"
        draw_matrix(summary, _labels(summary), task.metric, title, arguments.plot)
        print(f"Wrote {arguments.plot}")
    if arguments.trec is not None:
        _write_qrels(arguments.trec, task, ids)


def _check(arguments: Namespace) -> None:
    if not arguments.retrievers:
        raise AgentError("--retrievers: expected at least one name, for example bm25,lsa")
    if not math.isfinite(arguments.temperature) or arguments.temperature < 0:
        raise AgentError(f"--temperature: expected a finite number of at least 0, got {arguments.temperature}")
    if arguments.max_new_tokens is not None and arguments.max_new_tokens < 1:
        raise AgentError(f"--max-new-tokens: expected at least 1, got {arguments.max_new_tokens}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    for option in ("json", "plot"):
        path = getattr(arguments, option)
        if path is not None:
            if path.is_dir():
                raise AgentError(f"--{option}: expected a file to write, but {path} is a directory")
            path.parent.mkdir(parents=True, exist_ok=True)
    for option in ("rewrites", "trec"):
        path = getattr(arguments, option)
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)


def _find(name: str) -> Path | str | None:
    """Where the policy is, or None for a reference; found before anything slow starts."""
    if name in REFERENCE_POLICIES:
        return None
    if len(name) > 1024 or not (Path(name).exists() or "/" in name):
        near = difflib.get_close_matches(name[:1024], REFERENCE_POLICIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AgentError(
            f"--policy: expected a directory, a hub id, stored rewrites or one of {', '.join(REFERENCE_POLICIES)}; "
            f"{name[:80]!r} is none of them{hint}"
        )
    if Path(name).is_file():
        return Path(name)
    for directory in (Path(name), Path(name) / "policy"):
        if is_sb3_policy(directory):
            return directory.resolve()
    from agents.lm_policy import find_policy

    return find_policy(name)


def _written(
    name: str, where: Path | str | None, arguments: Namespace, task: Any, ids: list[str], prompts: list[str]
) -> Rewrites | None:
    """The rewrites of a policy that needs no retriever, read or generated; None for a reference."""
    if where is None:
        return None
    if isinstance(where, Path) and where.is_file():
        stored = read_rewrites(where)
        if list(stored.prompt_ids) != ids:
            raise AgentError(
                f"{where}: expected rewrites of the {len(ids)} prompts of --split {arguments.split}, in order"
            )
        return stored
    if isinstance(where, Path) and is_sb3_policy(where):
        if arguments.temperature > 0:
            raise AgentError(f"--temperature: {name} is of Stable-Baselines3 and takes its best action; leave it at 0")
        return _stored(name, arguments, task, ids, open_sb3_policy(where, task)(ids, prompts), _notes(where))
    from _progress import quiet

    from agents.lm_policy import LanguageModelPolicy, load_policy

    quiet()
    policy = LanguageModelPolicy(
        *load_policy(where),
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    return _stored(name, arguments, task, ids, policy(ids, prompts), _notes(where))


def _reference(name: str, arguments: Namespace, task: Any, ids: list[str], prompts: list[str]) -> Rewrites:
    texts = make_reference_policy(name, task, arguments.seed)(ids, prompts)
    return _stored(name, arguments, task, ids, texts, {})


def _stored(
    name: str, arguments: Namespace, task: Any, ids: list[str], texts: list[str], notes: dict[str, Any]
) -> Rewrites:
    data = None if arguments.data is None else str(arguments.data)
    return Rewrites(arguments.env, data, task.data.fingerprint, name, tuple(ids), tuple(texts), notes)


def _notes(where: Path | str) -> dict[str, Any]:
    """What the run that a policy lies in says of it."""
    manifest = read_run(where.parent) if isinstance(where, Path) else None
    if manifest is None:
        return {}
    algo = manifest["arguments"]["algo"]
    what = algo.upper() if algo in _SUPERVISED else "RL"
    stage = f"{'after' if Path(where).name == 'policy' else 'before'} {what}"
    return {"stage": stage, "trained_on": manifest["arguments"]["retriever"]}


def _write_trec(directory: Path, rewrites: Rewrites, retriever: str, task: Any) -> None:
    tag = f"{_file_name(rewrites.policy)}.{_file_name(retriever)}"
    lines = run_lines(rewrites.prompt_ids, task.rankings(rewrites.prompt_ids, rewrites.texts), tag)
    write_atomically(directory / f"{tag}.run", "".join(f"{line}\n" for line in lines).encode())


def _write_qrels(directory: Path, task: Any, ids: list[str]) -> None:
    judgements = task.judgements(ids)
    scale = gain_scale(gain for _, _, gain in judgements)
    lines = qrels_lines(judgements, scale)
    write_atomically(directory / "qrels.txt", "".join(f"{line}\n" for line in lines).encode())
    print(f"Wrote {directory}: a .run file a policy and retriever, and qrels.txt with gains times {scale}:")
    print(f"  count documents as relevant from level {full_level(scale)} on (rel={full_level(scale)} in ir-measures)")


def _file_name(name: str) -> str:
    """A name that is a file's: of a path its last two parts."""
    return re.sub(r"[^\w.+-]+", "-", "-".join(Path(name).parts[-2:])).strip("-") or "policy"


def _check_file_names(arguments: Namespace) -> None:
    """Each policy's files need a name of their own."""
    if arguments.rewrites is None and arguments.trec is None:
        return
    owners: dict[str, str] = {}
    for policy in arguments.policy:
        other = owners.setdefault(_file_name(policy), policy)
        if other != policy:
            raise AgentError(
                f"--rewrites and --trec: files of {other} and of {policy} would both be named {_file_name(policy)}; "
                "evaluate them one after the other, into two directories"
            )


def _labels(summary: dict[str, Any]) -> dict[str, str]:
    return {name: name + (f" ({row['stage']})" if row["stage"] else "") for name, row in summary.items()}


def _print(report: dict[str, Any], metric: str) -> None:
    kind = "synthetic data" if report["synthetic"] else "real data"
    ranked = {"pool": "each query's candidate pool", "corpus": "the whole corpus"}[report["candidates"]]
    print(f"\n{report['queries']} {report['split']} queries of {report['env']} ({report['dataset']}, {kind})")
    print(f"Ranked: {ranked}")
    rows = report["policies"]
    print_tables(rows, _labels(rows), metric)
    trained_on = sorted({row["trained_on"] for row in rows.values() if row["trained_on"]})
    if trained_on:
        unseen = [name for name in next(iter(rows.values()))["metrics"] if name not in trained_on]
        print(f"\nTrained on {', '.join(trained_on)}; never seen in training: {', '.join(unseen) or 'none of these'}.")


if __name__ == "__main__":
    run(main)
