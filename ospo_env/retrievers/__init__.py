"""Retrievers: what ranks documents for a text, and their names."""

from ospo_env.retrievers.base import Retriever
from ospo_env.retrievers.registry import make_retriever, register_retriever

__all__ = ["Retriever", "make_retriever", "register_retriever"]
