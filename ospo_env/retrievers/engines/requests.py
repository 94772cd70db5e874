"""Requests to an engine: several at once, each repeated with growing pauses until its deadline."""

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from ospo_env.errors import RetrieverError, TaskError

__all__ = ["Limits", "Unavailable", "Unreachable", "answer_all", "answer_each"]

_FIRST_PAUSE = 0.1  # seconds before the first repetition
_LONGEST_PAUSE = 5.0
_GRACE = 1.0  # seconds beyond the deadline after which a request that ignores it is given up
_chance = random.SystemRandom()  # of pauses only, so that requests that failed together are not repeated together

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Unavailable(Exception):
    """An engine that may answer later: it is throttled, restarts, or cannot be reached at the moment.

    Args:
        reason: One line without secrets.
        pause: Seconds that the engine asks to wait.
    """

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Unreachable(Unavailable):
    """An engine where nothing answers; when an index is opened, that is an error at once."""


@dataclass(frozen=True)
class Limits:
    """Bounds on requests.

    Attributes:
        concurrency: Requests under way at once, at least 1.
        deadline: Seconds within which a request has to be answered, repetitions included, above 0.
        batch: Texts in a request, at least 1.

    Raises:
        TaskError: A number is out of range.
    """

    concurrency: int
    deadline: float
    batch: int

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("batch", 1), ("deadline", 0.001)):
            if not least <= getattr(self, name) < float("inf"):
                raise TaskError(f"expected {name} of an engine as at least {least}; got {getattr(self, name)}")


def answer_all(ask: Callable[[_Item, float], _Answer], items: Sequence[_Item], limits: Limits) -> list[_Answer]:
    """Answers to all items, in order; arguments and errors as for :func:`answer_each`."""
    answers = dict(answer_each(ask, items, limits))
    return [answers[place] for place in range(len(items))]


def answer_each(
    ask: Callable[[_Item, float], _Answer], items: Sequence[_Item], limits: Limits
) -> Iterator[tuple[int, _Answer]]:
    """Places of items and the answers to them, as they come; the first failure ends the iteration.

    Args:
        ask: Function of an item and the seconds left that returns the answer. It raises :class:`Unavailable` where it
            is worth repeating.
        items: The items, one a request.
        limits: Bounds on the requests.

    Raises:
        RetrieverError: A request was not answered before its deadline. What else ``ask`` raises passes.
    """
    pool = ThreadPoolExecutor(min(limits.concurrency, max(len(items), 1)), thread_name_prefix="ospo-engine")
    try:
        place_of = {pool.submit(_answer, ask, item, limits.deadline): place for place, item in enumerate(items)}
        pending: set[Future[_Answer]] = set(place_of)
        while pending:
            done, pending = wait(pending, timeout=limits.deadline + _GRACE, return_when=FIRST_COMPLETED)
            if not done:
                raise RetrieverError(f"no answer within {limits.deadline:g} s")
            for future in sorted(done, key=lambda one: one.exception() is not None):  # what is known comes first
                yield place_of[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(ask: Callable[[_Item, float], _Answer], item: _Item, deadline: float) -> _Answer:
    ends = time.monotonic() + deadline
    for attempt in itertools.count():
        try:
            return ask(item, ends - time.monotonic())
        except Unavailable as error:
            growing = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * _chance.uniform(0.5, 1.0)
            pause = max(growing, error.pause)
            if time.monotonic() + pause >= ends:
                times = f"{attempt + 1} attempt{'s' if attempt else ''}"
                raise RetrieverError(f"no answer within {deadline:g} s ({times}); the last time: {error}") from None
        time.sleep(pause)
    raise AssertionError
