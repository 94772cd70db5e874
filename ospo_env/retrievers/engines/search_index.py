"""Index of Elasticsearch or OpenSearch: ``elasticsearch:INDEX?url=...`` and ``opensearch:INDEX?url=...``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.access import library
from ospo_env.retrievers.engines.elasticsearch_client import ElasticsearchClient
from ospo_env.retrievers.engines.fields import Field, parse_fields
from ospo_env.retrievers.engines.index import Search
from ospo_env.retrievers.engines.joined import JoinedRetriever
from ospo_env.retrievers.engines.opensearch_client import OpenSearchClient
from ospo_env.retrievers.engines.requests import Limits, Unavailable, Unreachable
from ospo_env.retrievers.engines.search_clients import Client, Server

__all__ = ["SearchIndex", "elasticsearch_retriever", "opensearch_retriever", "search_retriever"]

_CLIENTS: Mapping[str, tuple[str, Callable[[Server], Client]]] = {
    "elasticsearch": ("elasticsearch", ElasticsearchClient),
    "opensearch": ("opensearchpy", OpenSearchClient),
}
_ID = "_id"
_WINDOW = 10_000  # documents in an answer, as index.max_result_window has it by default
_COPY = "ospo"  # name of the shards' copies that are asked, always the same ones
_WORTH_REPEATING = (429, 503)


def search_retriever(
    kind: str,
    corpus: Corpus,
    index: str,
    *,
    url: str = "http://localhost:9200",
    key_env: str = "",
    ca_certs: str = "",
    id: str = _ID,
    text: str = "text",
    type: str = "best_fields",
    dfs: bool = True,
    concurrency: int = 8,
    deadline: float = 60.0,
    batch: int = 32,
    cache: bool = True,
) -> JoinedRetriever:
    """Scores of a ``multi_match`` query.

    Args:
        kind: ``"elasticsearch"`` or ``"opensearch"``.
        corpus: The documents.
        index: Name of the index, or an alias.
        url: Address of the server.
        key_env: Environment variable of the key, or of ``USER:PASSWORD``.
        ca_certs: File of the certificates that the server's own is checked with.
        id: ``_id``, or a keyword field of the ids.
        text: Fields to search, joined by ``+``, with weights behind ``^``.
        type: Type of the query.
        dfs: Whether frequencies of words are those of all shards, so that equal documents have equal scores.
        concurrency: Requests at once.
        deadline: Seconds within which a request has to be answered, repetitions included.
        batch: Texts in a request.
        cache: Whether scores are kept on disk.

    Raises:
        TaskError: The client is not installed, or there is no such server, index, field or document.
        RetrieverError: The server did not answer in time.
    """
    module, make_client = _CLIENTS[kind]
    library(kind, module, kind)
    fields = parse_fields(kind, text)
    client = make_client(Server(kind, url, key_env, ca_certs, concurrency))
    searched = SearchIndex(client, index, id, fields, type, dfs=dfs)
    settings = {"id": id, "fields": [list(field) for field in fields], "type": type, "dfs": dfs}
    return JoinedRetriever(searched, corpus, settings, Limits(concurrency, deadline, batch), cache=cache)


elasticsearch_retriever = partial(search_retriever, "elasticsearch")
"""Factory of the kind ``elasticsearch``."""

opensearch_retriever = partial(search_retriever, "opensearch")
"""Factory of the kind ``opensearch``."""


class SearchIndex:
    """An index, or those behind an alias.

    A document matches a text as ``multi_match`` has it, with the operator ``or``. A pool is scored by the same query
    with a filter on ids, which changes no score.

    Args:
        client: The server's client.
        name: Name of the index.
        id_field: ``_id``, or a keyword field of the ids.
        fields: Fields to search.
        type: Type of the query.
        dfs: Whether frequencies of words are those of all shards.
    """

    window = _WINDOW

    def __init__(
        self, client: Client, name: str, id_field: str, fields: Sequence[Field], type: str, *, dfs: bool
    ) -> None:
        self.kind = client.server.kind
        self.place = f"the index {name} at {client.server.url}"
        self._client = client
        self._name = name
        self._id = id_field
        self._fields = [field.name for field in fields]
        self._match = {"fields": [f"{field.name}^{field.weight:g}" for field in fields], "type": type}
        self._header = {"preference": _COPY, "search_type": "dfs_query_then_fetch" if dfs else "query_then_fetch"}

    def identity(self, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Index.identity`: ids of the indices, numbers of documents and of changes."""
        try:
            settings = self._client.settings(self._name, seconds)
            uuids = sorted(str(index["settings"]["index"]["uuid"]) for index in settings.values())
            documents = self._client.count(self._name, {"match_all": {}}, seconds)["count"]
            asked = [name for name in (*self._fields, self._id) if name != _ID and "*" not in name]
            known = self._client.fields(self._name, asked, seconds)["fields"]
            missing = [name for name in asked if name not in known]
            self._ask([Search("a", ["a"])], seconds)  # raises where another setting does not fit
        except Unreachable as error:
            raise TaskError(f"no answer from {error}; start it, or name its address: url=ADDRESS") from None
        except RetrieverError as error:
            raise TaskError(f"cannot search {self.place}: {error}") from None
        except (LookupError, TypeError, AttributeError) as error:
            raise TaskError(f"expected the settings of {self.place}; got something else ({one_line(error)})") from None
        if missing:
            raise TaskError(f"expected the fields {', '.join(asked)} in {self.place}; it lacks {', '.join(missing)}")
        return {"uuids": uuids, "documents": documents, "changes": self._changes(seconds)}

    def count(self, ids: Sequence[str], seconds: float) -> int:
        """As :meth:`Index.count`."""
        return int(self._client.count(self._name, {"terms": {self._id: list(ids)}}, seconds)["count"])

    def scores(self, searches: Sequence[Search], seconds: float) -> list[Mapping[str, float]]:
        """As :meth:`Index.scores`, by one ``_msearch``."""
        parts = [
            (place, Search(search.text, search.ids[first : first + self.window]))
            for place, search in enumerate(searches)
            for first in range(0, len(search.ids), self.window)
        ]
        answers: list[dict[str, float]] = [{} for _ in searches]
        hits_of = self._ask([part for _, part in parts], seconds)
        for (place, _), hits in zip(parts, hits_of, strict=True):
            answers[place].update(hits)
        return list(answers)

    def best(self, text: str, k: int, seconds: float) -> list[tuple[str, float]]:
        """As :meth:`Index.best`."""
        (hits,) = self._ask([Search(text, ())], seconds, k)
        return hits

    def _ask(self, searches: Sequence[Search], seconds: float, k: int | None = None) -> list[list[tuple[str, float]]]:
        """Ids and scores for each search; without ids it is one of the whole index, for the best k."""
        lines: list[Mapping[str, Any]] = []
        for search in searches:
            query: dict[str, Any] = {"must": {"multi_match": {"query": search.text, "operator": "or", **self._match}}}
            if k is None:
                query["filter"] = {"terms": {self._id: list(search.ids)}}
            body: dict[str, Any] = {"query": {"bool": query}, "size": len(search.ids) if k is None else k}
            body |= {"_source": False, "track_total_hits": False}
            if self._id != _ID:
                body["docvalue_fields"] = [self._id]
            lines += [self._header, body]
        answer = self._client.msearch(self._name, lines, seconds)
        try:
            responses = answer["responses"]
            if len(responses) != len(searches):
                raise ValueError(f"{len(responses)} answers to {len(searches)} searches")
            return [list(self._hits(response)) for response in responses]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = one_line(f"{error.__class__.__name__}: {error}", 80)
            raise RetrieverError(f"expected answers from {self.place}; got something else ({reason})") from None

    def _hits(self, response: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        """Ids and scores of an answer, which has to be whole."""
        if "error" in response:
            error = response["error"]
            causes = (error.get("root_cause") or [error]) if isinstance(error, Mapping) else [error]
            reason = one_line(causes[0].get("reason", causes[0]) if isinstance(causes[0], Mapping) else causes[0])
            if response.get("status") in _WORTH_REPEATING:
                raise Unavailable(f"{self.place} answers {response['status']}: {reason}")
            raise RetrieverError(f"{self.place} answers {response.get('status')}: {reason}")
        if response.get("timed_out") or response["_shards"]["failed"]:
            raise Unavailable(f"{self.place} answers in part: {response['_shards']['failed']} shards failed")
        for hit in response["hits"]["hits"]:
            found = hit["_id"] if self._id == _ID else hit["fields"][self._id][0]
            yield str(found), float(hit["_score"])

    def _changes(self, seconds: float) -> list[int] | None:
        """Number of the last change of each primary shard; ``None`` where the server does not tell."""
        try:
            indices = self._client.stats(self._name, seconds)["indices"].values()
            return sorted(
                int(copy["seq_no"]["max_seq_no"])
                for index in indices
                for copies in index["shards"].values()
                for copy in copies
                if copy["routing"]["primary"]
            )
        except (RetrieverError, TaskError, LookupError, TypeError, AttributeError):
            return None
