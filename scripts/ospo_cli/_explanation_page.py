"""An explanation as text for a terminal, and as JSON."""

import dataclasses
import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._explanation import Explanation, Row, credit_colour, explain
from ospo_cli._outputs import write_file
from ospo_cli._policies import Request, ResolvedPolicy, open_policy, settings_of
from ospo_cli._tasks import first_split, open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.evaluation.free_queries import CAUSE, free_prompts, open_free_task
from ospo_env.rendering import terminal_line

__all__ = ["check_query", "coloured", "painted", "print_explanation", "show_explanation"]

_MAX_TITLE = 60


def show_explanation(arguments: Namespace) -> None:
    """Explain a rewrite, print it or write it as JSON.

    Args:
        arguments: As ``ospo explain`` parses them.
    """
    policies = {}
    if arguments.policy is not None:
        request = Request(
            arguments.env,
            arguments.data,
            arguments.split or "test",
            temperature=arguments.temperature,
            max_new_tokens=None,
            seed=arguments.seed,
            retrievers=(arguments.retriever,),
        )
        policies[arguments.policy] = open_policy(arguments.policy, request)
    task = open_task(
        arguments.env,
        arguments.data,
        split=None,
        retriever=arguments.retriever,
        **settings_of(arguments, {name: policy.made_for for name, policy in policies.items()}),
    )
    prompt_id, text = arguments.query_id, arguments.text
    if arguments.query is None:
        check_query(prompt_id, task)
    if text is None:
        (policy,) = policies.values()
        text = _written(policy, task, arguments)
    if arguments.query is not None:
        free = open_free_task(task, [arguments.query], [text])
        task, (prompt_id,) = free.task, free.prompt_ids
    explanation = explain(
        task,
        prompt_id,
        text,
        segmenter=arguments.segmenter,
        solution=arguments.solution,
        calls=arguments.calls,
        top=arguments.top,
    )
    print_explanation(
        _as_json(explanation, arguments, task),
        _lines(explanation, arguments, task, coloured(arguments.color)),
        arguments.json,
    )


def print_explanation(content: Mapping[str, Any], lines: Sequence[str], path: Path | None) -> None:
    """Print an explanation, and write it as JSON where that is asked for.

    Args:
        content: The JSON.
        lines: The text for a terminal, cleaned.
        path: File of the JSON; ``-`` prints it in place of the text.
    """
    text = json.dumps(content, indent=2)
    if path == Path("-"):
        say(text)
        return
    if path is not None:
        write_file(path, text.encode() + b"\n")
        lines = [*lines, terminal_line(f"Wrote {path}")]
    say("\n".join(lines), cleaned=True)


def _written(policy: ResolvedPolicy, task: RetrievalTask, arguments: Namespace) -> str:
    """The rewrite that a policy writes for the query that a command line names."""
    if arguments.query is not None:
        task = free_prompts(task, [arguments.query])
        ids, prompts = task.prompts("test")
    else:
        ids = [arguments.query_id]
        prompts = [dict(zip(*task.prompts(task.query(ids[0]).split), strict=True))[ids[0]]]
    policy.check(task, ids)
    if policy.several:
        raise AgentError(f"--policy {arguments.policy} has several rewrites a query; give one by --text")
    (text,) = policy.write(task, ids, prompts, lambda done: None).texts
    return text


def check_query(prompt_id: str | None, task: RetrievalTask) -> None:
    """Raise :class:`AgentError`, which names some ids, unless a command line names a query."""
    if prompt_id is None:
        split = first_split(task)
        ids, prompts = task.prompts(split)
        some = ", ".join(f"{key} ({terminal_line(prompt)[:40]})" for key, prompt in zip(ids[:3], prompts, strict=False))
        raise AgentError(f"--query-id: expected the id of a query; the {split} split has {len(ids)}, such as {some}")


def coloured(choice: str) -> bool:
    """Whether to print colours: ``always``, ``never``, or ``auto``, which is on a terminal without ``NO_COLOR``."""
    if choice == "auto":
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return choice == "always"


def _lines(explanation: Explanation, arguments: Namespace, task: RetrievalTask, colours: bool) -> list[str]:
    kind = "synthetic data" if task.data.synthetic else "real data"
    beyond = f"  ({explanation.words_beyond_cap} words beyond the cap)" if explanation.words_beyond_cap else ""
    lines = [
        terminal_line(f"{arguments.env} ({task.data.manifest['dataset']}, {kind}), {arguments.retriever}"),
        "",
        f"prompt    {terminal_line(explanation.prompt)}",
        f"query     {terminal_line(explanation.query)}",
        f"rewrite   {_painted_text(explanation) if colours else terminal_line(explanation.text)}{beyond}",
        *([f"sent      {terminal_line(explanation.sent)}"] if explanation.sent != explanation.text else []),
        f"{explanation.metric:<9} {explanation.worth:.3f}, the raw query's {explanation.query_worth:.3f}, "
        f"gain {explanation.gain:+.3f}",
        "",
        f"credit    {explanation.method}",
    ]
    for segment in explanation.segments:
        error = "" if segment.error is None else f" ± {segment.error:.3f}"
        shown = painted(terminal_line(segment.text), segment.credit, explanation.largest, colours)
        lines.append(f"  {segment.credit:+.3f}{error}  {shown}")
    lines.append(f"  {explanation.total:+.3f}  {explanation.sum_in_words}")
    for title, rows, ranked in (
        ("before, by the raw query", explanation.before, explanation.query_ranked),
        ("after, by the rewrite", explanation.after, explanation.ranked),
    ):
        relevant = f"{explanation.relevant} judged relevant" if arguments.query is None else "* is the target"
        lines += ["", f"ranking   {title}: {ranked} documents ranked, {relevant}"]
        lines += [_ranked_line(row) for row in rows]
    last = CAUSE if arguments.query is not None else "* full gain, + some gain"
    return [*lines, "", f"{last}; in brackets the rank in the other ranking" if arguments.query is None else last]


def _ranked_line(row: Row) -> str:
    other = "-" if row.other_rank is None else str(row.other_rank)
    title = terminal_line(row.title)[:_MAX_TITLE]
    return f"{row.rank:>3} {row.mark} {row.gain:.2f} ({other:>3})  {title} [{terminal_line(row.doc_id)}]"


def _painted_text(explanation: Explanation) -> str:
    """The rewrite with each segment on its colour; white space at a segment's ends stays plain."""
    parts: list[str] = []
    for segment in explanation.segments:
        shown = terminal_line(segment.text)
        parts.append(" " if parts and segment.text[:1].isspace() else "")
        parts.append(painted(shown, segment.credit, explanation.largest, True))
    return "".join(parts)


def painted(text: str, credit: float, largest: float, colours: bool) -> str:
    """A text on the colour of its credit, or as it is without colours."""
    if not colours:
        return text
    red, green, blue = credit_colour(credit, largest)
    return f"\x1b[38;2;17;17;17;48;2;{red};{green};{blue}m{text}\x1b[0m"


def _as_json(explanation: Explanation, arguments: Namespace, task: RetrievalTask) -> dict[str, Any]:
    return {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "retriever": arguments.retriever,
        "candidates": task.candidates,
        "free": arguments.query is not None,
        **dataclasses.asdict(explanation),
        "gain": explanation.gain,
        "total": explanation.total,
        "efficient": explanation.efficient,
    }
