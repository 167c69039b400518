"""What a server counts, for Prometheus: its own registry, names as in the guide."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Meters"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATEST = 1000
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._asked = self._failed = 0
        self._latest: deque[float] = deque(maxlen=_LATEST)
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
        test = ["release", "measure", "detector"]
        self.drift_score = Gauge(
            "foedus_drift_score", "How far the last look lies from the reference", test, registry=registry
        )
        self.drift_p_value = Gauge(
            "foedus_drift_p_value", "How probable that is without drift, over all tests", test, registry=registry
        )
        self.alert_level = Gauge(
            "foedus_alert_level", "0 none, 1 notice, 2 warning, 3 critical", ["release", "measure"], registry=registry
        )
        self.judged = Gauge("foedus_feedback_judged_answers", "Answers judged", ["release"], registry=registry)
        self.wrong = Gauge(
            "foedus_feedback_wrong_ratio", "Of those judged lately, the share judged wrong", ["release"],
            registry=registry,
        )  # fmt: skip
        self.watch_waiting = Gauge(
            "foedus_watch_waiting_answers", "Answers until the next look", ["release"], registry=registry
        )
        self.watch_seconds = Gauge("foedus_watch_duration_seconds", "How long the last look took", registry=registry)
        self.watch_at = Gauge("foedus_watch_last_success_timestamp_seconds", "When it ended", registry=registry)
        self.watch_failures = Counter("foedus_watch_failures_total", "Looks that failed", registry=registry)

    def request(self, app: str, release: str, status: int, seconds: float, *, asks_model: bool) -> None:
        """Count a request that ended with an HTTP status; `asks_model`: one of those whose pace pages show."""
        self.requests.labels(app, release, str(status)).inc()
        self.request_seconds.observe(seconds)
        if asks_model:
            self._asked, self._failed = self._asked + 1, self._failed + (status >= 400)
            self._latest.append(seconds)

    def figures(self) -> dict[str, Any]:
        """Requests to the model since the start, those that ended with an error, and half and 95 of a hundred of the
        latest took at most so long: milliseconds as decimal strings, None before the first.
        """
        latest = sorted(self._latest)

        def within(share: float) -> str | None:
            return f"{latest[min(len(latest) - 1, int(len(latest) * share))] * 1000:.1f}" if latest else None

        return {
            "requests": self._asked, "errors": self._failed, "measured": len(latest), "p50_ms": within(0.5),
            "p95_ms": within(0.95),
        }  # fmt: skip

    def batch(self, waited: Sequence[float], took: float) -> None:
        """Count a batch."""
        self.batch_size.observe(len(waited))
        self.infer_seconds.observe(took)
        for seconds in waited:
            self.queue_seconds.observe(seconds)

    def watched(self, seen: Sequence[Mapping[str, Any]], *, took: float, at: float) -> None:
        """Show what a look found (`watch.beside.seen`), in the place of what stood there before."""
        for gauge in (self.drift_score, self.drift_p_value, self.alert_level, self.judged, self.wrong,
                      self.watch_waiting):  # fmt: skip
            gauge.clear()
        for one in seen:
            release = one["release"]
            for figure in one["figures"]:
                labels = (release, figure["measure"], figure["detector"])
                for gauge, value in ((self.drift_score, figure["statistic"]), (self.drift_p_value, figure["p"])):
                    if value is not None:
                        gauge.labels(*labels).set(float(value))
            for measure, level in one["levels"].items():
                self.alert_level.labels(release, measure).set(level)
            self.judged.labels(release).set(one["judged"])
            if one["wrong_share"] is not None:
                self.wrong.labels(release).set(float(one["wrong_share"]))
            self.watch_waiting.labels(release).set(one["waiting"])
        self.watch_seconds.set(took)
        self.watch_at.set(at)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
