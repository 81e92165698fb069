"""Measures what the model is made of, checks the model where it was not fitted, and prints what it says.

The product alone, one process, one Redis.
"""

from __future__ import annotations

import dataclasses
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import redis

from benchmarks import native, servers
from benchmarks.cores import choose_cores, memory_kib, pinned, usage
from benchmarks.figures import table
from benchmarks.load import CUT_S, READY_S, Load, deliver
from benchmarks.model import COLD_S, CORE, Costs, Delivery, Demand, core_of, fit, need
from benchmarks.peers import PEERS
from benchmarks.rows import connect, memory
from benchmarks.stand import Figures, Impossible, Stand, window, wrong
from jupyter_jobprogress.protocol.names import RedisNames

REST_US: Final = 2000
"""Rest of the load generator between two rounds of reading. Without it each ``send`` wakes a generator that sleeps, on
the server's time: 4 to 5 us a frame for a hundred viewers of a job, which viewers on other machines do not cost."""

SHARED: Final = Load(viewers=1000, rate_per_s=20, seconds=3, pause_us=REST_US)
SLOW: Final = Load(viewers=3000, jobs=3, rate_per_s=5, seconds=3, pause_us=REST_US)
ALONE: Final = Load(viewers=200, jobs=200, rate_per_s=10, seconds=3, pause_us=REST_US)
"""At a pace at which every update wakes the server; a busier one reads several at once, and needs less."""
CHECKS: Final = (
    (1, Load(viewers=1000, jobs=100, rate_per_s=20, seconds=3, pause_us=REST_US)),
    (1, Load(viewers=3000, jobs=30, rate_per_s=5, seconds=3, pause_us=REST_US)),
    (1, Load(viewers=2000, jobs=500, rate_per_s=5, seconds=3, pause_us=REST_US)),
    (4, Load(viewers=500, jobs=100, rate_per_s=10, seconds=3, pause_us=REST_US)),
)
"""Processes, and the load of each of them: loads that the model was not fitted on. Of several processes one is
measured, which has the server's core to itself, as it would on a larger machine; the others are on the load's."""

OWN: Final = 2000
"""Viewers of a job each, beside as many of one job: the difference is what a job costs."""

SUBSCRIBERS: Final = 9
REPORTERS: Final = 20
UPDATES: Final = 5000

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)

