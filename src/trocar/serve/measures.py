"""What a server measures of itself, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Measures:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "trocar_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "trocar_request_seconds", "From request to answer.", ["route"], registry=self.registry
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note an answered request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Show a value as it is when somebody asks."""
        Gauge(f"trocar_{name}", about, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
