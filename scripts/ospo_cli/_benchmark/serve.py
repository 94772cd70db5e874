"""Rows of a rewrite service under load: latencies and requests a second of clients on sockets."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ospo_agents import AgentError
from ospo_cli._benchmark import rewrite_clients
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.training import train_run
from ospo_cli._benchmark.work import fresh_task, open_data

__all__ = ["Load", "load_of", "serve_rows", "served"]

_CLIENTS = 32
_REQUESTS = 640
_ROUNDS = 3
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
_CPU = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)
_MODES = ("--compose", "append", "--repeats", "once")


class Load(NamedTuple):
    """Figures of a load.

    Attributes:
        p50: Median of the seconds of an answer.
        p99: Their 99th percentile.
        rate: Requests a second.
        cpu: Seconds of the server's CPU time a request.
    """

    p50: float
    p99: float
    rate: float
    cpu: float


def serve_rows(arguments: Namespace) -> list[Row]:
    """Rows of ``--policy``, or of the tiny one after a short training; the queries are those of the embedded shop."""
    task = fresh_task(open_data(None), "bm25")
    queries = [task.query(prompt_id).query for prompt_id in task.prompts("test")[0]]
    requests = _REQUESTS // 10 if arguments.quick else _REQUESTS
    with tempfile.TemporaryDirectory(prefix="ospo-") as folder:
        policy = arguments.policy
        if policy is None:
            policy = Path(folder) / "run"
            short = ("--warm-start-epochs", "0.2") if arguments.quick else ()
            train_run(policy, "--steps", str(arguments.training_steps or 4), *_MODES, *short)
        options = ("--policy", str(policy), "--env", "OSPO-ESCI-v0", *_MODES, "--timeout", "60")
        rounds = min(arguments.repeats, _ROUNDS)
        with served(*options, "--cache", "0") as port:
            alone = _median(port, 1, requests // 16, queries, rounds)
            together = _median(port, _CLIENTS, requests, queries, rounds)
        with served(*options) as port:
            load_of(port, _CLIENTS, len(set(queries)), list(dict.fromkeys(queries)))  # every query is asked once
            kept = _median(port, _CLIENTS, requests, queries, rounds)
    rows = []
    for load, clients, cache in ((alone, 1, "off"), (together, _CLIENTS, "off"), (kept, _CLIENTS, "on, all hits")):
        work = f"{clients} client{'s' if clients > 1 else ''}, cache {cache}"
        rows += [
            Row(f"rewrites served to {work}: p50", "", 1e3 * load.p50, "ms"),
            Row(f"rewrites served to {work}: p99", "", 1e3 * load.p99, "ms"),
            Row(f"rewrites served to {work}: requests", "", load.rate, "a second"),
            Row(f"rewrites served to {work}: CPU time of the server a request", "", 1e3 * load.cpu, "ms"),
        ]
    ratio = Row(
        f"requests a second of {_CLIENTS} clients, of those of 1, cache off", "", together.rate / alone.rate, "x"
    )
    return [*rows, ratio]


def _median(port: int, clients: int, requests: int, queries: Sequence[str], rounds: int) -> Load:
    """Median of each figure over some rounds."""
    loads = np.array([load_of(port, clients, requests, queries) for _ in range(rounds)])
    return Load(*np.median(loads, axis=0).tolist())


def load_of(port: int, clients: int, requests: int, queries: Sequence[str]) -> Load:
    """Figures of clients that send some requests together.

    Args:
        port: The server's port.
        clients: Number of clients, each with one request at a time.
        requests: Number of all requests.
        queries: Queries, sent in turn.

    Raises:
        AgentError: A request was not answered by a rewrite.
    """
    command = [sys.executable, rewrite_clients.__file__, str(port), str(clients), str(requests)]
    before = _cpu_seconds(port)
    done = subprocess.run(command, input="\n".join(queries), capture_output=True, text=True)
    if done.returncode:
        raise AgentError(f"--only serve: {done.stderr.strip().splitlines()[-1]}")
    figures = json.loads(done.stdout)
    p50, p99 = np.quantile(figures["seconds"], [0.5, 0.99]).tolist()
    return Load(p50, p99, requests / figures["all"], (_cpu_seconds(port) - before) / requests)


@contextmanager
def served(*options: str) -> Iterator[int]:
    """Port of a running ``ospo serve``."""
    command = [sys.executable, "-m", "ospo_cli", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = _ADDRESS.search(server.stdout.readline())
            if address is None:
                raise AgentError("--only serve: the server did not start")
            yield int(address[1])
        finally:
            server.terminate()


def _cpu_seconds(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        match = _CPU.search(answer.read().decode())
    if match is None:
        raise AgentError("--only serve: the server tells no CPU time here; this needs Linux")
    return float(match[1])
