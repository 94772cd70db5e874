"""The official clients of Elasticsearch and of OpenSearch behind one small face."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.engines.access import check_url, hidden, key_forms, retry_after, secret
from ospo_env.retrievers.engines.requests import Unavailable, Unreachable

__all__ = ["CLIENTS", "Client", "Server"]

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
    """Requests that an index makes. Errors are those of :class:`~ospo_env.retrievers.engines.joined.Index`.

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


class _Client:
    """A client that is opened when it is needed, once a process."""

    def __init__(self, server: Server) -> None:
        check_url(server.kind, server.url)
        server.key()  # raises where the variable is not set
        self.server = server
        self._opened: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _client(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():  # connections do not survive a fork
            self._opened = os.getpid(), self._open()
        return self._opened[1]

    def _open(self) -> Any:
        raise NotImplementedError

    def _failed(self, status: Any, error: object, headers: Mapping[str, str] = _NONE) -> Exception:
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


class ElasticsearchClient(_Client):
    """The client of the package ``elasticsearch``."""

    def msearch(self, index: str, lines: Sequence[Mapping[str, Any]], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.msearch`."""
        return self._call(seconds, lambda client: client.msearch(index=index, searches=lines))

    def count(self, index: str, query: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.count`."""
        return self._call(seconds, lambda client: client.count(index=index, query=query))

    def settings(self, index: str, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.settings`."""
        return self._call(seconds, lambda client: client.indices.get_settings(index=index))

    def stats(self, index: str, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.stats`."""
        return self._call(seconds, lambda client: client.indices.stats(index=index, metric="docs", level="shards"))

    def fields(self, index: str, names: Sequence[str], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.fields`."""
        return self._call(seconds, lambda client: client.field_caps(index=index, fields=list(names)))

    def _open(self) -> Any:
        import elasticsearch

        _keep_quiet("elastic_transport")
        key = self.server.key()
        user, colon, password = key.partition(":")
        access: dict[str, Any] = {"basic_auth": (user, password)} if colon else {"api_key": key} if key else {}
        if self.server.ca_certs:
            access["ca_certs"] = self.server.ca_certs
        return elasticsearch.Elasticsearch(
            self.server.url,
            max_retries=0,
            retry_on_timeout=False,
            connections_per_node=self.server.connections,
            **access,
        )

    def _call(self, seconds: float, request: Callable[[Any], Any]) -> Mapping[str, Any]:
        import elasticsearch

        try:
            answer: Mapping[str, Any] = request(self._client().options(request_timeout=max(seconds, 0.01))).body
        except elasticsearch.UnsupportedProductError as error:
            raise TaskError(
                f"{self.server.url} is not Elasticsearch ({hidden(error, [])}); for OpenSearch write opensearch:INDEX"
            ) from None
        except elasticsearch.ApiError as error:
            raise self._failed(error.meta.status, error, error.meta.headers) from None
        except elasticsearch.SerializationError as error:
            raise self._failed(503, error) from None
        except elasticsearch.TransportError as error:
            raise self._failed(None, error.message) from None
        return answer


class OpenSearchClient(_Client):
    """The client of the package ``opensearch-py``."""

    def msearch(self, index: str, lines: Sequence[Mapping[str, Any]], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.msearch`."""
        return self._call(seconds, lambda client, more: client.msearch(index=index, body=lines, params=more))

    def count(self, index: str, query: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.count`."""
        return self._call(seconds, lambda client, more: client.count(index=index, body={"query": query}, params=more))

    def settings(self, index: str, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.settings`."""
        return self._call(seconds, lambda client, more: client.indices.get_settings(index=index, params=more))

    def stats(self, index: str, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.stats`."""
        return self._call(
            seconds,
            lambda client, more: client.indices.stats(index=index, metric="docs", params={**more, "level": "shards"}),
        )

    def fields(self, index: str, names: Sequence[str], seconds: float) -> Mapping[str, Any]:
        """As :meth:`Client.fields`."""
        asked = {"fields": ",".join(names)}
        return self._call(seconds, lambda client, more: client.field_caps(index=index, params={**more, **asked}))

    def _open(self) -> Any:
        import opensearchpy

        _keep_quiet("opensearch")
        key = self.server.key()
        user, colon, password = key.partition(":")
        access: dict[str, Any] = {}
        if colon:
            access["http_auth"] = (user, password)
        elif key:
            access["headers"] = {"authorization": f"Bearer {key}"}
        if self.server.ca_certs:
            access["ca_certs"] = self.server.ca_certs
        return opensearchpy.OpenSearch(
            [self.server.url],
            max_retries=0,
            retry_on_timeout=False,
            pool_maxsize=self.server.connections,
            **access,
        )

    def _call(self, seconds: float, request: Callable[[Any, dict[str, Any]], Any]) -> Mapping[str, Any]:
        import opensearchpy

        try:
            answer: Mapping[str, Any] = request(self._client(), {"request_timeout": max(seconds, 0.01)})
        except opensearchpy.SerializationError as error:
            raise self._failed(503, error) from None
        except opensearchpy.TransportError as error:
            raise self._failed(
                error.status_code, error if isinstance(error.status_code, int) else error.error
            ) from None
        return answer


CLIENTS: Mapping[str, tuple[str, Callable[[Server], Client]]] = {
    "elasticsearch": ("elasticsearch", ElasticsearchClient),
    "opensearch": ("opensearchpy", OpenSearchClient),
}
"""Import name of the library and the client of each kind."""


def _keep_quiet(logger: str) -> None:
    """Keep a library's warnings of failed requests off a terminal on which nobody has set up logging."""
    if not logging.getLogger(logger).handlers:
        logging.getLogger(logger).addHandler(logging.NullHandler())
