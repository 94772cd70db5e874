"""Evaluate policies on a split under one or more retrievers: one matrix, with intervals.

A policy is a run directory, a policy directory, a hub id (with a slash), a file of stored rewrites (--rewrites writes
them), openai:MODEL (a chat model at $OPENAI_BASE_URL with the key $OPENAI_API_KEY), or a reference: query (the raw
query as rewrite), prf (the query expanded by pseudo-relevance feedback), oracle, random. A trained policy or a chat
model writes each rewrite once; every retriever then ranks the same rewrites. Gains are over the raw query, paired by
query.
"""

import itertools
import json
import math
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from envs_data.files import write_atomically
from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser, open_task
from ospo_cli._matrix import draw_matrix, policy_labels, print_tables
from ospo_cli._policies import FoundPolicy, Request, open_policy
from ospo_env import RetrievalTask, Rewrites, make_reference_policy, rescore, write_rewrites
from ospo_env.evaluation.summary import summarise
from ospo_env.evaluation.trec import check_ids, full_level, gain_scale, qrels_lines, run_lines


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--policy", nargs="+", required=True, help="policies, one or more")
    parser.add_argument("--retrievers", default="bm25,lsa", help="retrievers, separated by commas")
    parser.add_argument("--metric", default="nDCG@10", help="metric of the first tables; MRR and R@10 are printed too")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
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
    request = Request(
        arguments.env,
        arguments.data,
        arguments.split,
        temperature=arguments.temperature,
        max_new_tokens=arguments.max_new_tokens,
        seed=arguments.seed,
    )
    policies = {name: open_policy(name, request) for name in arguments.policy}
    _check_file_names(arguments)
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
    # first, so that ids and gains that TREC files cannot hold are known at once
    scale = None if arguments.trec is None else _write_qrels(arguments.trec, task, ids)
    written = _write_once(policies, task, ids, prompts, arguments.rewrites)
    raw = make_reference_policy("query", task)(ids, prompts)
    values = _judge(policies, written, tasks, ids, prompts, arguments.trec)
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
        print(f"  count documents as relevant from level {level} on (rel={level} in ir-measures)")


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


def _write_once(
    policies: dict[str, FoundPolicy], task: RetrievalTask, ids: list[str], prompts: list[str], directory: Path | None
) -> dict[str, Rewrites]:
    """The rewrites of the policies that need no retriever, with a bar for each; a file each as soon as it is done."""
    written = {}
    once = {name: policy for name, policy in policies.items() if not policy.of_retriever}
    for number, (name, policy) in enumerate(once.items(), start=1):
        label = f"[{number}/{len(once)}] {name[-40:]} writes"
        with tqdm(total=len(ids), desc=label, unit="prompt", dynamic_ncols=True) as bar:
            written[name] = policy.write(task, ids, prompts, bar.update)
        if directory is not None:
            path = directory / f"{_file_name(name)}.jsonl"
            write_rewrites(path, written[name])
            print(f"Wrote {path}")
    return written


def _judge(
    policies: dict[str, FoundPolicy],
    written: dict[str, Rewrites],
    tasks: dict[str, RetrievalTask],
    ids: list[str],
    prompts: list[str],
    trec: Path | None,
) -> dict[str, Any]:
    """Every metric of every policy under every retriever, with one bar over all of them; TREC runs where asked for."""
    values: dict[str, Any] = {name: {} for name in policies}
    with tqdm(total=len(policies) * len(tasks), desc="judging", unit="ranking", dynamic_ncols=True) as bar:
        for name, policy in policies.items():
            for retriever, opened in tasks.items():
                bar.set_postfix_str(f"{name[-40:]} under {retriever[-40:]}")
                rewrites = written.get(name) or policy.write(opened, ids, prompts, lambda done: None)
                values[name][retriever] = rescore(rewrites, retriever, task=opened)
                if trec is not None:
                    _write_trec(trec, _trec_tag(name, retriever), rewrites, opened)
                bar.update()
    return values


def _write_trec(directory: Path, tag: str, rewrites: Rewrites, task: RetrievalTask) -> None:
    lines = run_lines(rewrites.prompt_ids, task.rankings(rewrites.prompt_ids, rewrites.texts), tag)
    write_atomically(directory / f"{tag}.run", "".join(f"{line}\n" for line in lines).encode())


def _write_qrels(directory: Path, task: RetrievalTask, ids: list[str]) -> int:
    """Write the judgements of some queries, all of whose ids must be fit for it; what the gains were multiplied by."""
    check_ids((*ids, *task.data.documents["doc_id"]))
    judgements = task.judgements(ids)
    scale = gain_scale(gain for _, _, gain in judgements)
    lines = qrels_lines(judgements, scale)
    write_atomically(directory / "qrels.txt", "".join(f"{line}\n" for line in lines).encode())
    return scale


def _file_name(policy: str) -> str:
    """A policy's name as a file's: of a path its last two parts."""
    return _plain("-".join(Path(policy).parts[-2:]).removesuffix(".jsonl")) or "policy"


def _trec_tag(policy: str, retriever: str) -> str:
    """What the run of a policy under a retriever is called, its file too: of the retriever's paths the last two parts.

    >>> _trec_tag("runs/1", "fusion:bm25+dense:/models/1/encoder/final")
    'runs-1.fusion-bm25+dense-encoder-final'
    """
    short = re.sub(r"[^:+]+", lambda part: "-".join(Path(part[0]).parts[-2:]), retriever)
    return f"{_file_name(policy)}.{_plain(short) or 'retriever'}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def _check_file_names(arguments: Namespace) -> None:
    """All files of ``--rewrites`` and ``--trec`` need a name of their own."""
    if arguments.rewrites is not None or arguments.trec is not None:
        _check_apart({policy: _file_name(policy) for policy in arguments.policy})
    if arguments.trec is not None:
        pairs = itertools.product(arguments.policy, dict.fromkeys(arguments.retrievers))
        _check_apart({f"{policy} under {retriever}": _trec_tag(policy, retriever) for policy, retriever in pairs})


def _check_apart(files: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for owner, file in files.items():
        other = owners.setdefault(file, owner)
        if other != owner:
            raise AgentError(
                f"--rewrites and --trec: files of {other} and of {owner} would both be named {file}; "
                "evaluate them one after the other, into two directories"
            )


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
