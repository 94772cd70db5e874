"""A rewrite service for concurrent callers: batches, a cache, and a deadline after which the raw query is served."""

import asyncio
import threading
from collections.abc import Callable, MutableMapping, Sequence

from ospo_cli._serve.answers import Answer, Answers, Request
from ospo_cli._serve.metrics import Metrics
from ospo_cli._terminal import say_error
from ospo_env.integrations.batches import Batches

__all__ = ["Service"]

_DECISIONS = {None: "rewrite", "guard": "query", "guard-error": "error"}
"""Decisions of the guard by the reason of an answer; one that it did not see has none."""

_UNSURE = ("guard-error", "timeout")
"""Reasons that may be gone when the same request comes again, so that such answers are not kept."""


class Service:
    """Answers requests of concurrent callers.

    Requests that come while a batch is served are the next one; equal ones are answered once. A batch that fails is
    served again one by one, so that a request which the policy cannot read fails alone.

    Args:
        answers: Answers a batch; called on a thread of its own, one batch after the other.
        metrics: Counts.
        timeout: Seconds after which the raw query is served; None for no bound.
        most: Requests of a batch at most, at least 1.
        cache: Keeps answers by request; None keeps none.
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
        self._lock = threading.Lock()  # of the cache, which the loop reads and the batches' thread writes
        self._batches: Batches[Request, Answer | Exception] = Batches(self._serve, most)

    async def __call__(self, request: Request) -> Answer:
        """The answer to a request.

        Raises:
            Exception: Whatever the policy, or the engine that credits phrases, raised.
        """
        answer = self._kept(request) or await self._in_time(request)
        self.metrics.answers.labels(answer.reason or "policy").inc()
        if request.guard and answer.reason in _DECISIONS:
            self.metrics.guard.labels(_DECISIONS[answer.reason]).inc()
        return answer

    async def _in_time(self, request: Request) -> Answer:
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                result = await self._batches(request)
        except TimeoutError:
            if not scope.expired():
                raise  # somebody else's
            self.metrics.timeouts.inc()
            return self.answers.raw(request, "timeout")
        if isinstance(result, Exception):
            self.metrics.errors.inc()
            raise result
        return result

    def _kept(self, request: Request) -> Answer | None:
        if self._cache is None:
            return None
        with self._lock:
            answer = self._cache.get(request)
        self.metrics.cache.labels("miss" if answer is None else "hit").inc()
        return answer

    def _serve(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        distinct = list(dict.fromkeys(requests))
        self.metrics.batches.observe(len(requests))
        result_of = dict(zip(distinct, self._answered(distinct), strict=True))
        for request, result in result_of.items():
            if self._cache is not None and isinstance(result, Answer) and result.reason not in _UNSURE:
                with self._lock:
                    self._cache[request] = result
        return [result_of[request] for request in requests]

    def _answered(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        try:
            return self.answers(requests)
        except Exception as error:
            if len(requests) > 1:
                return [result for request in requests for result in self._answered([request])]
            self._report(f"error: a rewrite failed: {type(error).__name__}: {error}")
            return [error]
