"""The errors of this package; each message is one line: what was expected, what came, what to do."""

__all__ = ["ArgumentError", "RenderModeError", "RetrieverError", "TaskError"]


class TaskError(ValueError):
    """A request that the task cannot serve: an unknown name or query id, or arguments that do not fit together."""


class RetrieverError(RuntimeError):
    """A retriever failed or returned something that is not scores; failure never becomes a reward."""


class ArgumentError(TaskError, TypeError):
    """An argument of a name that does not exist; a ``TypeError`` as well, as Python raises for it."""


class RenderModeError(TaskError, TypeError):
    """A render mode that there is not.

    A ``TypeError`` as well, since Stable-Baselines3's ``make_vec_env`` asks every environment for ``"rgb_array"`` and
    takes that one for an answer.
    """
