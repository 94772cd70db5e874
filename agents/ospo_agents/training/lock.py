"""One training at a time in a run directory."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ospo_agents.errors import AgentError
from ospo_agents.training.run_directory import LOCK

__all__ = ["training_lock"]


@contextlib.contextmanager
def training_lock(out: Path) -> Iterator[None]:
    """Hold the lock of a run directory, from the check of what lies there to the end of the training.

    The directory is made if it is not there, and removed again if nothing was written. The lock's file is removed
    under the lock; those who opened it before notice that.

    Args:
        out: The run directory.

    Raises:
        AgentError: Another process is training into the directory, or it is a file.
        OSError: The directory cannot be made.
    """
    made = not out.exists()
    if not made and not out.is_dir():
        raise AgentError(f"expected a run directory to write, but {out} is a file; choose another one (--out)")
    out.mkdir(parents=True, exist_ok=True)
    path = out / LOCK
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise AgentError(
            f"another process is training into {out}; wait until it ends, or choose another directory (--out)"
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
        if made:
            with contextlib.suppress(OSError):  # it holds a run by now
                out.rmdir()
