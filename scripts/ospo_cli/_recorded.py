"""What a file may name: specifications that come out of a run are data, and none of them runs code.

A retriever named ``module:attribute`` runs that module, an environment id ``module:Id-v0`` imports it, engines and hub
models send data away, and directories of models hold code too. All of these are taken from a command line or from code
alone. A run directory, a rewrites file or a stored view may name the registered kinds below and registered ids.
"""

import shlex
from pathlib import Path
from urllib.parse import unquote

from ospo_agents.errors import AgentError

__all__ = ["recorded_env", "recorded_retriever"]

_LOCAL_KINDS = ("bm25", "chargram", "lsa")
_JOINED = "fusion"  # of other kinds


def recorded_retriever(spec: object, *, source: Path, option: str = "--retriever") -> str:
    """The retriever that a file names, if a file may name it.

    Args:
        spec: What the file says.
        source: The file or the run directory, for the message.
        option: Option of the program that takes the retriever from its user instead.

    Raises:
        AgentError: The retriever runs code of its own, reads a model or reaches another machine.

    >>> recorded_retriever("fusion:bm25+lsa%3Fdimensions=64", source=Path("run"))
    'fusion:bm25+lsa%3Fdimensions=64'
    """
    if not isinstance(spec, str):
        raise AgentError(f"{source}: expected the name of a retriever, got {str(spec)[:80]!r}")
    if not _is_local(spec):
        raise AgentError(
            f"{source} names the retriever {spec!r}, which a file may not choose since it may run code or reach "
            f"another machine; if you trust it, repeat it: {shlex.join([option, spec])}"
        )
    return spec


def recorded_env(env_id: object, *, source: Path, option: str = "--env") -> str:
    """The environment id that a file names, if a file may name it; arguments and errors as :func:`recorded_retriever`.

    >>> recorded_env("OSPO-ESCI-v0", source=Path("run"))
    'OSPO-ESCI-v0'
    """
    if not isinstance(env_id, str):
        raise AgentError(f"{source}: expected an environment id, got {str(env_id)[:80]!r}")
    if ":" in env_id:
        raise AgentError(
            f"{source} names the environment {env_id!r}, which a file may not choose since it imports a module; "
            f"if you trust it, repeat it: {shlex.join([option, env_id])}"
        )
    return env_id


def _is_local(spec: str) -> bool:
    """Whether a specification names kinds that read nothing but the task's own documents."""
    name, colon, rest = spec.partition("?")[0].partition(":")
    if name == _JOINED and colon:
        return all(_is_local(part) for part in unquote(rest).split("+"))
    return name in _LOCAL_KINDS and not colon
