"""Stopwatch of the stages of a training step."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds spent in named stages. Stages nest: the time of an inner stage is not counted in the outer one.

    Args:
        stages: Names, all of them reported whether they ran or not.
        settle: Called before each reading of the clock; it waits for work that is still queued on a device, so that
            the stage that queued it is charged.
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
        """Count the time inside ``with`` for a stage."""
        self._charge()
        self._running.append(stage)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def take(self) -> dict[str, float]:
        """Seconds of each stage since the last call."""
        seconds = self._seconds
        self._seconds = dict.fromkeys(seconds, 0.0)
        return seconds

    def _charge(self) -> None:
        """Add the time since the last reading of the clock to the innermost stage."""
        self._settle()
        now = self._clock()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now
