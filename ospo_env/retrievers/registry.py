"""Retrievers by name: one table for environments, training and evaluation."""

import importlib
import inspect
from collections.abc import Callable
from typing import TypeAlias, cast

from cachetools import LRUCache

from envs_data.errors import one_line, unknown_name
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.forks import ThreadLock
from ospo_env.retrievers.base import RETRIEVER_MEMBERS, Retriever, is_retriever
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.retrievers.chargram import CharGramRetriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.dense import DenseRetriever
from ospo_env.retrievers.engines import (
    elasticsearch_retriever,
    http_retriever,
    opensearch_retriever,
    postgres_retriever,
    tantivy_retriever,
)
from ospo_env.retrievers.fusion import FusionRetriever
from ospo_env.retrievers.lsa import LSARetriever
from ospo_env.retrievers.rerank import RerankRetriever
from ospo_env.retrievers.specs import Kind, NamedFactory, named_factory

__all__ = [
    "RetrieverFactory",
    "RetrieverSpec",
    "make_retriever",
    "register_retriever",
    "resolve_retriever",
]

RetrieverFactory: TypeAlias = Callable[[Corpus], Retriever]
"""A function of the corpus that returns a retriever."""

RetrieverSpec: TypeAlias = str | Retriever | RetrieverFactory
"""A registered name (``kind``, ``kind:argument``, ``kind:argument?setting=value``), ``module:attribute`` (a factory or
a retriever), a retriever, or a factory. Before a colon, a registered kind goes before a module of that name."""


def _fusion(corpus: Corpus, parts: str, *, method: str = "reciprocal_rank", weights: str = "") -> Retriever:
    """Fusion of the retrievers of several specifications, whose own question marks are written ``%3F``."""
    retrievers = [make_retriever(part, corpus) for part in parts.split("+")]
    try:
        numbers = [float(weight) for weight in weights.split("+")] if weights else None
    except ValueError:
        raise TaskError(f"expected the weights of a fusion as numbers joined by +; got {weights!r}") from None
    return FusionRetriever(retrievers, method=method, weights=numbers)


def _rerank(
    corpus: Corpus,
    model: str,
    *,
    first: str = "bm25",
    depth: int = 100,
    dtype: str = "float32",
    device: str | None = None,
    revision: str | None = None,
    hub: bool = False,
) -> Retriever:
    """A cross-encoder; ``first`` names the retriever that finds the candidates in the whole corpus."""
    return RerankRetriever(
        corpus,
        model,
        first=lambda: make_retriever(first, corpus),
        depth=depth,
        dtype=dtype,
        device=device,
        revision=revision,
        hub=hub,
    )


_KINDS: dict[str, Kind] = {
    "bm25": Kind(BM25Retriever),
    "chargram": Kind(CharGramRetriever),
    "dense": Kind(DenseRetriever, "a directory or hub id of a sentence-transformers model"),
    "elasticsearch": Kind(elasticsearch_retriever, "an index of Elasticsearch"),
    "fusion": Kind(_fusion, "two or more retrievers joined by +"),
    "http": Kind(http_retriever, "an address with {query}"),
    "lsa": Kind(LSARetriever),
    "opensearch": Kind(opensearch_retriever, "an index of OpenSearch"),
    "postgres": Kind(postgres_retriever, "a table of PostgreSQL"),
    "rerank": Kind(_rerank, "a directory or hub id of a cross-encoder of sentence-transformers"),
    "tantivy": Kind(tantivy_retriever, "the directory of an index"),
}
_SIGNS = ":?,+"
_made: LRUCache[tuple[RetrieverFactory, str], Retriever] = LRUCache(maxsize=4)
_lock = ThreadLock()


def register_retriever(name: str, factory: Callable[..., Retriever], *, argument: str | None = None) -> None:
    """Register a retriever under a name, in this process; ``module:attribute`` reaches other processes too.

    Args:
        name: Its name for environments, training and evaluation. A registered name gets the new meaning.
        factory: Function of the corpus. Its keyword-only parameters can be set behind a question mark, as in
            ``name?depth=3``.
        argument: Description of the text after ``name:``, for messages, such as ``"a directory"``; the factory gets
            that text as second argument. ``None`` if the name takes none.

    Raises:
        TaskError: The name is empty or holds a sign that has a meaning in specifications.
    """
    if not name or set(name) & set(_SIGNS):
        raise TaskError(f"expected a retriever's name without a colon or another of {_SIGNS!r}; got {name!r}")
    _KINDS[name] = Kind(factory, argument)


