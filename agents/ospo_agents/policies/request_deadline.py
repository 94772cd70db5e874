"""A bound on a whole HTTP request, for clients whose own timeout bounds the wait for each piece of an answer."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

__all__ = ["deadline_hooks"]

_ENDS = "ospo_deadline"


def deadline_hooks(seconds: float) -> dict[str, list[Callable[..., Any]]]:
    """Event hooks of an HTTP client: an answer that is still coming after so long raises ``httpx2.ReadTimeout``.

    The clock starts anew with each repetition, and is looked at after each piece of the body.
    """

    def start(request: httpx2.Request) -> None:
        request.extensions = {**request.extensions, _ENDS: time.monotonic() + seconds}

    def bound(response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Bounded(response.stream, response.request.extensions[_ENDS])

    return {"request": [start], "response": [bound]}


class _Bounded(httpx2.SyncByteStream):
    """A body that has to be there by a moment of the monotonic clock."""

    def __init__(self, body: httpx2.SyncByteStream, ends: float) -> None:
        self._body = body
        self._ends = ends

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            if time.monotonic() > self._ends:
                raise httpx2.ReadTimeout("the answer was not whole in time")
            yield piece

    def close(self) -> None:
        self._body.close()
