"""Metrics of a rewrite service, as Prometheus reads them."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters and histograms, in a registry of their own.

    Attributes:
        registry: The registry.
        requests: Requests by status of HTTP.
        answers: Answers by source: ``policy``, or the reason why the raw query was served.
        seconds: Time from a request to its answer.
        batches: Requests of a call of the policy.
        timeouts: Requests that the policy did not answer in time.
        cache: Look-ups in the cache by result, ``hit`` or ``miss``.
        guard: Decisions of the guard: ``rewrite``, ``query``, or ``error`` where the engine failed.
        errors: Requests that failed, of the policy or of the engine that credits phrases.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # CPU time and memory, on Linux
        self.requests = Counter("ospo_requests", "Requests by status", ["status"], registry=registry)
        self.answers = Counter(
            "ospo_answers", "Answers by source: policy, or why the raw query", ["source"], registry=registry
        )
        self.seconds = Histogram("ospo_request_seconds", "Seconds a request", buckets=_SECONDS, registry=registry)
        self.batches = Histogram("ospo_batch_size", "Requests a batch", buckets=_SIZES, registry=registry)
        self.timeouts = Counter("ospo_timeouts", "Requests answered by the raw query, too slow", registry=registry)
        self.cache = Counter("ospo_cache", "Look-ups in the cache", ["result"], registry=registry)
        self.guard = Counter("ospo_guard", "Decisions of the guard", ["decision"], registry=registry)
        self.errors = Counter("ospo_errors", "Requests that failed", registry=registry)
