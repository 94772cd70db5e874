"""Requests of concurrent sessions, served together: one call for all that came while the last one ran."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Batches"]

Request = TypeVar("Request")
Result = TypeVar("Result")


class Batches(Generic[Request, Result]):
    """A function of batches that coroutines of one event loop call with single requests.

    Calls run one after another on a thread of their own, so that the loop goes on reading messages; what arrives
    meanwhile is the next batch. A request whose caller has gone, or has been cancelled, is left out of it.

    Args:
        serve: From requests to as many results, in order. An error fails every request of its batch.
        most: Requests of a batch at most, at least 1.
    """

    def __init__(self, serve: Callable[[Sequence[Request]], Sequence[Result]], most: int = 1024) -> None:
        self._serve = serve
        self._most = most
        self._waiting: list[tuple[Request, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ospo-batches")
        self.calls = 0

    async def __call__(self, request: Request) -> Result:
        """The result of one request, from the batch that it falls into."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((request, future))
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(0)  # so that what arrives in this turn of the loop is in the batch too
            waiting = [pair for pair in self._waiting if not pair[1].done()]  # a session may be gone
            batch, self._waiting = waiting[: self._most], waiting[self._most :]
            if not batch:
                continue
            self.calls += 1
            try:
                results = await loop.run_in_executor(self._thread, self._serve, [request for request, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
