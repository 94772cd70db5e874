"""Search engines as retrievers: indexes that stand elsewhere, joined with the corpus by the ids of documents."""

from ospo_env.retrievers.engines.http_index import http_retriever
from ospo_env.retrievers.engines.postgres_index import postgres_retriever
from ospo_env.retrievers.engines.search_index import elasticsearch_retriever, opensearch_retriever
from ospo_env.retrievers.engines.tantivy_index import tantivy_retriever

__all__ = [
    "elasticsearch_retriever",
    "http_retriever",
    "opensearch_retriever",
    "postgres_retriever",
    "tantivy_retriever",
]
