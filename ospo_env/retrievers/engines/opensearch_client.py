"""The official client of OpenSearch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ospo_env.retrievers.engines.search_clients import BaseClient, keep_quiet

__all__ = ["OpenSearchClient"]


class OpenSearchClient(BaseClient):
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
        parameters = {"fields": ",".join(names)}
        return self._call(seconds, lambda client, more: client.field_caps(index=index, params={**more, **parameters}))

    def _open(self) -> Any:
        import opensearchpy

        keep_quiet("opensearch")
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
            answer: Mapping[str, Any] = request(self.client(), {"request_timeout": max(seconds, 0.01)})
        except opensearchpy.SerializationError as error:
            raise self.failed(503, error) from None
        except opensearchpy.TransportError as error:
            raise self.failed(error.status_code, error if isinstance(error.status_code, int) else error.error) from None
        return answer
