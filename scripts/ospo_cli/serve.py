"""Serve a trained policy's rewrites over HTTP.

POST /rewrite {"query": ..., "history": [...], "guard": true, "phrases": true} answers with the rewrite and the text to
send to an engine: greedily decoded, composed and capped as in training. Requests that come together are one batch.
Where the policy is too slow the raw query is served, and counted. GET /health, GET /metrics (Prometheus).

The environment, the data and the retriever are those of the run, unless the command line names others. An engine on
the network and data outside the run are taken from the command line alone.

With --guard a request may ask for "guard": the raw query is served where fewer than that share of its first 10
documents are among the first 10 of the rewrite. `ospo evaluate --guard` chooses the share and prints what it does.
"""

import math
import socket
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._modes import add_modes
from ospo_cli._terminal import say

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["listen", "main", "make_server", "parse"]

_EXAMPLES = (
    "--policy runs/own --data runs/data/own",
    "--policy runs/own --data runs/data/own --retriever 'elasticsearch:items?url=http://localhost:9200' --guard 0.3",
)
_RANGES = {
    "port": (0, 65535),
    "batch": (1, 1024),
    "cache": (0, 10_000_000),
    "longest": (1, 100_000),
    "connections": (1, 100_000),
    "calls": (1, 100_000),
    "max_new_tokens": (1, 100_000),
}
_BACKLOG = 2048  # connections that wait to be accepted
_SECONDS = ("timeout", "cache_seconds")


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("serve", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--policy", required=True, help="run or policy directory, or a causal LM's directory or hub id")
    _add_task_options(parser)
    _add_service_options(parser)
    arguments = parser.parse_args(argv)
    for name, (least, most) in _RANGES.items():
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            raise AgentError(f"--{name.replace('_', '-')}: expected {least} to {most}, got {value}")
    for name in _SECONDS:
        if not 0 < getattr(arguments, name) < math.inf:
            raise AgentError(f"--{name.replace('_', '-')}: expected seconds above 0, got {getattr(arguments, name)}")
    if not arguments.host:
        raise AgentError("--host: expected an address, such as 127.0.0.1, got none; 0.0.0.0 is every network's")
    if arguments.guard is not None and not 0 <= arguments.guard <= 1:
        raise AgentError(f"--guard: expected a share in 0 to 1, got {arguments.guard}")
    return arguments


def listen(arguments: Namespace) -> socket.socket:
    """A socket that listens where a command line says.

    Args:
        arguments: As :func:`parse` returns them.

    Raises:
        AgentError: Somebody else listens there, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        return socket.create_server((arguments.host, arguments.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        where = f"{arguments.host} port {arguments.port}"
        raise AgentError(
            f"--port: cannot listen on {where}: {error.strerror}; name another --port or --host"
        ) from error


def make_server(arguments: Namespace, app: "FastAPI | None" = None) -> "uvicorn.Server":
    """The server that a command line asks for, not yet started.

    Args:
        arguments: As :func:`parse` returns them.
        app: The application; None opens the policy that the command line names.
    """
    # Slow to import, and not needed for --help.
    import fastapi  # noqa: F401  # named first where the extra is not installed
    import uvicorn

    from ospo_cli._serve.opening import open_app

    config = uvicorn.Config(
        open_app(arguments) if app is None else app,
        log_level="warning",
        access_log=False,
        limit_concurrency=arguments.connections,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def main(argv: Sequence[str] | None) -> None:
    """Open the policy and serve it until interrupted."""
    arguments = parse(argv)
    with listen(arguments) as listening:
        server = make_server(arguments)
        host, port = listening.getsockname()[:2]
        say(f"Serving {arguments.policy} at http://{f'[{host}]' if ':' in host else host}:{port}/rewrite")
        server.run(sockets=[listening])


def _add_task_options(parser: Parser) -> None:
    """Add the options of the task; None where the run says."""
    parser.add_argument("--env", help="environment id (default: that of the policy's run)")
    parser.add_argument(
        "--data", type=Path, help="prepared directory (default: the embedded sample, if the run was trained on it)"
    )
    parser.add_argument("--retriever", help="engine that guards and credits (default: that of the policy's run)")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    add_modes(parser, "that of the policy's training, else {}")
    parser.add_argument("--max-new-tokens", type=int, help="most tokens of a completion (default: as in training)")


def _add_service_options(parser: Parser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every network's")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    parser.add_argument(
        "--timeout", type=float, default=2.0, help="seconds after which the raw query is served in place of a rewrite"
    )
    parser.add_argument("--batch", type=int, default=64, help="requests of a batch, at most")
    parser.add_argument("--cache", type=int, default=10_000, help="answers to keep, at most; 0 keeps none")
    parser.add_argument("--cache-seconds", type=float, default=3600.0, help="seconds that an answer is kept")
    parser.add_argument(
        "--longest", type=int, default=1000, help="characters of a query and its history together, at most"
    )
    parser.add_argument("--connections", type=int, default=1024, help="connections at a time; others get status 503")
    parser.add_argument(
        "--calls",
        type=int,
        default=32,
        help="texts that are ranked for the credit of a rewrite's phrases, at most, beside the rewrite itself (or one "
        "more than it has phrases, if that is more); other worths are estimated",
    )
    parser.add_argument(
        "--guard",
        type=float,
        metavar="SHARE",
        help="share of the raw query's first 10 documents that a rewrite has to keep, where a request asks for a guard",
    )
