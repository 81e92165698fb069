"""What a server counts about itself, and how Prometheus reads it.

The counters are plain integers: they are raised for every frame, and read once in many seconds. No label holds a job
id, a user or anything else that a user chose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TRIP_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAG_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Counts:
    """Counters since the start of the process."""

    __slots__ = ("coalesced", "dropped", "frames_out", "refused", "updates_in")

    def __init__(self) -> None:
        self.updates_in = 0
        """Newer states that came from the store, of jobs that are watched."""
        self.frames_out = 0
        """States that were sent to viewers as they came, or when an interval was over."""
        self.coalesced = 0
        """States that were not, because the viewer was behind or its interval not over. The newest of them follows."""
        self.dropped = 0
        """Viewers that were dropped since they did not read, or gave no sign of life."""
        self.refused = 0
        """Viewers and requests that were sent away for a limit."""


class Present(NamedTuple):
    """What is so now."""

    viewers: int
    subscriptions: int
    jobs: int
    store_up: bool


class Metrics(Collector):
    """Everything that ``metrics`` tells."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.present: set[Callable[[], Present]] = set()
        """Who tells what is so now: one fan-out, or one for each tenant that is here."""
        self._registry = CollectorRegistry()
        self._trip = Histogram(
            "jobprogress_store_round_trip_seconds",
            "Time until the store has answered.",
            buckets=_TRIP_BUCKETS_S,
            registry=self._registry,
        )
        self._lag = Histogram(
            "jobprogress_loop_lag_seconds",
            "How late the event loop ran a timer, measured while there are viewers.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )
        self._registry.register(self)

    @contextmanager
    def round_trip(self) -> Iterator[None]:
        """Time one answer of the store, also where it is an error."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self._trip.observe(time.perf_counter() - begin_s)

    def _present(self) -> Present:
        """Add up what is so now."""
        told = [tell() for tell in self.present]
        return Present(
            viewers=sum(present.viewers for present in told),
            subscriptions=sum(present.subscriptions for present in told),
            jobs=sum(present.jobs for present in told),
            store_up=all(present.store_up for present in told),
        )

    def loop_lag(self, seconds: float) -> None:
        """Take in how late a timer was."""
        self._lag.observe(max(seconds, 0.0))

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        present, counts = self._present(), self.counts
        for name, text, value in (
            ("viewers", "Open sockets.", present.viewers),
            ("subscriptions", "Jobs that viewers watch, each counted once for each viewer.", present.subscriptions),
            ("jobs_watched", "Different jobs that are watched.", present.jobs),
            ("store_up", "1 while the store answers.", int(present.store_up)),
        ):
            yield GaugeMetricFamily(f"jobprogress_{name}", text, value=value)
        for name, text, count in (
            ("updates_in", "Newer states of watched jobs that came from the store.", counts.updates_in),
            ("frames_out", "States sent to viewers as they came, or at their intervals.", counts.frames_out),
            ("coalesced", "States not sent so to a viewer; the newest of them follows.", counts.coalesced),
            ("dropped", "Viewers dropped since they did not read or gave no sign of life.", counts.dropped),
            ("refused", "Viewers and requests sent away for a limit.", counts.refused),
        ):
            yield CounterMetricFamily(f"jobprogress_{name}", text, value=count)
