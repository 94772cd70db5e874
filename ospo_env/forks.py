"""Checks for a fork, which neither the threads of libraries nor locks of other threads survive.

The threads of polars, PyTorch and FAISS do not survive a fork: a child process that needs them waits for ever. So the
first such work in a process is noted, and a child that was forked after it is refused the same kind of work.
"""

import os
import threading

from ospo_env.errors import TaskError

__all__ = ["ThreadLock", "refuse_after_fork"]

_process: int | None = None  # the process that did such work first


class ThreadLock:
    """A re-entrant lock for the threads of a process: ``with lock.current: ...``.

    A forked child gets a new one, since no thread there would ever release a lock that another thread held.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.current = threading.RLock()


def refuse_after_fork(work: str) -> None:
    """Note that this process starts threads, or raise if it was forked from one that did.

    Args:
        work: Name of the work, for the message, such as ``"reading data"``.

    Raises:
        TaskError: This process was forked from one that had called this function.
    """
    global _process
    if _process not in (None, os.getpid()):
        raise TaskError(
            f"expected a process of its own for {work}, but this one was forked from one that has read data, where it "
            "would hang; pass context='spawn' to AsyncVectorEnv or multiprocessing"
        )
    _process = os.getpid()
