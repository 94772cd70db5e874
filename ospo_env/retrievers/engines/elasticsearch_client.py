"""The official client of Elasticsearch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ospo_env.errors import TaskError
from ospo_env.retrievers.engines.access import hidden
from ospo_env.retrievers.engines.search_clients import BaseClient, keep_quiet

__all__ = ["ElasticsearchClient"]


class ElasticsearchClient(BaseClient):
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

        keep_quiet("elastic_transport")
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
            answer: Mapping[str, Any] = request(self.client().options(request_timeout=max(seconds, 0.01))).body
        except elasticsearch.UnsupportedProductError as error:
            raise TaskError(
                f"{self.server.url} is not Elasticsearch ({hidden(error, [])}); for OpenSearch write opensearch:INDEX"
            ) from None
        except elasticsearch.ApiError as error:
            raise self.failed(error.meta.status, error, error.meta.headers) from None
        except elasticsearch.SerializationError as error:
            raise self.failed(503, error) from None
        except elasticsearch.TransportError as error:
            raise self.failed(None, error.message) from None
        return answer
