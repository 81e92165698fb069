"""A server under test with its Redis, its viewers and its publisher, and what is read off them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis

from benchmarks.cores import Cores, Usage, forget_peak, neighbours, peak_kib, usage
from benchmarks.generator import Generator, Published, Seen, publish
from benchmarks.peers import Peer
from benchmarks.servers import Target

FULL: Final = 0.85
"""Share of a core (0 to 1) from which on it is what limits."""

LOAD: Final = "the load offered"
"""What limits a server that could do more."""

SUBSCRIBE_S: Final = 10.0
"""Longest wait until a server has subscribed to what its viewers watch."""


class Impossible(Exception):
    """This peer cannot take part in this row. Says why."""


@dataclass
class Figures:
    """One row of one peer in one repetition. ``values`` by the names in ``rows.FIGURES``."""

    values: dict[str, float]
    limit: str
    neighbours: float | None = None
    notes: list[str] = field(default_factory=list)

    def only(self, *names: str) -> Figures:
        """Return some of the figures, and always what they rest on and what must be 0."""
        kept = (*names, "offered", "delivered", "wrong", "failed")
        values = {name: self.values[name] for name in kept if name in self.values}
        return dataclasses.replace(self, values=values)


@dataclass(frozen=True)
class Stand:
    """One server, started for one measurement."""

    peer: Peer
    target: Target
    redis_url: str
    cores: Cores
    folder: Path
    scale: float
    """1, or less for a quick look: shortens measurements, and leaves the numbers of viewers and jobs."""

    @property
    def redis_port(self) -> int:
        return urlsplit(self.redis_url).port or 0

    def client(self) -> Any:
        return redis.Redis.from_url(self.redis_url)

    def viewers(
        self,
        *,
        viewers: int,
        jobs: int = 1,
        interval_ms: float | None = None,
        hold_state: bool = False,
        **more: str | int,
    ) -> Generator:
        """Return viewers of this server, with further options. With an interval they watch by ``ws/jobs``; with
        ``hold_state`` they are ready when they have a state, and not when they are greeted."""
        peer, target = self.peer, self.target
        options: dict[str, str | int | float] = {
            "port": target.port,
            "viewers": viewers,
            "jobs": jobs,
            "path": target.prefix + peer.path,
            "headers": "".join(f"{name}: {value}\r\n" for name, value in target.headers.items()),
            "greeting": peer.greeting,
            "subscribe": peer.subscribe,
            "ready": peer.ready,
            "socketio": int(peer.socketio),
            **more,
        }
        if interval_ms is not None:
            command = {"type": "subscribe", "job_ids": ["JOB"], "interval_ms": interval_ms, "id": 1}
            options["path"] = f"{target.prefix}/ws/jobs"
            options["subscribe"] = json.dumps(command).replace("JOB", "%s")
            options["ready"] = '"type":"subscribed"'
        if hold_state:
            options["ready" if options["subscribe"] else "greeting"] = '"sent_ns":'
        return Generator(options)

    def publish(self, **options: str | int | float) -> Published:
        return publish(self.publishing(**options))

    def publish_first(self, *, jobs: int = 1, job: str = "hot") -> None:
        """Give jobs a state, for viewers to come. It is older than all of a publisher that warms up."""
        if not self.peer.posts:
            self.publish(job=job, jobs=jobs, rate=100, warm_up=1000, count=-999, end=0)

    def publishing(self, **options: str | int | float) -> dict[str, str | int | float]:
        """Return the publisher's options for this server."""
        if self.peer.posts:
            return {"port": self.target.port, "post": self.peer.posts, **options}
        return {"port": self.redis_port, **options}

    def await_subscriptions(self, jobs: int = 1, job: str = "hot") -> None:
        """Wait until the server has subscribed: the original greets before it has.

        Raises:
            Impossible: not within ``SUBSCRIBE_S``.
        """
        if self.peer.posts:
            return
        names = [f"job_progress:{job}"] if jobs == 1 else [f"job_progress:{job}-{number}" for number in range(jobs)]
        deadline_s = time.monotonic() + SUBSCRIBE_S
        with self.client() as client:
            while time.monotonic() < deadline_s:
                if client.pubsub_numpat() or all(count for _, count in client.pubsub_numsub(*names)):
                    return
                time.sleep(0.02)
        raise Impossible(f"it did not subscribe to all of {jobs} jobs within {SUBSCRIBE_S:.0f} s")


@dataclass
class Window:
    """Counters over a while, and what of the two cores was used in it."""

    before: Usage
    others_before: Usage
    after: Usage | None = None
    others_after: Usage | None = None
    resident_kib: float | None = None
    peak_kib: float | None = None

    @property
    def seconds(self) -> float:
        assert self.after is not None
        return self.after.at_s - self.before.at_s

    @property
    def server_s(self) -> float:
        assert self.after is not None
        return (self.after.server_s or 0.0) - (self.before.server_s or 0.0)

    @property
    def core(self) -> float:
        """The server's share of its core, 0 to 1."""
        return self.server_s / self.seconds

    @property
    def neighbours(self) -> float | None:
        assert self.after is not None
        return neighbours(self.before, self.after)

    @property
    def others(self) -> float:
        """How much of the other core was used, 0 to 1."""
        assert self.others_after is not None
        return ((self.others_after.core_s or 0.0) - (self.others_before.core_s or 0.0)) / self.seconds

    @property
    def growth_mib(self) -> float:
        """How far the server's resident memory rose above what it was."""
        if self.resident_kib is None or self.peak_kib is None:
            return float("nan")
        return max(0.0, self.peak_kib - self.resident_kib) / 1024

    def limit(self, *, complete: bool) -> str:
        """Say in words what more could not be had for. ``complete``: it kept up with what was offered."""
        if complete:
            return LOAD
        if self.core >= FULL:
            return "its core"
        if self.others >= FULL:
            return "the load's core"
        return "itself"


@contextlib.contextmanager
def window(stand: Stand) -> Iterator[Window]:
    """Count from here to the end of the block."""
    pid, cores = stand.target.pid, stand.cores
    resident = forget_peak(pid)
    found = Window(usage(pid, cores.server), usage(0, cores.others), resident_kib=resident)
    yield found
    found.after, found.others_after = usage(pid, cores.server), usage(0, cores.others)
    found.peak_kib = peak_kib(pid)


def wrong(seen: Seen) -> list[str]:
    """Return what the generator found that no server may do."""
    notes = []
    if seen.wrong:
        notes.append(
            f"{seen.out_of_order} out of order, {seen.after_end} after the end, {seen.malformed} malformed; "
            f"first: {seen.first_fault}"
        )
    if seen.failed or seen.closed:
        reason = seen.first_failure or seen.refusal or "closed by the server"
        notes.append(f"{seen.failed} viewers were refused, {seen.closed} closed; first: {reason}")
    return notes