DEMANDS: Final[dict[str, Callable[[int], Demand]]] = {
    "all watch one job, 10/s": lambda viewers: Demand(viewers=viewers, jobs=1, updates_per_s=10),
    "20 viewers a job, 2/s": lambda viewers: Demand(viewers=viewers, jobs=viewers // 20, updates_per_s=2),
    "everybody their own job, 1/s": lambda viewers: Demand(viewers=viewers, jobs=viewers, updates_per_s=1),
}
"""What it is called, and what so many viewers then watch."""


@dataclasses.dataclass(frozen=True)
class Check:
    """The load of each of some processes, what share of a core the model says for one of them, and what it was."""

    processes: int
    load: Load
    computed: float
    measured: float

    def __str__(self) -> str:
        viewers, load = self.processes * self.load.viewers, self.load
        of = "" if self.processes == 1 else f": one of {self.processes} processes"
        return f"{viewers:,} viewers, {load.jobs} jobs, {load.rate_per_s:g}/s{of}"


class Scaling:
    """Measures one product."""

    def __init__(self, peer: str, *, repetitions: int, scale: float, progress: Callable[[str], None]) -> None:
        self._peer, self._repetitions, self._scale, self._progress = PEERS[peer], repetitions, scale, progress
        self.cores = choose_cores()

    def measure(self) -> tuple[Costs, list[Check]]:
        """Return the costs, and the checks. Raises what the servers and the generator raise."""
        native.raise_open_files()
        with pinned(self.cores.others):
            shared, slow, alone = (
                Delivery(self._figure(what, _delivering(load), "cpu_us"), load.viewers // load.jobs, load.rate_per_s)
                for what, load in (("one job", SHARED), ("three jobs", SLOW), ("200 jobs", ALONE))
            )
            send_us, cold_us, update_us = fit(shared=shared, slow=slow, alone=alone)
            kib, base_mib = self._figures("memory", memory, "kib", "base_mib")
            connect_us = self._figure("connecting", connect, "viewer_us")
            one, own = (self._figures(f"watching {jobs} jobs", _watching(jobs), "us", "kib") for jobs in (1, OWN))
            self._progress("Redis")
            publish_us, push_us = self._redis_costs()
            costs = Costs(
                send_us=send_us,
                cold_us=cold_us,
                update_us=update_us,
                connect_us=connect_us,
                subscribe_us=own[0] - one[0],
                viewer_kib=kib,
                job_kib=own[1] - one[1],
                base_mib=base_mib,
                publish_us=publish_us,
                push_us=push_us,
            )
            return costs, [self._check(costs, *check) for check in CHECKS]

    def _check(self, costs: Costs, processes: int, load: Load) -> Check:
        what = f"check: {load.jobs} jobs, {load.viewers} viewers in each of {processes}"
        # Not the share of the core in the time it took, which a busy machine makes longer.
        cpu_us = self._figure(what, _delivering(load, beside=processes - 1), "cpu_us")
        demand = Demand(viewers=processes * load.viewers, jobs=load.jobs, updates_per_s=load.rate_per_s)
        measured = cpu_us * demand.frames_per_s / processes / 1e6
        return Check(processes, load, core_of(costs, demand, processes), measured)

    def _figure(self, what: str, measure: Callable[[Stand], Figures], name: str) -> float:
        return self._figures(what, measure, name)[0]

    def _figures(self, what: str, measure: Callable[[Stand], Figures], *names: str) -> list[float]:
        found = []
        for repetition in range(self._repetitions):
            self._progress(f"{what}: repetition {repetition + 1} of {self._repetitions}")
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
                url = stack.enter_context(servers.redis_server(folder))
                target = stack.enter_context(self._peer.start(folder, url, core=self.cores.server))
                found.append(measure(Stand(self._peer, target, url, self.cores, folder, self._scale)))
                for note in found[-1].notes:
                    self._progress(f"note: {note}")
        return [median(one.values[name] for one in found) for name in names]

    def _redis_costs(self) -> tuple[float, float]:
        """Return Redis's CPU time in us for an update, and for each connection that it is pushed to."""
        without = median(self._redis_us(0) for _ in range(self._repetitions))
        several = median(self._redis_us(SUBSCRIBERS) for _ in range(self._repetitions))
        return without, (several - without) / SUBSCRIBERS

    def _redis_us(self, subscribers: int) -> float:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            with pinned(self.cores.server):
                url = stack.enter_context(servers.redis_server(folder))
            stack.enter_context(_listening(url, RedisNames().channel("hot"), subscribers))
            client = stack.enter_context(redis.Redis.from_url(url))
            pid = client.info("server")["process_id"]
            before = usage(pid, self.cores.server)
            _publish(client)
            after = usage(pid, self.cores.server)
        if before.server_s is None or after.server_s is None:
            return float("nan")
        return (after.server_s - before.server_s) * 1e6 / UPDATES


def _delivering(load: Load, *, beside: int = 0) -> Callable[[Stand], Figures]:
    """Return what measures a load, of one process ``beside`` others on the same Redis, each with as many viewers."""

    def measure(stand: Stand) -> Figures:
        with ExitStack() as stack:
            generators = []
            for number in range(beside):
                folder = stand.folder / f"beside-{number}"
                folder.mkdir()
                target = stack.enter_context(stand.peer.start(folder, stand.redis_url, core=stand.cores.others))
                other = dataclasses.replace(stand, target=target, folder=folder)
                other.publish_first(jobs=load.jobs)
                viewers = other.viewers(
                    viewers=load.viewers, jobs=load.jobs, job=load.job, hold_state=True, pause_us=load.pause_us
                )
                generators.append(stack.enter_context(viewers))
                generators[-1].ready(READY_S)
                generators[-1].go()
            figures = deliver(stand, load)
            for generator in generators:
                figures.notes.extend(wrong(seen := generator.finish(CUT_S)))
                if seen.without_end:
                    figures.notes.append(f"{seen.without_end} viewers of another process without the end")
        return figures

    return measure


def _watching(jobs: int) -> Callable[[Stand], Figures]:
    """Return what measures the cost of viewers who come, each to one of so many jobs."""

    def measure(stand: Stand) -> Figures:
        before = memory_kib(stand.target.pid)
        with window(stand) as found, stand.viewers(viewers=OWN, jobs=jobs, burst=100) as generator:
            opened = generator.ready(READY_S)
            stand.await_subscriptions(jobs)
            after = memory_kib(stand.target.pid)
        if before is None or after is None:
            raise Impossible("this system does not tell the memory of a process")
        values = {"us": found.server_s * 1e6 / OWN, "kib": (after - before) / OWN}
        return Figures(values, "its core", found.neighbours, wrong(opened))

    return measure


def _publish(client: Any) -> None:
    """Publish as RedisStore does, by its script, from many connections at a time."""
    names, body = RedisNames(), b'{"job_id":"hot","status":"processing","message":"' + b"x" * 180 + b'"}'
    script = (resources.files("jupyter_jobprogress.store") / "publish.lua").read_text()
    digest = client.script_load(script)
    keys = (names.state("hot"), names.meta("hot"), names.history("hot"), names.index())
    arguments = (body, "", "", "0", "0", "3600000", "604800000", names.channel("hot"), "hot")
    connections = [client.connection_pool.get_connection() for _ in range(REPORTERS)]
    for _ in range(UPDATES // REPORTERS):
        for connection in connections:
            connection.send_command("EVALSHA", digest, len(keys), *keys, *arguments)
        for connection in connections:
            connection.read_response()
    for connection in connections:
        client.connection_pool.release(connection)


@contextmanager
def _listening(url: str, channel: str, count: int) -> Iterator[None]:
    """Keep subscribed connections that read everything."""
    stop, port = threading.Event(), urlsplit(url).port
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port or 0)))
            connection.sendall(f"SUBSCRIBE {channel}\r\n".encode())
            connection.recv(1024)
            selector.register(connection, selectors.EVENT_READ)

        def read() -> None:
            while not stop.is_set():
                for key, _ in selector.select(0.05):
                    key.fileobj.recv(1 << 20)  # type: ignore[union-attr]

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def scaling_text(costs: Costs, checks: list[Check]) -> str:
    """Return the tables of docs/scaling.md."""
    measured = table(
        ["measured", ""],
        [
            ["CPU for a frame to one viewer, us", f"{costs.send_us:.1f}"],
            [f"more for one who had none for {COLD_S:g} s, us", f"{costs.cold_us:.1f}"],
            ["CPU for an update, however many watch it, us", f"{costs.update_us:.1f}"],
            ["CPU for a viewer that comes, us", f"{costs.connect_us:.0f}"],
            ["CPU to begin to watch a job, however many do, us", f"{costs.subscribe_us:.0f}"],
            ["memory of an idle viewer, KiB", f"{costs.viewer_kib:.1f}"],
            ["memory of a job that is watched, KiB", f"{costs.job_kib:.1f}"],
            ["memory of a process without viewers, MiB", f"{costs.base_mib:.0f}"],
            ["Redis: CPU to store and push an update, us", f"{costs.publish_us:.1f}"],
            ["Redis: CPU for each subscribed process, us", f"{costs.push_us:.1f}"],
            ["a Cluster: more on the node that takes it, us (redis.md)", f"{costs.relay_us:.1f}"],
            ["a Cluster: on each other node, us (redis.md)", f"{costs.bus_us:.1f}"],
        ],
    )
    checked = table(
        ["not fitted on", "computed core", "measured core", "computed : measured"],
        [
            [
                str(one),
                f"{one.computed:.0%}",
                f"{one.measured:.0%}",
                f"{one.computed / one.measured:.2f}",
            ]
            for one in checks
        ],
    )
    head = ["computed", "viewers", "processes", "MiB each", "Redis nodes", "core of each", "Gbit/s", "return, s"]
    lines = [_line(name, costs, viewers) for name in DEMANDS for viewers in SIZES]
    return "\n\n".join([measured, checked, f"A process is planned to use {CORE:.0%} of a core.", table(head, lines)])


def _line(name: str, costs: Costs, viewers: int) -> list[str]:
    try:
        found = need(costs, DEMANDS[name](viewers))
    except ValueError:
        return [name, f"{viewers:,}", "not as one", "", "", "", "", ""]
    return [
        name,
        f"{viewers:,}",
        f"{found.processes:,}",
        f"{found.memory_mib:,.0f}",
        str(found.redis_shards),
        f"{found.redis_core:.0%}",
        f"{found.megabit_per_s / 1000:.2f}",
        f"{found.reconnect_s:.1f}",
    ]
