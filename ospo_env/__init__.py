"""Retrieval tasks as Gymnasium environments of text. Knows no learner, and imports no torch."""

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.spaces import FreeText

__all__ = ["FreeText", "RetrieverError", "TaskError"]
