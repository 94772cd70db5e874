"""A rewrite service for concurrent callers: batches, a cache, and a deadline after which the raw query is served."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping, Sequence

from ospo_cli._serve.answers import Answers, Written, in_words
from ospo_cli._serve.metrics import Metrics
from ospo_cli._serve.one_by_one import one_by_one
from ospo_cli._serve.records import Answer, Request
from ospo_cli._terminal import say_error
from ospo_env.integrations.batches import Batches

__all__ = ["Service"]

_DECISIONS = {None: "rewrite", "guard": "query", "guard-error": "error"}
"""Decisions of the guard by the reason of an answer; one that it did not see has none."""

_UNSURE = ("guard-error", "timeout")
"""Reasons that may be gone when the same request comes again, so that such answers are not kept."""


class Service:
    """Answers requests of concurrent callers, each after what it asks for and no more.

    The policy writes on a thread of its own, and an engine guards and credits on another. Requests that come while a
    batch is served are the next one; equal ones are answered once. A batch that fails is served again one by one, so
    that a request which the policy cannot read, or the engine refuses, fails alone.

    Args:
        answers: Answers batches: from each of its functions one call at a time.
        metrics: Counts.
        timeout: Seconds after which the raw query is served; None for no bound.
        most: Requests of a batch at most, at least 1.
        cache: Keeps answers by request, and so rewrites by query and history; None keeps none.
        report: Called with one line for each failure.

    Attributes:
        answers: As above.
        metrics: As above.
    """

    def __init__(
        self,
        answers: Answers,
        metrics: Metrics,
        *,
        timeout: float | None = None,
        most: int = 64,
        cache: MutableMapping[Request, Answer] | None = None,
        report: Callable[[str], object] = say_error,
    ) -> None:
        self.answers, self.metrics = answers, metrics
        self._timeout, self._cache, self._report = timeout, cache, report
        self._patience = math.inf if timeout is None else timeout
        self._lock = threading.Lock()  # of the cache, which the loop reads and the batches' threads write
        self._written: Batches[Request, Answer | Exception] = Batches(self._write, most)
        self._checked: Batches[Written, Answer | Exception] = Batches(self._check, most)

    async def __call__(self, request: Request) -> Answer:
        """The answer to a request.

        Raises:
            Exception: Whatever the policy, or the engine that credits phrases, raised.
        """
        answer = self._kept(request)
        if self._cache is not None:
            self.metrics.cache.labels("miss" if answer is None else "hit").inc()
        answer = answer or await self._in_time(request)
        self.metrics.answers.labels(answer.reason or "policy").inc()
        if request.guard and answer.reason in _DECISIONS:
            self.metrics.guard.labels(_DECISIONS[answer.reason]).inc()
        return answer

    async def _in_time(self, request: Request) -> Answer:
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                result = await self._made(request)
        except TimeoutError:
            if not scope.expired():
                raise  # somebody else's
            self.metrics.timeouts.inc()
            return self.answers.raw(request, "timeout")
        if isinstance(result, Exception):
            self.metrics.errors.inc()
            raise result
        return result

    async def _made(self, request: Request) -> Answer | Exception:
        written = self._kept(request.plain) or await self._written(request.plain)
        if isinstance(written, Exception) or request == request.plain:
            return written
        if written.reason is not None:
            return self.answers.raw(request, written.reason)
        return await self._checked((request, written))

    def _kept(self, request: Request) -> Answer | None:
        if self._cache is None:
            return None
        with self._lock:
            return self._cache.get(request)

    def _keep(self, requests: Iterable[Request], results: Iterable[Answer | Exception]) -> None:
        if self._cache is not None:
            with self._lock:
                for request, result in zip(requests, results, strict=True):
                    if isinstance(result, Answer) and result.reason not in _UNSURE:
                        self._cache[request] = result

    def _write(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        self.metrics.batches.observe(len(requests))
        distinct = list(dict.fromkeys(requests))
        results = one_by_one(self.answers.write, distinct, time.monotonic() + self._patience)
        for words in dict.fromkeys(in_words(result) for result in results if isinstance(result, Exception)):
            self._report(f"error: a rewrite failed: {words}")
        self._keep(distinct, results)
        result_of = dict(zip(distinct, results, strict=True))
        return [result_of[request] for request in requests]

    def _check(self, written: Sequence[Written]) -> list[Answer | Exception]:
        distinct = list(dict.fromkeys(written))
        results = self.answers.check(distinct, self._patience)
        self._keep((request for request, _ in distinct), results)
        result_of = dict(zip(distinct, results, strict=True))
        return [result_of[pair] for pair in written]
