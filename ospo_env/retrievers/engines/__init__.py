"""Search engines as retrievers: indexes that stand elsewhere, joined with the corpus by the ids of documents."""

from ospo_env.retrievers.engines.tantivy_index import tantivy_retriever

__all__ = ["tantivy_retriever"]