def make_retriever(spec: RetrieverSpec, corpus: Corpus) -> Retriever:
    """The retriever of a specification on a corpus.

    The last few that were built are kept, so that all environments of a process on the same documents share one.

    Args:
        spec: The specification; an object that is a retriever already is returned as it is.
        corpus: The documents.

    Returns:
        The retriever.

    Raises:
        TaskError: The name is unknown, the import failed, the object neither is a retriever nor makes one, or it is a
            factory of two arguments, texts and their digest, as factories once were.
    """
    named = resolve_retriever(spec)
    if not isinstance(named, type) and is_retriever(named):
        return named
    factory = cast(RetrieverFactory, named)
    with _lock.current:
        made = _made.get((factory, corpus.key))
        if made is None:
            made = _make(factory, spec, corpus)
            if not is_retriever(made):
                raise TaskError(_not_a_retriever(spec, made))
            _made[factory, corpus.key] = made
    return made


def resolve_retriever(spec: RetrieverSpec) -> RetrieverFactory | Retriever:
    """The retriever that a specification names, or the factory that makes it.

    Raises:
        TaskError: The name is unknown, the import failed, or the object neither is a retriever nor makes one.
    """
    named = _named(spec) if isinstance(spec, str) else spec
    if not callable(named) and not is_retriever(named):
        raise TaskError(_not_a_retriever(spec, named))
    return named


def _named(spec: str) -> RetrieverFactory | Retriever:
    factory = named_factory(spec, _KINDS)
    if factory is not None:
        return factory
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise TaskError(unknown_name("retriever", spec, _KINDS) + "; or name it module:attribute")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may fail in any way while it is executed, SystemExit included
        raise TaskError(f"cannot import the module of the retriever {spec!r}: {_reason(error)}") from error
    try:
        of_module: RetrieverFactory | Retriever = getattr(module, attribute)
    except AttributeError as error:
        raise TaskError(unknown_name(f"attribute of the module {module_name}", attribute, vars(module))) from error
    return of_module


def _make(factory: RetrieverFactory, spec: RetrieverSpec, corpus: Corpus) -> Retriever:
    _refuse_two_arguments(factory, spec)
    try:
        return factory(corpus)
    except (TaskError, RetrieverError, KeyboardInterrupt):
        raise  # the first two say already what is wrong
    except BaseException as error:  # a user's code, or something that is not meant to make retrievers
        raise TaskError(
            f"cannot make a retriever with {_described(spec)}, called with the corpus: {_reason(error)}"
        ) from error


def _refuse_two_arguments(factory: RetrieverFactory, spec: RetrieverSpec) -> None:
    """Raise a ``TaskError`` if a factory takes texts and digest in place of a corpus."""
    function, behind = (factory.factory, len(factory.arguments)) if isinstance(factory, NamedFactory) else (factory, 0)
    if not _binds(function, 1 + behind) and _binds(function, 2 + behind):
        raise TaskError(
            f"expected a factory of one argument, an ospo_env.Corpus; {_described(spec)} takes two, texts and their "
            "digest, as factories once did: replace its parameters (documents, corpus) by (corpus), and write "
            "'documents, corpus = corpus.texts, corpus.digest' as its first line"
        )


def _binds(function: Callable[..., Retriever], count: int) -> bool:
    """Whether a function can be called with this many arguments by position, as far as its signature tells."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def _not_a_retriever(spec: RetrieverSpec, value: object) -> str:
    missing = ", ".join(member for member in RETRIEVER_MEMBERS if not hasattr(value, member))
    return f"expected {_described(spec)} to make or be a retriever; got {type(value).__name__} without {missing}"


def _described(spec: RetrieverSpec) -> str:
    if isinstance(spec, str):
        return repr(spec)
    named = f" {spec.__qualname__}" if hasattr(spec, "__qualname__") else ""
    return f"the {type(spec).__name__}{named} passed as retriever"


def _reason(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")
