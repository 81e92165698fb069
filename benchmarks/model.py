"""What a service of a given size takes, computed from what was measured of one process and one Redis.

Pure arithmetic. ``benchmarks/scaling.py`` measures the costs and checks the model against a load it was not fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CORE: Final = 0.7
"""How much of a core (0 to 1) a process is planned to use: the rest is for bursts, handshakes and neighbours."""

PING_S: Final = 30.0
"""A viewer gets a keepalive and a ping this often, and answers one of them."""

COLD_S: Final = 0.2
"""Time after which what a viewer takes, in the process and in the kernel, has left the caches. A thousand viewers of
one job took 5.9, 9.2, 11.8, 11.6 and 14.1 us a frame where they had one every 20, 50, 100, 200 and 500 ms."""

MOST_PROCESSES: Final = 10_000

MOST_SHARDS: Final = 500
"""Beyond this nobody runs a Cluster; the nodes of Redis talk to each other."""


@dataclass(frozen=True)
class Costs:
    """CPU time in microseconds, memory in KiB, of one server process and one Redis.

    ``send_us`` is for a frame to one viewer, with ``cold_us`` more for one who had none for ``COLD_S``; ``update_us``
    for an update from Redis, however many watch it; ``connect_us`` for a viewer that comes, ``subscribe_us`` and
    ``job_kib`` for each job that is watched, however many do. ``publish_us`` is Redis's time for storing and pushing an
    update, ``push_us`` for each server process that has subscribed to its job. In a Cluster ``relay_us`` is more on the
    node that takes an update, and ``bus_us`` on each other node.
    """

    send_us: float
    cold_us: float
    update_us: float
    connect_us: float
    subscribe_us: float
    viewer_kib: float
    job_kib: float
    base_mib: float
    publish_us: float
    push_us: float
    relay_us: float = 3.0
    bus_us: float = 1.3
    frame_bytes: float = 260.0


@dataclass(frozen=True)
class Delivery:
    """What a frame took of a server, in microseconds, where so many viewers watched each job."""

    us: float
    viewers: int
    updates_per_s: float

    @property
    def cold(self) -> float:
        return cold(self.updates_per_s)


def cold(frames_per_s: float) -> float:
    """Return how cold the caches are for a viewer at this pace, 0 to 1: in proportion to the time between frames."""
    return 1.0 if frames_per_s * COLD_S <= 1 else 1 / (frames_per_s * COLD_S)


def fit(*, shared: Delivery, slow: Delivery, alone: Delivery) -> tuple[float, float, float]:
    """Split the cost of a delivery in three: (``send_us``, ``cold_us``, ``update_us``).

    Each is send + cold() * cold_us + update / viewers. ``slow`` is ``shared`` at another pace; in ``alone`` each job
    has one viewer.
    """
    cold_us = (slow.us - shared.us) / (slow.cold - shared.cold)
    without_us = (alone.us - alone.cold * cold_us) - (shared.us - shared.cold * cold_us)
    update_us = without_us / (1 / alone.viewers - 1 / shared.viewers)
    return shared.us - shared.cold * cold_us - update_us / shared.viewers, cold_us, update_us


@dataclass(frozen=True)
class Demand:
    """Who watches what. ``updates_per_s`` is that of a job; a viewer gets no more than ``most_per_s`` of them."""

    viewers: int
    jobs: int
    updates_per_s: float
    most_per_s: float = math.inf

    @property
    def pace_per_s(self) -> float:
        """Frames to one viewer."""
        return min(self.updates_per_s, self.most_per_s)

    @property
    def frames_per_s(self) -> float:
        """Frames to all viewers together."""
        return self.viewers * self.pace_per_s


@dataclass(frozen=True)
class Need:
    """What a demand takes. Shares of a core are 0 to 1. ``redis_core`` is that of the busiest node."""

    processes: int
    core: float
    viewers_each: int
    memory_mib: float
    redis_core: float
    redis_shards: int
    megabit_per_s: float
    reconnect_s: float


def subscribed(demand: Demand, processes: int) -> float:
    """Return how many jobs one of ``processes`` watches, when viewers are spread evenly at random.

    Of a job's ``w`` viewers, a process has none with the probability (1 - 1/processes) ** w.
    """
    watched = demand.viewers / demand.jobs
    return demand.jobs * (1 - (1 - 1 / processes) ** watched) if processes > 1 else demand.jobs


def core_of(costs: Costs, demand: Demand, processes: int = 1) -> float:
    """Return the share of its core that each of ``processes`` uses: it gets every update of every job it watches."""
    frames_us = demand.frames_per_s / processes * (costs.send_us + cold(demand.pace_per_s) * costs.cold_us)
    pings_us = 2 * demand.viewers / processes / PING_S * (costs.send_us + costs.cold_us)
    updates_us = subscribed(demand, processes) * demand.updates_per_s * costs.update_us
    return (frames_us + pings_us + updates_us) / 1e6


def redis_core_of(costs: Costs, demand: Demand, processes: int, shards: int) -> float:
    """Return the share of its core that each node of a Redis uses, over which jobs and subscribers are spread evenly.

    Classic pub/sub, which the store uses, carries every update to every node of a Cluster, subscribers or not.
    """
    updates_per_s = demand.jobs * demand.updates_per_s
    pushes_per_s = processes * subscribed(demand, processes) * demand.updates_per_s
    taken_us = costs.publish_us + (costs.relay_us if shards > 1 else 0.0)
    used_us = updates_per_s / shards * (taken_us + (shards - 1) * costs.bus_us) + pushes_per_s / shards * costs.push_us
    return used_us / 1e6


def need(costs: Costs, demand: Demand) -> Need:
    """Return the least number of processes that stay below ``CORE``, and all that follows.

    Raises:
        ValueError: no number does, because every process, or every node of Redis, would get more updates than it can
            read.
    """
    what = f"{demand.updates_per_s * demand.jobs:.0f} updates a second are too many for every"
    processes = _least(lambda count: core_of(costs, demand, count), MOST_PROCESSES, f"{what} process to read")
    shards = _least(
        lambda count: redis_core_of(costs, demand, processes, count), MOST_SHARDS, f"{what} node of Redis to pass on"
    )
    each = math.ceil(demand.viewers / processes)
    jobs = subscribed(demand, processes)
    return Need(
        processes=processes,
        core=core_of(costs, demand, processes),
        viewers_each=each,
        memory_mib=costs.base_mib + (each * costs.viewer_kib + jobs * costs.job_kib) / 1024,
        redis_core=redis_core_of(costs, demand, processes, shards),
        redis_shards=shards,
        megabit_per_s=demand.frames_per_s * costs.frame_bytes * 8 / 1e6,
        reconnect_s=(each * costs.connect_us + jobs * costs.subscribe_us) / 1e6,
    )


def _least(core: Callable[[int], float], most: int, failure: str) -> int:
    """Return the least number at which each uses no more than ``CORE``, which falls with the number."""
    low, high = 0, 1
    while core(high) > CORE:
        if high == most:
            raise ValueError(failure)
        low, high = high, min(high * 2, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if core(middle) > CORE else (low, middle)
    return high
