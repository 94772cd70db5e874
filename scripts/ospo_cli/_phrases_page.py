"""The phrases of a file of rewrites as text for a terminal, as CSV and as JSON."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from ospo_agents.assignment import default_segmenter
from ospo_agents.segments import phrase_key
from ospo_cli._credited_rewrites import CreditedRewrite, credit_rewrites
from ospo_cli._modes import MODES, modes_in_words
from ospo_cli._outputs import write_file
from ospo_cli._phrases import PhraseStudy, study_phrases
from ospo_cli._policies import settings_of
from ospo_cli._rewrite_files import RewriteFile, open_rewrite_file
from ospo_cli._tasks import open_task
from ospo_cli._terminal import Table, say, say_blocks
from ospo_env import RetrievalTask
from ospo_env.evaluation.free_queries import CAUSE, open_free_task
from ospo_env.evaluation.phrase_table import FALSE_DISCOVERIES, PhraseRow
from ospo_env.evaluation.verdict import Verdict
from ospo_env.rendering import terminal_line

__all__ = ["show_phrases"]

_RARE = 0.05  # p-value up to which a verdict says who wins more often
_BOTH_ENDS = ("credit", "total")  # orders of which the first and the last phrases are shown


class _Explained(NamedTuple):
    """Task of the rewrites, their phrases, and remarks on rewrites that were left out."""

    task: RetrievalTask
    study: PhraseStudy
    remarks: list[str]


def show_phrases(arguments: Namespace) -> None:
    """Explain all rewrites of a file, print the verdict and the phrases, and write the files.

    Args:
        arguments: As ``ospo explain`` parses them, with ``--rewrites``.
    """
    file = open_rewrite_file(arguments.rewrites)
    opened = _explain(file, arguments)
    content = json.dumps(_as_json(opened, arguments), indent=2, allow_nan=False)
    written = []
    if arguments.csv is not None:
        write_file(arguments.csv, _as_csv(opened.study.table).encode())
        written.append(terminal_line(f"Wrote {arguments.csv}"))
    if arguments.json == Path("-"):
        say(content)
        return
    if arguments.json is not None:
        write_file(arguments.json, content.encode() + b"\n")
        written.append(terminal_line(f"Wrote {arguments.json}"))
    say_blocks([*_blocks(opened, arguments), *written])


def _explain(file: RewriteFile, arguments: Namespace) -> _Explained:
    settings = settings_of(arguments, {str(file.path): file.made_for(arguments.env)})
    task = open_task(arguments.env, arguments.data, split=arguments.split, retriever=arguments.retriever, **settings)
    how: dict[str, Any] = {name: getattr(arguments, name) for name in ("segmenter", "solution", "calls")}
    summed: dict[str, Any] = {"fewest": arguments.minimum_queries, "sort": arguments.sort}
    if not arguments.free:
        matched = file.match(task, arguments.split)
        rewrites = credit_rewrites(task, matched.prompt_ids, matched.texts, **how)
        elsewhere = f"{matched.elsewhere:,} rewrites are of queries of other splits and not used"
        return _Explained(task, study_phrases(task, rewrites, **summed), [elsewhere] if matched.elsewhere else [])
    queries, texts = file.free_queries()
    free = open_free_task(task, queries, texts)
    rewrites = credit_rewrites(free.task, free.prompt_ids, [texts[place] for place in free.places], **how)
    unmatched = f"{len(texts) - len(rewrites):,} rewrites match no document and are left out"
    remarks = [unmatched] if len(rewrites) < len(texts) else []
    return _Explained(free.task, study_phrases(free.task, rewrites, judged=False, **summed), remarks)


def _blocks(opened: _Explained, arguments: Namespace) -> list[str | Table]:
    task, study, remarks = opened
    kind = "synthetic data" if task.data.synthetic else "real data"
    sent = modes_in_words({name: getattr(task, name) for name in MODES})
    lines: list[str | Table] = [
        terminal_line(f"{arguments.env} ({task.data.manifest['dataset']}, {kind}), {arguments.retriever}"),
        terminal_line(f"{len(study.rewrites):,} rewrites of {study.queries:,} queries: {arguments.rewrites}"),
        *([f"Sent: {sent}"] if sent else []),
        *(f"{remark}." for remark in remarks),
    ]
    beyond, estimated = _beyond_cap(opened), _estimated(study)
    if beyond:
        lines.append(f"{beyond:,} rewrites lost words to the cap of {task.max_words}.")
    if estimated:
        lines.append(f"{estimated:,} rewrites have so many segments, or so few calls, that their credit is estimated.")
    if study.verdict is None:
        lines += ["", CAUSE]
    else:
        lines += ["", *_verdict_lines(study.verdict, study.raw, task.metric)]
        if task.compose != "append":
            lines.append(
                "Credit sums to a rewrite's worth here; with --compose append, to its gain over the raw query."
            )
    lines += ["", *_table_blocks(study, arguments, task.metric)]
    if study.verdict is not None:
        lines += ["", *_losing_lines(study.losing, arguments.shown)]
        lines += ["", *_list_lines(study)]
    return lines


def _verdict_lines(verdict: Verdict, raw: float, metric: str) -> list[str]:
    wins, ties, losses, p_value = verdict.signs
    words = "a difference that chance makes often"
    if p_value <= _RARE:
        words = "rewrites win more often" if wins > losses else "rewrites lose more often"
    gain = f"{verdict.gain.value:+.3f} {verdict.gain.bounds('+.3f')}"
    return [
        f"Verdict: {metric} {gain} over the raw query's {raw:.3f} [95 % interval over queries]",
        f"  win {wins:,} / tie {ties:,} / loss {losses:,}; sign test p = {p_value:.2g}: {words}",
    ]


def _table_blocks(study: PhraseStudy, arguments: Namespace, metric: str) -> list[str | Table]:
    fewest, table = arguments.minimum_queries, study.table
    enough = f"{len(table):,} of {study.phrases:,} phrases stand in the rewrites of at least {fewest} queries"
    if not table:
        return [f"Phrases: {enough}; lower --minimum-queries, or take smaller ones by --segmenter words"]
    top, bottom = list(table[: 2 * arguments.shown]), []
    if arguments.sort in _BOTH_ENDS and len(table) > 2 * arguments.shown:
        top, bottom = list(table[: arguments.shown]), list(table[len(table) - arguments.shown :])
    hidden = len(table) - len(top) - len(bottom)
    title = f"Phrases: {enough}; credit in {metric}, mean over queries [95 % interval]"
    plain = [
        title,
        f"{'credit':>8} {'':18} {'queries':>8} {'helps':>6} {'hurts':>6} {'q':>7} {'list':>5}  phrase",
        *map(_row_line, top),
        *([f"{'...':>8}  {hidden:,} more; --csv FILE has all"] if hidden else []),
        *map(_row_line, bottom),
    ]
    gap = [("", f"... {hidden:,} more; --csv FILE has all", *[""] * 5)] if hidden else []
    cells = [*map(_row_cells, top), *gap, *map(_row_cells, bottom)]
    tones = [*map(_row_tones, top), *[("",) * 7 for _ in gap], *map(_row_tones, bottom)]
    head = ("phrase", "credit", "queries", "helps", "hurts", "q", "list")
    both_ends = Table(title, head, tuple(cells), tuple(tones), plain=tuple(plain))
    return [
        both_ends,
        "q: the share of chance finds among phrases of that q or less (sign test of helps against hurts)",
    ]


def _row_line(row: PhraseRow) -> str:
    helps, hurts = (f"{count / row.queries:.0%}" for count in (row.helps, row.hurts))
    return (
        f"{row.credit.value:>+8.3f} {row.credit.bounds('+.3f'):18} {row.queries:>8,} {helps:>6} {hurts:>6} "
        f"{row.q_value:>7.3f} {row.verdict:>5}  {terminal_line(row.phrase)}"
    )


def _row_cells(row: PhraseRow) -> tuple[str, ...]:
    helps, hurts = (f"{count / row.queries:.0%}" for count in (row.helps, row.hurts))
    credit = f"{row.credit.value:+.3f} {row.credit.bounds('+.3f')}"
    return row.phrase, credit, f"{row.queries:,}", helps, hurts, f"{row.q_value:.3f}", row.verdict


def _row_tones(row: PhraseRow) -> tuple[str, ...]:
    tone = {"keep": "good", "stop": "bad"}.get(row.verdict, "")
    return tone, tone, "", "", "", "", tone


def _losing_lines(losing: Sequence[CreditedRewrite], shown: int) -> list[str]:
    if not losing:
        return ["Queries that lose: none"]
    lines = [f"Queries that lose most, of {len(losing):,} rewrites that lose:"]
    for row in losing[:shown]:
        rewrite = f"{row.prompt_id}: {row.query} -> {row.credited.text}"
        lines += [f"{row.gain:>+8.3f}  {terminal_line(rewrite)}", f"{'':8}  {_cost(row)}"]
    return lines


def _cost(row: CreditedRewrite) -> str:
    """Words for the phrase that costs most, or for the words that were left out."""
    if row.costliest is not None:
        text, credit = row.costliest
        return f"{credit:+.3f} by {terminal_line(phrase_key(text) or text)!r}"
    if row.left_out:
        return f"no phrase costs; left out: {terminal_line(', '.join(row.left_out))}"
    return "no phrase costs"


def _list_lines(study: PhraseStudy) -> list[str]:
    share = f"at most {FALSE_DISCOVERIES:.0%} of them by chance"
    lines = []
    for name, verdict, does in (("Keep", "keep", "help"), ("Stop", "stop", "hurt")):
        phrases = study.listed(verdict)
        lines.append(f"{name}-list, {len(phrases):,} phrases that {does} ({share}):")
        lines.append(f"  {terminal_line(json.dumps(phrases, ensure_ascii=False))}")
    if study.pruned is not None:
        change, gain = study.pruned.change, study.pruned.verdict.gain
        lines.append(
            f"Without stop phrases: change {change.value:+.3f} {change.bounds('+.3f')}, gain then {gain.value:+.3f} "
            f"{gain.bounds('+.3f')} (each half of the queries by the list of the other half)"
        )
    return lines


def _beyond_cap(opened: _Explained) -> int:
    """Number of rewrites that lost words to the cap."""
    rewrites = opened.study.rewrites
    ids, texts = [row.prompt_id for row in rewrites], [row.credited.text for row in rewrites]
    return sum(map(bool, opened.task.words_beyond_cap(ids, texts)))


def _estimated(study: PhraseStudy) -> int:
    """Number of rewrites whose credit is estimated."""
    return sum(row.estimated for row in study.rewrites)


def _as_csv(table: Sequence[PhraseRow]) -> str:
    rows = [
        (row.phrase, row.queries, *row.credit, row.total, row.helps, row.hurts, row.p_value, row.q_value, row.verdict)
        for row in table
    ]
    names = "phrase queries credit low high total helps hurts p_value q_value verdict".split()
    types = [pl.String, pl.Int64, *[pl.Float64] * 4, *[pl.Int64] * 2, *[pl.Float64] * 2, pl.String]
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row").write_csv()


def _as_json(opened: _Explained, arguments: Namespace) -> dict[str, Any]:
    task, study, remarks = opened
    return {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "retriever": arguments.retriever,
        "metric": task.metric,
        "candidates": task.candidates,
        "max_words": task.max_words,
        **{name: getattr(task, name) for name in MODES},
        "file": str(arguments.rewrites),
        "split": arguments.split,
        "free": arguments.free,
        "segmenter": arguments.segmenter or default_segmenter(arguments.solution),
        "queries": study.queries,
        "remarks": remarks,
        "beyond_cap": _beyond_cap(opened),
        "estimated": _estimated(study),
        "raw": study.raw,
        "verdict": None if study.verdict is None else study.verdict.as_json(),
        "phrases": [row.as_json() for row in study.table],
        "keep": study.listed("keep"),
        "stop": study.listed("stop"),
        "without_stop_lists": None if study.pruned is None else study.pruned.as_json(),
        "rewrites": [
            {
                "prompt_id": row.prompt_id,
                "query": row.query,
                "text": row.credited.text,
                "raw": row.raw,
                "worth": row.credited.worth,
                "gain": row.gain,
                "left_out": row.left_out,
                "solution": row.credited.solution,
                "segments": [{"text": text, "credit": credit} for text, credit in row.phrases],
            }
            for row in study.rewrites
        ],
    }
