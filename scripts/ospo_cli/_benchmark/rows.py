"""One measured row, and the clock that measures it."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Row", "interleaved"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: Description of the work.
        target: The number to reach, with its unit and direction.
        measured: The number reached, in the same unit.
        unit: Unit of the value; ``x`` is a ratio of two times measured side by side.
        least: Least value that ``measured`` has to reach, or ``None``.
        most: Greatest value that it may have, or ``None``.
        details: Numbers behind it.
    """

    work: str
    target: str
    measured: float
    unit: str
    least: float | None = None
    most: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return (self.least is None or self.measured >= self.least) and (self.most is None or self.measured <= self.most)

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON-able dictionary."""
        return {**asdict(self), "met": self.met}


def interleaved(
    works: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Least seconds of each piece of work; all of them run in turn, ``repeats`` times.

    Args:
        works: Functions to time; the caller warms them up.
        repeats: Rounds, at least 1.
        clock: Seconds; of this process by default, so that other processes count little.
    """
    best = [float("inf")] * len(works)
    for _ in range(repeats):
        for number, work in enumerate(works):
            gc.collect()
            start = clock()
            work()
            best[number] = min(best[number], clock() - start)
    return best
