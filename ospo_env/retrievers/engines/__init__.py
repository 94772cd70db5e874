"""Search engines as retrievers: indexes that stand elsewhere, joined with the corpus by the ids of documents."""

from ospo_env.retrievers.engines.postgres_index import postgres_retriever
from ospo_env.retrievers.engines.tantivy_index import tantivy_retriever

__all__ = ["postgres_retriever", "tantivy_retriever"]
