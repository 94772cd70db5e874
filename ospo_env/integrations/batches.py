"""Requests of concurrent sessions, served together: one call for all that came while the last one ran."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Batches"]

Request = TypeVar("Request")
Result = TypeVar("Result")


class Batches(Generic[Request, Result]):
    """A function of batches that coroutines of one event loop call with single requests.

    Calls run one after another on a thread of their own, so that the loop goes on reading messages; what arrives
    meanwhile is the next batch. A request whose caller has gone, or has been cancelled, is left out of it. The end of
    the process waits for no call.

    Args:
        serve: From requests to as many results, in order. An error fails every request of its batch.
        most: Requests of a batch at most, at least 1.
    """

    def __init__(self, serve: Callable[[Sequence[Request]], Sequence[Result]], most: int = 1024) -> None:
        self._serve = serve
        self._most = most
        self._waiting: dict[asyncio.Future[Result], Request] = {}
        self._running: asyncio.Task[None] | None = None
        self._thread = _Thread()
        self.calls = 0

    async def __call__(self, request: Request) -> Result:
        """The result of one request, from the batch that it falls into."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting[future] = request
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        try:
            return await future
        finally:
            self._waiting.pop(future, None)  # whoever gives up is not kept until a call that hangs has ended

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # so that what arrives in this turn of the loop is in the batch too
            present = (future for future in self._waiting if not future.done())  # a session may be gone
            batch = {future: self._waiting[future] for future in islice(present, self._most)}
            for future in batch:
                del self._waiting[future]
            if not batch:
                continue
            self.calls += 1
            try:
                results = await self._thread.call(self._serve, list(batch.values()))
            except Exception as error:
                for future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for future, result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


class _Thread:
    """A thread that makes calls one after the other, from the first call to the end of this object or the process.

    It is a daemon, which the threads of ``ThreadPoolExecutor`` are not: a process ends while one of its calls hangs.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=_make_calls, args=(self._calls,), name="ospo-batches", daemon=True)
        weakref.finalize(self, self._calls.put, None)

    async def call(self, function: Callable[[Any], Result], argument: object) -> Result:
        """The result of a call."""
        if not self._thread.ident:
            self._thread.start()
        future: Future[Result] = Future()
        self._calls.put((future, function, argument))
        return await asyncio.wrap_future(future)


def _make_calls(calls: "SimpleQueue[tuple[Future[Any], Callable[..., Any], Any] | None]") -> None:
    while (call := calls.get()) is not None:
        future, function, argument = call
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(argument))
            except BaseException as error:
                future.set_exception(error)
        del call, future, function, argument  # an idle thread keeps no batch
