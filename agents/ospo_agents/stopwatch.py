"""Where the time of a training step goes."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds spent in named stages. Stages nest: an inner one's time is not counted in the outer.

    Args:
        stages: Names, all of them reported whether they ran or not.
        settle: Called before each reading of the clock, so that work still queued on a device counts where it was
            asked for.
        clock: Seconds that never decrease.

    >>> times = iter([0.0, 1.0, 3.0, 7.0])
    >>> watch = Stopwatch(["outer", "inner"], clock=lambda: next(times))
    >>> with watch("outer"), watch("inner"):
    ...     pass
    >>> watch.take()
    {'outer': 5.0, 'inner': 2.0}
    """

    def __init__(
        self,
        stages: Sequence[str],
        settle: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._seconds = dict.fromkeys(stages, 0.0)
        self._settle = settle
        self._clock = clock
        self._running: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time inside ``with`` as that stage's."""
        self._turn()
        self._running.append(stage)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def take(self) -> dict[str, float]:
        """Seconds of each stage since the last call."""
        taken = dict(self._seconds)
        self._seconds = dict.fromkeys(taken, 0.0)
        return taken

    def _turn(self) -> None:
        """Credit the time since the last turn to the innermost stage."""
        self._settle()
        now = self._clock()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now
