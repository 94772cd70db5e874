"""Rows of search engines: a training step's scoring, an evaluation, and a server that takes 5 ms to answer."""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envs_data import PreparedData
from ospo_agents import AgentError
from ospo_agents.calls import DEFAULT_CALLS
from ospo_cli._benchmark import slow_server
from ospo_cli._benchmark.rows import Row, interleaved
from ospo_cli._benchmark.work import Rollouts, fresh_task, make_rollouts, open_data
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.task import RetrievalTask

__all__ = ["engine_rows", "slow_engine"]

_PLAYERS = range(4, 9)  # phrases of a rewrite
_QUERIES = 1000
_ANSWERS_IN = 0.005  # seconds
_CONCURRENCY = 8
_DEPTH = 100


def engine_rows(arguments: Namespace) -> list[Row]:
    """Rows of ``tantivy`` and ``http`` on the corpus of ``--data``, or on the embedded sample. Times are wall clock."""
    data = open_data(arguments.data)
    try:
        with tempfile.TemporaryDirectory(prefix="ospo-") as folder, slow_engine(data, Path(folder)) as slow:
            tantivy = f"tantivy:{folder}/index?build=true&threads=2"
            rows = [
                _step_row(data, tantivy, "tantivy, two threads", 1.5, arguments),
                _evaluation_row(data, tantivy, arguments),
                _step_row(data, slow, f"http, a server that answers in 5 ms, {_CONCURRENCY} at once", 2.0, arguments),
            ]
    except (TaskError, RetrieverError) as error:
        raise AgentError(f"--only engines: {error}") from error
    return rows


@contextmanager
def slow_engine(data: PreparedData, folder: Path) -> Iterator[str]:
    """Specification of a retriever on a running server that takes 5 ms to answer."""
    ids = folder / "ids.txt"
    ids.write_text("\n".join(data.documents.doc_ids), encoding="utf-8")
    command = [sys.executable, slow_server.__file__, str(ids), str(_ANSWERS_IN)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            settings = f"ids=hits.id&scores=hits.score&depth={_DEPTH}&concurrency={_CONCURRENCY}&cache=false"
            yield f"http:http://127.0.0.1:{port}/search%3Fq={{query}}&k={{k}}?{settings}"
        finally:
            server.kill()


def _step_row(data: PreparedData, retriever: str, what: str, most: float, arguments: Namespace) -> Row:
    """Scoring of a training step at the default calls, with an empty cache."""
    task = fresh_task(data, retriever)
    rollouts = make_rollouts(task, arguments.prompts, arguments.group, _PLAYERS, "shapley")
    _score(task, rollouts)  # opens connections and maps files
    cold = [fresh_task(data, task.retriever) for _ in range(arguments.repeats)]
    counted = cold[-1]
    start = time.process_time()
    (seconds,) = interleaved([lambda: _score(cold.pop(), rollouts)], arguments.repeats, time.perf_counter)
    details = {
        "documents": data.documents.height,
        "rollouts": len(rollouts.texts),
        "texts": counted.counters["distinct"] - counted.counters["cached"],
        "cpu_seconds": (time.process_time() - start) / arguments.repeats,
    }
    size = f"{len(rollouts.texts)} rollouts, {details['texts']} texts, {data.documents.height:,} documents"
    work = f"scoring of {size}, {what}"
    return Row(work, f"<= {most:g} s", seconds, "s", most=most, details=details)


def _score(task: RetrievalTask, rollouts: Rollouts) -> None:
    """Worths as a training asks for them."""
    calls = [max(DEFAULT_CALLS, len(spans) + 1) for spans in rollouts.spans]
    task.coalition_values(*rollouts, calls=calls, seeds=list(range(len(calls))))


def _evaluation_row(data: PreparedData, retriever: str, arguments: Namespace) -> Row:
    """All metrics of as many queries, each on its own pool; if there are fewer, they come again with one word more."""
    task = fresh_task(data, retriever)
    ids = [prompt_id for split in ("train", "validation", "test") for prompt_id in task.prompts(split)[0]]
    number = _QUERIES // 10 if arguments.quick else _QUERIES
    asked = [ids[place % len(ids)] for place in range(number)]
    texts = [f"{text} {place // len(ids) or ''}" for place, text in enumerate(task.raw_rewrites(asked))]
    cold = [fresh_task(data, task.retriever) for _ in range(arguments.repeats)]
    (seconds,) = interleaved([lambda: cold.pop().evaluate(asked, texts)], arguments.repeats, time.perf_counter)
    work = f"metrics of {number:,} queries, {data.documents.height:,} documents, tantivy"
    return Row(work, "<= 10 s", seconds, "s", most=10.0)
