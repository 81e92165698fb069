"""How long from a report until a viewer has it: the product and the original design, interleaved, on loopback.

See README.md for what is compared with what.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from benchmarks import servers
from benchmarks.cores import choose_cores, neighbours, pinned, usage
from benchmarks.figures import Measurement
from benchmarks.publisher import How
from benchmarks.servers import Target
from benchmarks.worker import Worker
from jupyter_jobprogress.protocol.names import RedisNames

Client = Literal["socket", "chromium"]


class Row(NamedTuple):
    """One line of the table. ``many``: ``ws/jobs`` with every update asked for, instead of ``ws/jobs/{job_id}``.

    Server ``redis``: no server, the viewer subscribes to Redis itself. What another row takes beyond that is its
    server's.
    """

    server: Literal["product", "original", "redis"]
    how: How
    many: bool = False

    @property
    def path(self) -> str:
        if self.server == "redis":
            return "SUBSCRIBE"
        return "ws/jobs" if self.many else "ws/jobs/{job_id}"


ROWS: Final = {
    "product": Row("product", "store"),
    "original": Row("original", "plain"),
    "product-many": Row("product", "store", many=True),
    "original-store": Row("original", "store"),
    "product-plain": Row("product", "plain"),
    "redis": Row("redis", "store"),
    "redis-plain": Row("redis", "plain"),
}
"""In an order in which the two servers take turns. The first two are each as it comes."""

BASE: Final = "original"

_SERVERS: Final[dict[str, Callable[..., AbstractContextManager[Target]]]] = {
    "product": servers.product,
    "original": servers.original,
    "redis": servers.bare_redis,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. ``rows`` are names in ``ROWS``."""

    repetitions: int = 3
    updates_per_s: float = 100.0
    seconds: float = 5.0
    warm_up_s: float = 1.0
    rows: tuple[str, ...] = tuple(ROWS)
    clients: tuple[Client, ...] = ("socket",)


class Viewer(Protocol):
    """Who watches: the lean socket client or Chromium."""

    def open(self, target: Target, path: str, subscribe: str | None) -> None:
        """Connect, and return when the server has greeted."""

    def collect(self) -> dict[str, Any]:
        """Wait for the end of the job, and return ``delays_us`` and perhaps ``drawn_us``: pairs with the index."""


class SocketViewer:
    """The client in benchmarks/viewer.py."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def open(self, target: Target, path: str, subscribe: str | None) -> None:
        request = {"port": target.port, "path": path, "headers": target.headers, "subscribe": subscribe}
        # A bare Redis has no path: its viewer subscribes to the job's channel.
        channel = None if target.pid else RedisNames().channel(path.rpartition("/")[2])
        self._worker.tell({**request, "channel": channel})
        if "ready" not in self._worker.hear():
            raise RuntimeError(f"the server did not greet the viewer of {path}")

    def collect(self) -> dict[str, Any]:
        return self._worker.hear()


Results = dict[Client, dict[str, list[Measurement]]]


class Run:
    """Owns what lives through all measurements: Redis, the publisher, the viewers."""

    def __init__(self, plan: Plan, *, progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._progress = progress
        self.cores = choose_cores()
        self.clock_errors_us: list[float] = []
        self.browser: str | None = None

    def measure(self) -> Results:
        """Measure every row in every repetition, each in a fresh server process; every other one in reverse."""
        plan = self._plan
        results: Results = {client: {name: [] for name in plan.rows} for client in plan.clients}
        if "chromium" in results:
            results["chromium"] = {name: [] for name in plan.rows if ROWS[name].server != "redis"}
        with contextlib.ExitStack() as stack:
            stack.enter_context(pinned(self.cores.others))
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            self._redis_url = stack.enter_context(servers.redis_server(self._folder))
            self._publisher = stack.enter_context(Worker("benchmarks.publisher"))
            viewers = {client: self._viewer(client, stack) for client in plan.clients}
            order = [(client, name) for client in plan.clients for name in results[client]]
            for repetition in range(plan.repetitions):
                for client, name in order if repetition % 2 == 0 else reversed(order):
                    self._progress(f"repetition {repetition + 1} of {plan.repetitions}: {name}, {client}")
                    job_id = f"{client}-{name}-{repetition}"
                    results[client][name].append(self._measure(ROWS[name], viewers[client], job_id))
        return results

    def _viewer(self, client: Client, stack: contextlib.ExitStack) -> Viewer:
        if client == "socket":
            return SocketViewer(stack.enter_context(Worker("benchmarks.viewer")))
        from benchmarks.browser import chromium  # needs playwright, which is optional

        viewer = stack.enter_context(chromium())
        self.browser, self.clock_errors_us = viewer.version, viewer.clock_errors_us
        return viewer

    def _measure(self, row: Row, viewer: Viewer, job_id: str) -> Measurement:
        plan = self._plan
        count, warm_up = (max(round(s * plan.updates_per_s), 1) for s in (plan.seconds, plan.warm_up_s))
        folder = self._folder / job_id
        folder.mkdir()
        with _SERVERS[row.server](folder, self._redis_url, core=self.cores.server) as target:
            path = f"{target.prefix}/ws/jobs" if row.many else f"{target.prefix}/ws/jobs/{job_id}"
            subscribe = {"type": "subscribe", "job_ids": [job_id], "interval_ms": 0, "id": 1}
            viewer.open(target, path, json.dumps(subscribe) if row.many else None)
            before = usage(target.pid, self.cores.server)
            task = {"how": row.how, "job_id": job_id, "count": count, "warm_up": warm_up}
            self._publisher.tell({**task, "updates_per_s": plan.updates_per_s, "redis_url": self._redis_url})
            self._publisher.hear()
            after = usage(target.pid, self.cores.server)
            arrived = viewer.collect()
        cpu_us = None
        if before.server_s is not None and after.server_s is not None:
            cpu_us = (after.server_s - before.server_s) * 1e6 / (warm_up + count + 1)
        return Measurement(
            offered=count,
            # By index: a state that comes twice, as it may, is delivered once.
            delays_us=list(dict(reversed(arrived["delays_us"])).values()),
            drawn_us=list(dict(reversed(arrived.get("drawn_us", []))).values()),
            cpu_us_per_update=cpu_us,
            neighbours=neighbours(before, after),
        )
