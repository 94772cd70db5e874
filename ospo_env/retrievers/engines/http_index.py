"""Any server that answers a query with ids and scores in JSON: ``http:TEMPLATE?ids=PATH&scores=PATH``."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.access import check_url, hidden, key_forms, library, retry_after, secret
from ospo_env.retrievers.engines.index import Search
from ospo_env.retrievers.engines.joined import JoinedRetriever
from ospo_env.retrievers.engines.json_path import values_at
from ospo_env.retrievers.engines.requests import Limits, Unavailable, Unreachable

__all__ = ["HttpIndex", "http_retriever"]

_WORTH_REPEATING = (429, 502, 503, 504)
_LARGEST = 2**26  # bytes of an answer
_TRIED = 3  # documents whose own words are searched for when an index is opened
_WORDS = 8


def http_retriever(
    corpus: Corpus,
    template: str,
    *,
    ids: str = "",
    scores: str = "",
    depth: int = 1000,
    decimals: int = -1,
    key_env: str = "",
    version: str = "",
    concurrency: int = 8,
    deadline: float = 60.0,
    cache: bool = True,
) -> JoinedRetriever:
    """The best documents of the whole index for each text; documents of a pool beyond them are not matched.

    Args:
        corpus: The documents.
        template: Address with ``{query}``, and ``{k}`` for the number of documents that are asked for.
        ids: Path of the ids in an answer, names joined by dots, such as ``hits.hits._id``.
        scores: Path of the scores.
        depth: Documents that are asked for, at least 1.
        decimals: Digits behind the point to round scores to, so that documents tie that the server set apart by less;
            -1 keeps them as they come.
        key_env: Environment variable of a key, or of ``USER:PASSWORD``; sent as a header, or in place of ``{key}``.
        version: Name of the index's state, part of the fingerprint: the server does not tell when it changed.
        concurrency: Requests at once, each of one text.
        deadline: Seconds within which a request has to be answered, repetitions included.
        cache: Whether scores are kept on disk.

    Raises:
        TaskError: urllib3 is not installed, there is no such server, or its answers are not as the paths say.
        RetrieverError: The server did not answer in time.
    """
    library("http", "urllib3", "http")
    if not (ids and scores):
        raise TaskError(
            "expected the paths of ids and scores in the answers of the retriever 'http', such as "
            "http:TEMPLATE?ids=hits.hits._id&scores=hits.hits._score"
        )
    if depth < 1:
        raise TaskError(f"expected depth of the retriever 'http' as at least 1; got {depth}")
    index = HttpIndex(template, (ids, scores), depth, decimals, key_env, version, concurrency)
    settings = {"template": template, "paths": [ids, scores], "depth": depth, "decimals": decimals}
    made = JoinedRetriever(index, corpus, settings, Limits(concurrency, deadline, batch=1), cache=cache)
    _check_ids(made, corpus, index)
    return made


class HttpIndex:
    """A server, which scores a pool by its best documents of the whole index.

    Args:
        template: Address with ``{query}``.
        paths: Paths of ids and scores.
        depth: Documents that are asked for.
        decimals: Digits behind the point of scores; -1 for all.
        key_env: Environment variable of the key; empty for none.
        version: Name of the index's state.
        connections: Connections to keep.
    """

    kind = "http"

    def __init__(
        self,
        template: str,
        paths: tuple[str, str],
        depth: int,
        decimals: int,
        key_env: str,
        version: str,
        connections: int,
    ) -> None:
        check_url("http", template)
        if "{query}" not in template:
            raise TaskError(
                f"expected {{query}} in the address of the retriever 'http', with %3F for its question mark, such as "
                f"http:http://localhost:8080/search%3Fq={{query}}&k={{k}}?ids=...; got {template!r}"
            )
        self.window = depth
        self.place = f"the server at {template}"
        self._template = template
        self._paths = paths
        self._decimals = decimals
        self._key_env = key_env
        self._version = version
        self._connections = connections
        self._opened: tuple[int, Any] | None = None
        self._key()  # raises where the variable is not set

    def identity(self, seconds: float) -> Mapping[str, Any]:
        """As :meth:`Index.identity`, as far as it is known: the version that the user names."""
        try:
            self.best("a", 1, seconds)
        except Unreachable as error:
            raise TaskError(f"no answer from {error}; start it, or correct its address") from None
        except RetrieverError as error:
            raise TaskError(str(error)) from None
        return {"version": self._version}

    def count(self, ids: Sequence[str], seconds: float) -> None:
        """As :meth:`Index.count`: it cannot be asked."""

    def scores(self, searches: Sequence[Search], seconds: float) -> list[Mapping[str, float]]:
        """As :meth:`Index.scores`."""
        return [dict(self.best(search.text, self.window, seconds)) for search in searches]

    def best(self, text: str, k: int, seconds: float) -> list[tuple[str, float]]:
        """As :meth:`Index.best`."""
        content = self._asked(text, k, seconds)
        try:
            ids, scores = (values_at(content, path) for path in self._paths)
            if len(ids) != len(scores):
                raise ValueError(f"{len(ids)} ids and {len(scores)} scores")
            found = {str(doc_id): self._rounded(float(score)) for doc_id, score in zip(ids, scores, strict=True)}
            if not all(map(math.isfinite, found.values())) or len(found) < len(ids):
                raise ValueError("an id twice, or a score that is no finite number")
        except (LookupError, TypeError, ValueError) as error:
            raise RetrieverError(
                f"expected ids at {self._paths[0]} and scores at {self._paths[1]} in the answers of {self.place}; got "
                f"something else ({one_line(error, 120)})"
            ) from None
        return sorted(found.items(), key=lambda pair: -pair[1])[:k]

    def _rounded(self, score: float) -> float:
        return score if self._decimals < 0 else round(score, self._decimals)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _key(self) -> str:
        return secret("http", "key_env", self._key_env) if self._key_env else ""

    def _asked(self, text: str, k: int, seconds: float) -> Any:
        """The parsed answer."""
        import urllib3

        key = self._key()
        address = self._template.replace("{k}", str(k)).replace("{key}", quote(key, safe=""))
        address = address.replace("{query}", quote(text, safe=""))
        headers = {"accept": "application/json"}
        if key and "{key}" not in self._template:
            scheme = urllib3.make_headers(basic_auth=key) if ":" in key else {"authorization": f"Bearer {key}"}
            headers |= scheme
        try:
            answer = self._pool().request(
                "GET", address, headers=headers, timeout=max(seconds, 0.01), redirect=False, preload_content=False
            )
            body = answer.read(_LARGEST + 1, decode_content=True)
            answer.close() if len(body) > _LARGEST else answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{self.place}: {hidden(error, [text, *key_forms(key)])}") from None
        if answer.status in _WORTH_REPEATING:
            raise Unavailable(f"{self.place} answers {answer.status}", retry_after(answer.headers))
        if answer.status != 200 or len(body) > _LARGEST:
            reason = hidden(body[:200].decode(errors="replace"), key_forms(key))
            raise RetrieverError(f"{self.place} answers {answer.status}, {len(body):,} bytes: {reason}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Unavailable(f"{self.place} answers something that is no JSON") from None

    def _pool(self) -> Any:
        import urllib3

        if self._opened is None or self._opened[0] != os.getpid():  # connections do not survive a fork
            self._opened = os.getpid(), urllib3.PoolManager(maxsize=self._connections, retries=False)
        return self._opened[1]


def _check_ids(made: JoinedRetriever, corpus: Corpus, index: HttpIndex) -> None:
    """Raise a ``TaskError`` if the server finds no document of the corpus by the words of some of them."""
    filled = [text for text in corpus.texts[: 20 * _TRIED] if text.strip()][:_TRIED]
    tries = [" ".join(text.split()[:_WORDS]) for text in filled]
    try:
        found = [len(made.rank_corpus(text, 1)[0]) for text in tries]
    except RetrieverError as error:
        raise TaskError(str(error)) from None
    if tries and not any(found):
        raise TaskError(
            f"expected {index.place} to find documents of the corpus by their own words; it gives none of the ids for "
            f"{one_line(tries[0], 60)!r} and {len(tries) - 1} other texts; correct ids=PATH or the address"
        )
