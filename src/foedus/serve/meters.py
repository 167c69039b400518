"""What a server counts, for Prometheus: its own registry, names as in the guide."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Meters"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("foedus_requests_total", "Requests", ["app", "release", "code"], registry=registry)
        self.request_seconds = Histogram(
            "foedus_request_seconds",
            "Time until a request is answered",
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "foedus_queue_seconds", "Time that a text stands in line", buckets=_SECONDS, registry=registry
        )
        self.infer_seconds = Histogram(
            "foedus_infer_seconds", "Time that the model takes for a batch", buckets=_SECONDS, registry=registry
        )
        self.batch_size = Histogram("foedus_batch_size", "Texts in a batch", buckets=_SIZES, registry=registry)
        self.queue_depth = Gauge("foedus_queue_depth", "Texts in line now", registry=registry)
        self.feedback = Counter("foedus_feedback_total", "What users said", ["verdict"], registry=registry)
        self.reviews = Counter("foedus_reviews_total", "Answers handed to a human", registry=registry)
        self.shadow = Counter("foedus_shadow_total", "Compared with the shadow", ["outcome"], registry=registry)
        self.not_kept = Gauge("foedus_answers_not_kept", "Answers that could not be written down", registry=registry)

    def batch(self, waited: Sequence[float], took: float) -> None:
        """Count a batch."""
        self.batch_size.observe(len(waited))
        self.infer_seconds.observe(took)
        for seconds in waited:
            self.queue_seconds.observe(seconds)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
