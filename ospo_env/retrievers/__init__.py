"""Retrievers: what ranks documents for a text, and their names."""

from ospo_env.retrievers.base import Retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.registry import make_retriever, register_retriever

__all__ = ["Corpus", "Retriever", "make_retriever", "register_retriever"]
