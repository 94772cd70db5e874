"""Batches that are repeated one by one where they fail, as long as there is time."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["one_by_one"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_by_one(
    call: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], end: float
) -> list[Result | Exception]:
    """Results of a batch, or of its items one by one where the batch fails, so that a bad item fails alone.

    A service whose engine hangs would wait for each item in turn; so no item is tried again after ``end``.

    Args:
        call: From items to as many results, in order.
        items: The batch.
        end: Time of ``time.monotonic`` after which the items that are left share the batch's error.

    Returns:
        For each item its result, or the error.
    """
    if not items:
        return []
    try:
        return list(call(items))
    except Exception as error:
        if len(items) == 1:
            return [error]
        failure = error
    results: list[Result | Exception] = []
    for item in items:
        results += one_by_one(call, [item], end) if time.monotonic() < end else [failure]
    return results
