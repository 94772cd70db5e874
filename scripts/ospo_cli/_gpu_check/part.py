"""The check: correctness, costs, one table each, printed as they come and written."""

import json
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from envs_data.files import write_atomically
from envs_data.sample import sample_data
from ospo_cli._benchmark.report import markdown, terminal_row
from ospo_cli._benchmark.rows import Row
from ospo_cli._gpu_check.correctness import correctness_rows
from ospo_cli._gpu_check.costs import Cost, Load, measure_costs
from ospo_cli._gpu_check.models import ENCODER, SIZES, TINY, TINY_ENCODER, write_encoder
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.retrievers.dense import DenseRetriever
from ospo_env.retrievers.encoder import TextEncoder

__all__ = ["gpu_check"]

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "sentence-transformers")
_TARGET = 1.05
_ADDED = 5.0  # percent of GRPO's step, by OSPO's own clock
_AIMED = ("0.5B", "1.5B")
_MOST_WORDS = 64  # of a rewrite that count: all


def gpu_check(arguments: Namespace, command: str) -> None:
    """Check and measure, print the rows, write the files.

    Args:
        arguments: As ``ospo gpu-check`` parses them.
        command: The command line, for the files.
    """
    begin = time.monotonic()
    rows: list[Row] = []
    lines: list[str] = []
    for row, of_row in _measured(arguments, begin + 60 * arguments.minutes):
        say(terminal_row(row))
        rows.append(row)
        lines += of_row
        if arguments.out is not None:  # what is interrupted has left something
            _write(arguments, command, rows, lines, time.monotonic() - begin)
    say(f"{time.monotonic() - begin:.0f} s in all")


def _measured(arguments: Namespace, end: float) -> Iterator[tuple[Row, list[str]]]:
    """Rows as they are measured, and lines of the second table; no model is begun after the end."""
    data = sample_data("shopping")

    def lexical() -> RetrievalTask:
        return RetrievalTask(data, "bm25", metric="nDCG@10", max_words=_MOST_WORDS)

    with tempfile.TemporaryDirectory() as scratch:
        write_encoder(TINY_ENCODER if arguments.tiny else ENCODER, lexical(), Path(scratch))
        encoder = Path(scratch) / "encoder"
        if arguments.only != "costs":
            yield from ((row, []) for row in correctness_rows(arguments.device, encoder))
        opened = partial(DenseRetriever, model=str(encoder), device=arguments.device)

        def dense() -> RetrievalTask:
            return RetrievalTask(data, opened, metric="nDCG@10", max_words=_MOST_WORDS)

        for load, retriever in () if arguments.only == "correctness" else _loads(arguments.tiny):
            if time.monotonic() > end:
                say(f"not begun after {arguments.minutes} minutes: {_described(load, retriever)}")
                continue
            costs = measure_costs(load, dense if retriever == "dense" else lexical, arguments.device, arguments.steps)
            yield _row(load, retriever, costs), [_line(load, retriever, algo, cost) for algo, cost in costs.items()]
            yield _added(load, retriever, costs), []
        if arguments.compile:
            yield _compiled(encoder, arguments.device), []


def _loads(tiny: bool) -> Iterator[tuple[Load, str]]:
    """Models and retrievers in the order in which they are measured, those with a target first."""
    if tiny:
        yield Load("tiny", TINY, lora=False, rollouts=16, tokens=12), "bm25"
        yield Load("tiny", TINY, lora=True, rollouts=16, tokens=12), "dense"
        return
    yield Load("0.5B", SIZES["0.5B"], lora=False), "bm25"
    yield Load("1.5B", SIZES["1.5B"], lora=True), "bm25"
    yield Load("0.5B", SIZES["0.5B"], lora=True), "bm25"
    yield Load("0.5B", SIZES["0.5B"], lora=False, rollouts=256), "bm25"
    yield Load("0.5B", SIZES["0.5B"], lora=True), "dense"
    yield Load("135M", SIZES["135M"], lora=False), "bm25"
    yield Load("135M", SIZES["135M"], lora=True), "bm25"


def _row(load: Load, retriever: str, costs: dict[str, Cost]) -> Row:
    aimed = load.name in _AIMED and retriever == "bm25"
    return Row(
        f"OSPO's step over GRPO's: {_described(load, retriever)}",
        f"<= {_TARGET}x" if aimed else "",
        costs["ospo"].seconds / costs["grpo"].seconds,
        "x",
        most=_TARGET if aimed else None,
        details={algo: cost._asdict() for algo, cost in costs.items()},
    )


def _added(load: Load, retriever: str, costs: dict[str, Cost]) -> Row:
    """Row of the time that OSPO adds by its own clock; whole steps vary more, since small kernels fill them."""
    aimed = load.name in _AIMED and retriever == "bm25"
    own, other = costs["ospo"].stages, costs["grpo"].stages
    added = own["scoring"] + own["credit"] - other["scoring"]
    return Row(
        f"scoring and credit of OSPO, less GRPO's scoring, over GRPO's step: {_described(load, retriever)}",
        f"<= {_ADDED:g}%" if aimed else "",
        100 * added / costs["grpo"].seconds,
        "%",
        most=_ADDED if aimed else None,
    )


def _described(load: Load, retriever: str) -> str:
    weights = "LoRA" if load.lora else "all weights"
    return f"{load.name}, {weights}, {load.rollouts} rollouts of {load.tokens} tokens, {retriever}"


def _line(load: Load, retriever: str, algo: str, cost: Cost) -> str:
    share = (cost.stages["scoring"] + cost.stages.get("credit", 0.0)) / sum(cost.stages.values())
    cells = [
        _described(load, retriever),
        algo,
        f"{cost.seconds:.3f}",
        f"{share:.1%}",
        f"{cost.tokens:,.0f}",
        f"{cost.gigabytes:.1f}",
        f"{cost.parameters:,.0f}",
        cost.attention,
    ]
    return f"| {' | '.join(cells)} |"


_HEAD = (
    "| model | method | s a step | share of scoring and credit | tokens/s | peak GB | M parameters | attention |",
    "|---|---|---|---|---|---|---|---|",
)


def _compiled(encoder: Path, device: str) -> Row:
    """Time of the encoder over that of the compiled one, on texts of all lengths, after both are warm."""
    words = [f"w{number}" for number in range(40)]
    texts = [" ".join(words[: 1 + number % 24]) for number in range(2048)]
    plain = TextEncoder(encoder, "float32", device)
    compiled = TextEncoder(encoder, "float32", device)
    compiled._model[0].model.compile(dynamic=True)
    seconds = []
    for one in (plain, compiled):
        one.encode(texts, "query")
        start = time.perf_counter()
        one.encode(texts, "query")
        seconds.append(time.perf_counter() - start)
    return Row("the encoder over the compiled encoder", "", seconds[0] / seconds[1], "x")


def _write(arguments: Namespace, command: str, rows: list[Row], lines: list[str], seconds: float) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    content = {
        "command": command,
        "device": name,
        "seconds": round(seconds, 1),
        "versions": {package: version(package) for package in _PACKAGES},
        "rows": [row.as_json() for row in rows],
    }
    write_atomically(arguments.out / "gpu-check.json", (json.dumps(content, indent=1) + "\n").encode())
    page = "\n".join([f"{name}: " + markdown(rows, command), *_HEAD, *lines, ""])
    write_atomically(arguments.out / "gpu-check.md", page.encode())
