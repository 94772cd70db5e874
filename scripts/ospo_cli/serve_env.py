"""Serve a task as an OpenEnv environment, over WebSocket and HTTP.

Clients reset(split=..., index=...) or reset(query_id=...), and step({"text": ...}); {"text": ..., "credit": true} also
returns what each segment of the rewrite earned. Sessions share the task, and what they send at the same time is ranked
in one call. docs/trainers.md has a client.
"""

from argparse import Namespace
from collections.abc import Sequence

from ospo_agents import AgentError
from ospo_cli._cli import Parser
from ospo_cli._explain_options import add_credit_options, add_task_options

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --retriever bm25",
    "--env OSPO-Rewrite-v0 --data runs/data/own --compose append --port 8100 --sessions 512",
)
_LARGEST_MESSAGE = 2**20  # bytes; a rewrite has 100,000 characters at most


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("serve-env", description=__doc__, examples=_EXAMPLES)
    add_task_options(parser)
    add_credit_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every network's")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    parser.add_argument("--sessions", type=int, default=256, help="sessions at a time, at most")
    parser.add_argument("--shown", type=int, default=10, help="documents of a ranking that an observation names")
    arguments = parser.parse_args(argv)
    for name, least, most in (("port", 0, 65535), ("sessions", 1, 100_000), ("shown", 0, 1000)):
        if not least <= getattr(arguments, name) <= most:
            raise AgentError(f"--{name}: expected {least} to {most}, got {getattr(arguments, name)}")
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Open the task and serve it until interrupted."""
    arguments = parse(argv)
    # Slow to import, and not needed for --help.
    import openenv  # noqa: F401  # named first where the extra is not installed
    import uvicorn

    from ospo_agents.integrations.segment_credit import segment_credit
    from ospo_cli._modes import MODES
    from ospo_cli._tasks import open_task
    from ospo_env.integrations.openenv import make_app

    task = open_task(
        arguments.env,
        arguments.data,
        split=None,
        retriever=arguments.retriever,
        metric=arguments.metric or "nDCG@10",
        candidates=arguments.candidates or "pool",
        max_words=arguments.max_words,
        **{name: getattr(arguments, name) for name in MODES},
    )
    credit = segment_credit(task, arguments.segmenter, arguments.solution, arguments.calls)
    app = make_app(task, credit, shown=arguments.shown, sessions=arguments.sessions)
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        ws_max_size=_LARGEST_MESSAGE,
        ws_per_message_deflate=False,
    )
