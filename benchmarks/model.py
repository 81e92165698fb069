"""What a service of a given size takes, computed from what was measured of one process and one Redis.

Pure arithmetic. ``benchmarks/scaling.py`` measures the costs and checks the model against a load it was not fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CORE: Final = 0.7
"""How much of a core (0 to 1) a process is planned to use: the rest is for bursts, handshakes and neighbours."""

PING_S: Final = 30.0
"""A viewer gets a keepalive and a ping this often, and answers one of them."""

MOST_PROCESSES: Final = 10_000


@dataclass(frozen=True)
class Costs:
    """CPU time in microseconds, memory in KiB, of one server process and one Redis.

    ``send_us`` is for a frame to one viewer, ``update_us`` for an update from Redis, however many watch it;
    ``connect_us`` for a viewer that comes. ``publish_us`` is Redis's time for storing and pushing an update,
    ``push_us`` for each server process that has subscribed to its job.
    """

    send_us: float
    update_us: float
    connect_us: float
    viewer_kib: float
    base_mib: float
    publish_us: float
    push_us: float
    frame_bytes: float = 260.0


def fit(*, shared_us: float, alone_us: float, viewers: int) -> tuple[float, float]:
    """Split the cost of a delivery in two: (per frame, per update).

    ``shared_us`` is the cost of a delivery where ``viewers`` watch one job, ``alone_us`` where each job has one viewer:
    shared = send + update / viewers, alone = send + update.
    """
    update_us = (alone_us - shared_us) / (1 - 1 / viewers)
    return alone_us - update_us, update_us


@dataclass(frozen=True)
class Demand:
    """Who watches what. ``updates_per_s`` is that of a job; a viewer gets no more than ``most_per_s`` of them."""

    viewers: int
    jobs: int
    updates_per_s: float
    most_per_s: float = math.inf

    @property
    def frames_per_s(self) -> float:
        """Frames to all viewers together."""
        return self.viewers * min(self.updates_per_s, self.most_per_s)


@dataclass(frozen=True)
class Need:
    """What a demand takes. Shares of a core are 0 to 1, and above 1 where one is not enough."""

    processes: int
    core: float
    viewers_each: int
    memory_mib: float
    redis_core: float
    redis_shards: int
    megabit_per_s: float
    reconnect_s: float


def core_of(costs: Costs, demand: Demand, processes: int = 1) -> float:
    """Return the share of its core that each of ``processes`` uses when viewers are spread evenly at random.

    A process gets every update of every job that one of its viewers watches. Of a job's ``w`` viewers, it has none
    with the probability (1 - 1/processes) ** w.
    """
    watched = min(demand.viewers / demand.jobs, demand.viewers)
    subscribed = demand.jobs * (1 - (1 - 1 / processes) ** watched) if processes > 1 else demand.jobs
    frames_per_s = demand.frames_per_s / processes
    pings_per_s = 2 * demand.viewers / processes / PING_S
    used_us = (frames_per_s + pings_per_s) * costs.send_us + subscribed * demand.updates_per_s * costs.update_us
    return used_us / 1e6


def need(costs: Costs, demand: Demand) -> Need:
    """Return the least number of processes that stay below ``CORE``, and all that follows.

    Raises:
        ValueError: no number does, because every process would get more updates than it can read.
    """
    low, high = 0, 1
    while core_of(costs, demand, high) > CORE:
        low, high = high, high * 2
        if high > MOST_PROCESSES:
            raise ValueError(
                f"{demand.updates_per_s * demand.jobs:.0f} updates a second are too many for every process to read"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if core_of(costs, demand, middle) > CORE else (low, middle)
    processes = high
    watched = demand.viewers / demand.jobs
    readers = processes * (1 - (1 - 1 / processes) ** watched) if processes > 1 else 1
    redis_us = demand.jobs * demand.updates_per_s * (costs.publish_us + readers * costs.push_us)
    each = math.ceil(demand.viewers / processes)
    return Need(
        processes=processes,
        core=core_of(costs, demand, processes),
        viewers_each=each,
        memory_mib=costs.base_mib + each * costs.viewer_kib / 1024,
        redis_core=redis_us / 1e6,
        redis_shards=max(1, math.ceil(redis_us / 1e6 / CORE)),
        megabit_per_s=demand.frames_per_s * costs.frame_bytes * 8 / 1e6,
        reconnect_s=each * costs.connect_us / 1e6,
    )
