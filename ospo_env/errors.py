"""The errors of this package; each message is one line: what was expected, what came, what to do."""

__all__ = ["RetrieverError", "TaskError"]


class TaskError(ValueError):
    """A request that the task cannot serve: an unknown name or query id, or arguments that do not fit together."""


class RetrieverError(RuntimeError):
    """A retriever failed or returned something that is not scores; failure never becomes a reward."""
