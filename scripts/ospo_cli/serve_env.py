"""Serve a task as an OpenEnv environment, over WebSocket and HTTP.

Clients reset(split=..., index=...) or reset(query_id=...), and step({"text": ...}); {"text": ..., "credit": true} also
returns what each segment of the rewrite earned. Sessions share the task, and what they send at the same time is ranked
in one call. docs/trainers.md has a client. With --env OSPO-Search-v0 episodes are in turns, a step a turn:
step({"text": "search: TEXT"}), and step({"text": "answer"}) at the end; --shown is then the number of titles.
"""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from ospo_agents import AgentError
from ospo_cli._cli import Parser
from ospo_cli._explain_options import add_credit_options, add_task_options

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --retriever bm25",
    "--env OSPO-Rewrite-v0 --data runs/data/own --compose append --port 8100 --sessions 512",
)
_IN_TURNS = "OSPO-Search-v0"
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
    parser.add_argument("--max-turns", type=int, help="searches of an episode in turns at most (default: 4)")
    parser.add_argument("--price", type=float, help="price of a search of an episode in turns (default: 0.02)")
    arguments = parser.parse_args(argv)
    for name, least, most in (("port", 0, 65535), ("sessions", 1, 100_000), ("shown", 0, 1000)):
        if not least <= getattr(arguments, name) <= most:
            raise AgentError(f"--{name}: expected {least} to {most}, got {getattr(arguments, name)}")
    if arguments.env != _IN_TURNS and (arguments.max_turns is not None or arguments.price is not None):
        parser.error(f"--max-turns and --price are for episodes in turns; add --env {_IN_TURNS}")
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Open the task and serve it until interrupted."""
    arguments = parse(argv)
    # Slow to import, and not needed for --help.
    import openenv  # noqa: F401  # named first where the extra is not installed
    import uvicorn

    uvicorn.run(
        _app(arguments),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        ws_max_size=_LARGEST_MESSAGE,
        ws_per_message_deflate=False,
    )


def _app(arguments: Namespace) -> Any:
    """The application, of one step an episode or in turns."""
    from ospo_agents.integrations.segment_credit import segment_credit
    from ospo_cli._modes import MODES
    from ospo_cli._tasks import open_search_task, open_task

    settings: dict[str, Any] = {
        "retriever": arguments.retriever,
        "metric": arguments.metric or "nDCG@10",
        "candidates": arguments.candidates or "pool",
        "max_words": arguments.max_words,
        **{name: getattr(arguments, name) for name in MODES},
    }
    credit_settings = (arguments.segmenter, arguments.solution, arguments.calls)
    if arguments.env == _IN_TURNS:
        from ospo_env.integrations.openenv_search import make_search_app

        turns = {name: getattr(arguments, name) for name in ("max_turns", "price", "shown")}
        search = open_search_task(arguments.env, arguments.data, **settings, **turns)
        return make_search_app(search, segment_credit(search, *credit_settings), sessions=arguments.sessions)
    from ospo_env.integrations.openenv import make_app

    task = open_task(arguments.env, arguments.data, split=None, **settings)
    return make_app(task, segment_credit(task, *credit_settings), shown=arguments.shown, sessions=arguments.sessions)
