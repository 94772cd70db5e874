"""One small face for the official clients of Elasticsearch and of OpenSearch."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.engines.access import check_url, hidden, key_forms, retry_after, secret
from ospo_env.retrievers.engines.requests import Unavailable, Unreachable

__all__ = ["BaseClient", "Client", "Server", "keep_quiet"]

_WORTH_REPEATING = (429, 502, 503, 504)
_NONE: Mapping[str, str] = {}


class Server(NamedTuple):
    """A server and how to reach it.

    Attributes:
        kind: ``"elasticsearch"`` or ``"opensearch"``.
        url: Its address, without secrets.
        key_env: Environment variable of the key, or of ``USER:PASSWORD``; empty for none.
        ca_certs: File of the certificates that its own is checked with; empty for the system's.
        connections: Connections to keep.
    """

    kind: str
    url: str
    key_env: str
    ca_certs: str
    connections: int

    def key(self) -> str:
        """The key, or ``USER:PASSWORD``; empty for none."""
        return secret(self.kind, "key_env", self.key_env) if self.key_env else ""


class Client(Protocol):
    """Requests that an index makes. Errors are those of :class:`~ospo_env.retrievers.engines.index.Index`.

    Attributes:
        server: The server.
    """

    server: Server

    def msearch(self, index: str, lines: Sequence[Mapping[str, Any]], seconds: float) -> Mapping[str, Any]:
        """Answers to several searches, each a header and a body."""
        ...

    def count(self, index: str, query: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Number of documents that match."""
        ...

    def settings(self, index: str, seconds: float) -> Mapping[str, Any]:
        """Settings of each index behind a name."""
        ...

    def stats(self, index: str, seconds: float) -> Mapping[str, Any]:
        """Statistics of each shard."""
        ...

    def fields(self, index: str, names: Sequence[str], seconds: float) -> Mapping[str, Any]:
        """Types of those of some fields that an index has."""
        ...


class BaseClient:
    """A client that is opened when it is needed, once a process."""

    def __init__(self, server: Server) -> None:
        check_url(server.kind, server.url)
        server.key()  # raises where the variable is not set
        self.server = server
        self._opened: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def client(self) -> Any:
        """The library's client, in this process."""
        if self._opened is None or self._opened[0] != os.getpid():  # connections do not survive a fork
            self._opened = os.getpid(), self._open()
        return self._opened[1]

    def _open(self) -> Any:
        raise NotImplementedError

    def failed(self, status: Any, error: object, headers: Mapping[str, str] = _NONE) -> Exception:
        """The error of an index that a client's error stands for; ``status`` is no number where nothing answered."""
        server = self.server
        reason = hidden(error, key_forms(server.key()))
        message = f"{server.kind} at {server.url}: {reason}"
        if not isinstance(status, int):
            return Unreachable(message)
        if status in _WORTH_REPEATING:
            return Unavailable(message, retry_after(headers))
        if status in (401, 403):
            access = f"${server.key_env} does not open it" if server.key_env else "name a key's variable: key_env=NAME"
            return TaskError(f"{message}; {access}")
        return RetrieverError(message)


def keep_quiet(logger: str) -> None:
    """Keep a library's warnings of failed requests off a terminal on which nobody has set up logging."""
    if not logging.getLogger(logger).handlers:
        logging.getLogger(logger).addHandler(logging.NullHandler())
