"""Updates at a steady pace to viewers that are there, and everything that can be read off meanwhile."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.generator import Seen
from benchmarks.stand import Figures, Stand, Window, window, wrong

READY_S: Final = 60.0
"""Longest wait for viewers to connect."""

CUT_S: Final = 8.0
"""How long a server may take after the last update before the rest of its backlog is computed from its rate."""

KEPT_UP_MS: Final = 100.0
"""A server that has told the last viewer of the end within this time had no backlog: it could do more."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """``rate_per_s`` is that of each job. With ``interval_ms`` the viewers watch by ``ws/jobs``, and may miss updates.

    ``stall``: this many of the viewers stop reading, and are in no figure. ``pause_us``: rest of the load generator
    between two rounds of reading, which is in the delays.
    """

    viewers: int
    rate_per_s: float
    seconds: float
    jobs: int = 1
    job: str = "hot"
    stall: int = 0
    length_bytes: int = 254
    interval_ms: float | None = None
    pause_us: int = 0


def deliver(stand: Stand, load: Load) -> Figures:
    """Measure a load. Raises what ``Generator`` and ``Stand.await_subscriptions`` raise."""
    count = max(round(load.rate_per_s * load.seconds * stand.scale), 1)
    plan: dict[str, Any] = {"job": load.job, "jobs": load.jobs}
    options: dict[str, Any] = {
        "stall": load.stall,
        "pause_us": load.pause_us,
        "lossless": int(load.interval_ms is None),
        **plan,
    }
    # Ready is who has the state: one who was greeted may not be subscribed yet, where many come at once.
    stand.publish_first(**plan)
    holding = {"interval_ms": load.interval_ms, "hold_state": stand.peer.has_state}
    with stand.viewers(viewers=load.viewers, **holding, **options) as generator:
        opened = generator.ready(READY_S)
        stand.await_subscriptions(load.jobs, load.job)
        generator.go()
        with window(stand) as found:
            stand.publish(rate=load.rate_per_s, count=count, warm_up=3, bytes=load.length_bytes, **plan)
            published_s = time.monotonic()
            seen = generator.finish(CUT_S if stand.scale == 1 else CUT_S / 2)
            waited_s = time.monotonic() - published_s
    notes = [*(wrong(opened) if opened.failed else []), *wrong(seen)]
    expected = (count + 1) * (load.viewers - load.stall)
    values = _values(seen, found)
    values["generator"] = (seen.cpu_s - opened.cpu_s) / found.seconds * 100
    values["offered"], values["delivered"] = float(expected), float(seen.delivered)
    values["lost"] = float(expected - seen.delivered)
    values["failed"] = float(opened.failed + seen.closed)
    if seen.without_end:
        values["end_ms"] = float("inf")
        notes.append(f"cut {waited_s:.1f} s after the last update, {seen.without_end} viewers without the end")
        # A server that stands still while its core is free does not work off a backlog.
        if found.core > 0.5 and values["delivered_per_s"]:
            values["end_ms"] = (waited_s + values["lost"] / values["delivered_per_s"]) * 1000
            notes[-1] += "; its time is computed from the rate"
    return Figures(values, found.limit(complete=values["end_ms"] <= KEPT_UP_MS), found.neighbours, notes)


def _values(seen: Seen, found: Window) -> dict[str, float]:
    lasted_s = (seen.last_ns - seen.first_ns) / 1e9
    values = {
        "cpu_us": found.server_s * 1e6 / max(seen.frames, 1),
        "delivered_per_s": seen.delivered / lasted_s if lasted_s > 0 else 0.0,
        "p50_ms": seen.delay.p50_ms,
        "p99_ms": seen.delay.p99_ms,
        "stale_p99_ms": seen.stale.p99_ms,
        "end_ms": seen.end.max_ms,
        "without_end": float(seen.without_end),
        "wrong": float(seen.wrong),
        "core": found.core * 100,
        "growth_mib": found.growth_mib,
    }
    # The generator's -1: nothing arrived that could have a delay.
    return {name: math.nan if value == -1 else value for name, value in values.items()}
