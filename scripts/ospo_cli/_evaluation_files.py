"""Files of an evaluation: their names, texts by query, and TREC files of rankings and judgements."""

import itertools
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._outputs import write_file
from ospo_env import RetrievalTask, Rewrites
from ospo_env.evaluation.trec import check_ids, gain_scale, qrels_lines, run_lines

__all__ = ["check_file_names", "file_name", "texts_by_query", "trec_tag", "write_qrels", "write_run"]


def write_run(directory: Path, tag: str, rewrites: Rewrites, task: RetrievalTask) -> int:
    """Write the rankings of rewrites by a task's retriever as the TREC run ``TAG.run``.

    Returns:
        Number of queries without a line, since their texts match no document.
    """
    rankings = task.rankings(rewrites.prompt_ids, rewrites.texts)
    lines = run_lines(rewrites.prompt_ids, rankings, tag)
    write_file(directory / f"{tag}.run", "".join(f"{line}\n" for line in lines).encode())
    return sum(not ranking for ranking in rankings)


def write_qrels(directory: Path, task: RetrievalTask, ids: list[str]) -> int:
    """Write the judgements of some queries as ``qrels.txt``.

    Returns:
        What gains were multiplied by, since TREC files hold whole numbers.

    Raises:
        TaskError: An id holds white space, or gains have no common multiple that is small enough.
    """
    check_ids((*ids, *task.data.documents["doc_id"]))
    judgements = task.judgements(ids)
    scale = gain_scale(gain for _, _, gain in judgements)
    lines = qrels_lines(judgements, scale)
    write_file(directory / "qrels.txt", "".join(f"{line}\n" for line in lines).encode())
    return scale


def texts_by_query(rewrites: Rewrites, ids: Sequence[str]) -> list[list[str]]:
    """The texts of each query, in the order of ``ids``: one, unless a query has several rewrites."""
    texts: dict[str, list[str]] = {query_id: [] for query_id in ids}
    for query_id, text in zip(rewrites.prompt_ids, rewrites.texts, strict=True):
        texts[query_id].append(text)
    return list(texts.values())


def file_name(policy: str) -> str:
    """A policy's name as a file name; of a path the last two parts are kept."""
    return _plain("-".join(Path(policy).parts[-2:]).removesuffix(".jsonl")) or "policy"


def trec_tag(policy: str, retriever: str) -> str:
    """The name of a policy's run under a retriever, and of its file; of paths the last two parts are kept.

    >>> trec_tag("runs/1", "fusion:bm25+dense:/models/1/encoder/final")
    'runs-1.fusion-bm25+dense-encoder-final'
    """
    short = re.sub(r"[^:+]+", lambda part: "-".join(Path(part[0]).parts[-2:]), retriever)
    return f"{file_name(policy)}.{_plain(short) or 'retriever'}"


def check_file_names(arguments: Namespace) -> None:
    """Check that all files of ``--rewrites`` and ``--trec`` have different names.

    Raises:
        AgentError: Two would overwrite each other.
    """
    if arguments.rewrites is not None or arguments.trec is not None:
        _check_apart({policy: file_name(policy) for policy in arguments.policy})
    if arguments.trec is not None:
        pairs = itertools.product(arguments.policy, dict.fromkeys(arguments.retrievers))
        _check_apart({f"{policy} under {retriever}": trec_tag(policy, retriever) for policy, retriever in pairs})


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-")


def _check_apart(files: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for owner, file in files.items():
        other = owners.setdefault(file, owner)
        if other != owner:
            raise AgentError(
                f"--rewrites and --trec: files of {other} and of {owner} would both be named {file}; "
                "evaluate them one after the other, into two directories"
            )
