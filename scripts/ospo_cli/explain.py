"""Which segments of a rewrite earned the reward: credit of a text typed by hand, and the ranking before and after.

Credit is in the metric's unit. Without --solution it is exact (`shapley`) up to 12 segments and estimated
(`sampled_shapley`, with standard errors) beyond; what was used is printed. Colours only repeat what the numbers say.
"""

import dataclasses
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs_data.files import write_atomically
from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser, first_split, open_task
from ospo_cli._explanation import Explanation, Row, credit_colour, explain
from ospo_env import RetrievalTask
from ospo_env.rendering import one_line

_MAX_TITLE = 60


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("--env", default="OSPO-ESCI-v0", help="environment id")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--retriever", default="bm25", help="what ranks")
    parser.add_argument("--metric", default="nDCG@10", help="what a text is worth")
    parser.add_argument("--candidates", default="pool", choices=("pool", "corpus"), help="documents that are ranked")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    parser.add_argument("--query-id", help="the query, of any split; without it some ids are named")
    parser.add_argument("--text", required=True, help="the rewrite to explain")
    parser.add_argument("--segmenter", default="phrases", help="players of the game: words, phrases or sentences")
    parser.add_argument("--solution", help="shapley, sampled_shapley, owen, ... (default: as said above)")
    parser.add_argument("--top", type=int, default=5, help="documents of each ranking to show")
    parser.add_argument("--color", default="auto", choices=("auto", "always", "never"), help="auto heeds NO_COLOR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON; - prints it instead")
    arguments = parser.parse_args(argv)
    if arguments.top < 1:
        raise AgentError(f"--top: expected at least 1, got {arguments.top}")
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Explain, print, write."""
    arguments = parse(argv)
    task = open_task(
        arguments.env,
        arguments.data,
        split=None,
        retriever=arguments.retriever,
        metric=arguments.metric,
        candidates=arguments.candidates,
        max_words=arguments.max_words,
    )
    if arguments.query_id is None:
        split = first_split(task)
        ids, prompts = task.prompts(split)
        some = ", ".join(f"{key} ({one_line(prompt)[:40]})" for key, prompt in zip(ids[:3], prompts, strict=False))
        raise AgentError(f"--query-id: expected the id of a query; the {split} split has {len(ids)}, such as {some}")
    found = explain(
        task,
        arguments.query_id,
        arguments.text,
        segmenter=arguments.segmenter,
        solution=arguments.solution,
        top=arguments.top,
    )
    if arguments.json is None or str(arguments.json) != "-":
        print("\n".join(_lines(found, arguments, task, coloured(arguments.color))))
    if arguments.json is not None:
        content = json.dumps(_as_json(found, arguments, task), indent=2)
        if str(arguments.json) == "-":
            print(content)
        else:
            write_atomically(arguments.json, content.encode() + b"\n")
            print(f"Wrote {arguments.json}")


def coloured(choice: str) -> bool:
    """Whether to print colours: ``always``, ``never``, or ``auto``, which is on a terminal without ``NO_COLOR``."""
    if choice == "auto":
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return choice == "always"


def _lines(found: Explanation, arguments: Namespace, task: RetrievalTask, colours: bool) -> list[str]:
    kind = "synthetic data" if task.data.synthetic else "real data"
    beyond = f"  ({found.words_beyond_cap} words beyond the cap)" if found.words_beyond_cap else ""
    lines = [
        f"{arguments.env} ({task.data.manifest['dataset']}, {kind}), {one_line(arguments.retriever)}",
        "",
        f"prompt    {one_line(found.prompt)}",
        f"query     {one_line(found.query)}",
        f"rewrite   {_painted_text(found) if colours else one_line(found.text)}{beyond}",
        f"{found.metric:<9} {found.worth:.3f}, the raw query's {found.query_worth:.3f}, gain {found.gain:+.3f}",
        "",
        f"credit    {found.method}",
    ]
    for segment in found.segments:
        error = "" if segment.error is None else f" ± {segment.error:.3f}"
        shown = _painted(one_line(segment.text), segment.credit, found.largest, colours)
        lines.append(f"  {segment.credit:+.3f}{error}  {shown}")
    lines.append(f"  {found.total:+.3f}  {found.sum_in_words}")
    for title, rows, ranked in (
        ("before, by the raw query", found.before, found.query_ranked),
        ("after, by the rewrite", found.after, found.ranked),
    ):
        lines += ["", f"ranking   {title}: {ranked} documents ranked, {found.relevant} judged relevant"]
        lines += [_ranked_line(row) for row in rows]
    return [*lines, "", "* full gain, + some gain; in brackets the rank in the other ranking"]


def _ranked_line(row: Row) -> str:
    other = "-" if row.other_rank is None else str(row.other_rank)
    title = one_line(row.title)[:_MAX_TITLE]
    return f"{row.rank:>3} {row.mark} {row.gain:.2f} ({other:>3})  {title} [{one_line(row.doc_id)}]"


def _painted_text(found: Explanation) -> str:
    """The rewrite with each segment on its colour; white space at a segment's ends stays plain."""
    parts: list[str] = []
    for segment in found.segments:
        shown = one_line(segment.text)
        parts.append(" " if parts and segment.text[:1].isspace() else "")
        parts.append(_painted(shown, segment.credit, found.largest, True))
    return "".join(parts)


def _painted(text: str, credit: float, largest: float, colours: bool) -> str:
    if not colours:
        return text
    red, green, blue = credit_colour(credit, largest)
    return f"\x1b[38;2;17;17;17;48;2;{red};{green};{blue}m{text}\x1b[0m"


def _as_json(found: Explanation, arguments: Namespace, task: RetrievalTask) -> dict[str, Any]:
    return {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "retriever": arguments.retriever,
        "candidates": arguments.candidates,
        **dataclasses.asdict(found),
        "gain": found.gain,
        "total": found.total,
        "efficient": found.efficient,
    }
