"""What Prometheus may know of a server: counts, times and the line's length; never a text, a key or an address.

Every server has a registry of its own, so that two of them in one process (tests) don't mix.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
GUARD_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # resident memory, open files, CPU seconds
        self.answers = Counter("polyglot_http_answers", "Answers by route and status", ("route", "status"), registry=registry)
        self.completions = Counter("polyglot_completions", "Completions by model and end", ("model", "finish"), registry=registry)
        self.tokens = Counter("polyglot_tokens", "Tokens by model, read and drawn", ("model", "kind"), registry=registry)
        self.first_seconds = Histogram(
            "polyglot_first_token_seconds",
            "Time to the first token, waiting included",
            ("model",),
            buckets=SECONDS,
            registry=registry,
        )
        self.guarded = Counter("polyglot_guard_actions", "What the guard did", ("direction", "action"), registry=registry)
        self.guard_seconds = Histogram("polyglot_guard_seconds", "Time of one look", buckets=GUARD_SECONDS, registry=registry)
        self.refused = Counter("polyglot_refused", "Requests refused, by code", ("code",), registry=registry)

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Show a number that somebody else keeps."""
        Gauge(name, about, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        return generate_latest(self.registry)
