"""The rows of the fan-out benchmark: what is done to a server, which figures come of it, and what should hold.

Each row is one function from a ``Stand`` to ``Figures``. See README.md for the method.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.cores import memory_kib
from benchmarks.load import READY_S, Load, deliver
from benchmarks.servers import listens
from benchmarks.stand import LOAD, Figures, Impossible, Stand, window, wrong

FIGURES: Final = {
    "cpu_us": "CPU us a delivery",
    "viewer_us": "CPU us a viewer",
    "delivered_per_s": "deliveries/s",
    "p50_ms": "delay p50, ms",
    "p99_ms": "delay p99, ms",
    "stale_p99_ms": "staleness p99, ms",
    "end_ms": "last viewer has the end, ms",
    "lost": "lost",
    "wrong": "wrong frames",
    "core": "core, %",
    "generator": "load generator, % of the other core",
    "growth_mib": "memory growth, MiB",
    "per_s": "updates/s",
    "sustained_per_s": "deliveries/s",
    "kib": "KiB a viewer",
    "base_mib": "without viewers, MiB",
    "seconds": "seconds",
    "reads": "reads of the store",
    "failed": "refused or closed",
    "disturbance": "p99 : undisturbed",
    "probe_p99_ms": "ping to pong p99, ms",
    "errors": "errors in its log",
    "without_end": "viewers without the end",
    "subscriptions": "subscribed connections",
}
"""Name of a figure: what the table calls it."""


@dataclass(frozen=True)
class Goal:
    """``figure`` is at most (``most``) or at least a limit: as it is, or in units of what a base reached."""

    figure: str
    limit: float
    base: Literal["", "original", "c"] = ""
    most: bool = True


@dataclass(frozen=True)
class Row:
    """``products_only``: nothing but the product has what is measured. ``only_asked``: too long to be in every run."""

    title: str
    measure: Callable[[Stand], Figures]
    goals: tuple[Goal, ...]
    products_only: bool = False
    only_asked: bool = False


_DELIVERY: Final = ("cpu_us", "delivered_per_s", "p50_ms", "p99_ms", "end_ms", "lost", "core")


def fanout(stand: Stand) -> Figures:
    return deliver(stand, Load(viewers=1000, rate_per_s=50, seconds=3)).only(*_DELIVERY)


PAUSE_US: Final = 2000
"""Where millions of frames are read, so that the load's core is not what is measured. It is in these rows' delays."""


def hot(stand: Stand) -> Figures:
    return deliver(stand, Load(viewers=1000, rate_per_s=1000, seconds=2, pause_us=PAUSE_US)).only(
        *_DELIVERY, "growth_mib", "generator"
    )


def page(stand: Stand) -> Figures:
    found = deliver(stand, Load(viewers=1000, rate_per_s=1000, seconds=3, interval_ms=50))
    return found.only("delivered_per_s", "p50_ms", "p99_ms", "stale_p99_ms", "end_ms", "core")


def jobs(stand: Stand) -> Figures:
    return deliver(stand, Load(viewers=1000, jobs=1000, rate_per_s=10, seconds=3)).only(*_DELIVERY)


def one(stand: Stand) -> Figures:
    return deliver(stand, Load(viewers=1, rate_per_s=100, seconds=4)).only("cpu_us", "p50_ms", "p99_ms", "lost")


LADDER_MS: Final = 100.0
"""Most that the slowest hundredth of the updates may take on a step that counts."""


def _climb(stand: Stand, viewers: int, steps: Sequence[int], *, pause_us: int = 0) -> Figures:
    """Raise the rate until updates are lost or take too long; the step that fails has a second chance.

    A viewer that gets the newest state instead of all is served well, but not with all: that does not count.
    """
    failures, reached = 0, Figures({"per_s": 0.0, "wrong": 0.0, "failed": 0.0}, "itself")
    waiting = list(steps if stand.scale == 1 else steps[::2])
    while waiting:
        rate = waiting[0]
        found = deliver(
            stand, Load(viewers=viewers, rate_per_s=rate, seconds=1, job=f"step-{rate}-{failures}", pause_us=pause_us)
        )
        if not found.values["lost"] and found.values["p99_ms"] < LADDER_MS:
            reached, _ = found, waiting.pop(0)
            reached.values["per_s"] = float(rate)
            continue
        failures += 1
        if failures == 2:
            what = f"at {rate}/s: p99 {found.values['p99_ms']:.0f} ms, {found.values['lost']:.0f} lost"
            return dataclasses.replace(reached, limit=found.limit, notes=[what])
    return dataclasses.replace(reached, limit=LOAD)


def most(stand: Stand) -> Figures:
    steps = (1000, 2000, 4000, 8000, 12000, 16000, 24000, 32000, 48000, 64000, 96000, 128000, 192000, 256000)
    return _climb(stand, 1, steps).only("per_s")


def ladder(stand: Stand) -> Figures:
    steps = (15, 20, 25, 30, 40, 50, 65, 80, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000)
    found = _climb(stand, 1000, steps, pause_us=PAUSE_US).only("per_s")
    return dataclasses.replace(found, values={"sustained_per_s": found.values["per_s"] * 1000})


def memory(stand: Stand) -> Figures:
    viewers = 5000
    before = memory_kib(stand.target.pid)
    with stand.viewers(viewers=viewers, burst=200) as generator:
        opened = generator.ready(READY_S)
        stand.await_subscriptions()
        time.sleep(0.5)  # what was needed to open is freed when the loop has turned
        after = memory_kib(stand.target.pid)
    if before is None or after is None:
        raise Impossible("this system does not tell the memory of a process")
    values = {
        "kib": (after - before) / max(opened.ready, 1),
        "base_mib": before / 1024,
        "seconds": opened.elapsed_s,
        "failed": float(opened.failed + opened.closed),
    }
    return Figures(values, "its memory", None, wrong(opened))


def _reads(stand: Stand) -> int:
    with stand.client() as client:
        calls = client.info("commandstats")
    return sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("get", "mget"))


def connect(stand: Stand) -> Figures:
    """All at once; a viewer holds its state when it has it. Where none is sent, being connected must do."""
    stand.publish_first()
    reads = _reads(stand)
    has_state = stand.peer.has_state or "connect" in stand.peer.starts
    with window(stand) as found, stand.viewers(viewers=1000, hold_state=has_state) as generator:
        opened = generator.ready(READY_S)
    values = {
        "seconds": opened.elapsed_s,
        "reads": float(_reads(stand) - reads),
        "viewer_us": found.server_s * 1e6 / max(opened.ready, 1),
        "failed": float(opened.failed + opened.closed),
    }
    notes = [] if has_state else ["it sends no present state: connected counts as held"]
    limit = "its core" if found.server_s > 0.8 * opened.elapsed_s else "handshakes that wait to be accepted"
    return Figures(values, limit, found.neighbours, [*wrong(opened), *notes])


def stalled(stand: Stand) -> Figures:
    """One viewer of ten stops reading. 5 MB go to it: loopback holds three, and then it holds up a server."""
    whole = dataclasses.replace(stand, scale=1.0)  # what fits into the buffers tests nothing
    load = Load(viewers=10, rate_per_s=1500, seconds=3.4, length_bytes=1000, job="calm")
    calm = deliver(whole, load)
    found = deliver(whole, dataclasses.replace(load, job="stalled", stall=1))
    found.values["disturbance"] = found.values["p99_ms"] / max(calm.values["p99_ms"], 1e-9)
    return found.only("p99_ms", "disturbance", "without_end", "lost", "growth_mib")


def restart(stand: Stand) -> Figures:
    """Kill the server under 2,000 viewers and start it again: they come back with full-jitter backoff."""
    if not stand.peer.restarts:
        raise Impossible("its restart is not prepared here")
    stand.publish_first()
    viewers = 2000

    with stand.viewers(viewers=viewers, reconnect=1, probe_ms=50) as generator:
        generator.ready(READY_S)
        generator.go()
        os.kill(stand.target.pid, signal.SIGKILL)
        while listens(stand.target.port):  # or the one that dies would be taken for the one that comes
            time.sleep(0.005)
        # The limit is on what follows, so that a server that takes long to start does not look like one that is slow.
        with stand.peer.start(stand.folder, stand.redis_url, core=stand.cores.server, again=stand.target) as target:
            again = dataclasses.replace(stand, target=target)
            started_s = time.monotonic()
            with window(again) as found:
                while (seen := generator.state()).ready < viewers + 1:
                    if time.monotonic() - started_s > READY_S:
                        break
                    time.sleep(0.05)
                seconds = time.monotonic() - started_s
                time.sleep(0.2)
            seen = generator.state()
    log = "".join(file.read_text(errors="replace") for file in stand.folder.glob("*.log"))
    values = {
        "seconds": seconds,
        "probe_p99_ms": seen.probe.p99_ms if seen.probe.count else math.nan,
        "viewer_us": found.server_s * 1e6 / viewers,
        "errors": float(len(re.findall(r"Traceback|\bERROR\b|^\[E ", log, re.MULTILINE))),
        "wrong": float(seen.wrong),
    }
    notes = [] if seen.ready > viewers else [f"{viewers + 1 - seen.ready} viewers did not come back: {seen.refusal}"]
    return Figures(values, found.limit(complete=True) if not notes else "itself", found.neighbours, notes)


def many(stand: Stand) -> Figures:
    """150 jobs: redis-py's pool ends at 100 connections."""
    with stand.viewers(viewers=150, jobs=150, job="many", lossless=1) as generator:
        opened = generator.ready(READY_S)
        notes = wrong(opened)
        try:
            stand.await_subscriptions(150, "many")
        except Impossible as exc:
            notes.append(str(exc))
        generator.go()
        with stand.client() as client:
            subscribed = sum(int(one["sub"]) + int(one["psub"]) > 0 for one in client.client_list())
        with window(stand) as found:
            stand.publish(job="many", jobs=150, rate=10, count=10)
            seen = generator.finish(3)
    values = {
        "without_end": float(seen.without_end),
        "subscriptions": float(subscribed),
        "lost": float(11 * 150 - seen.delivered),
        "wrong": float(seen.wrong),
        "failed": float(opened.failed + opened.closed + seen.closed),
    }
    return Figures(values, found.limit(complete=seen.ends == 150), found.neighbours, [*notes, *wrong(seen)])


ROWS: Final = {
    "fanout": Row("1,000 viewers x 50 updates/s", fanout, (Goal("cpu_us", 0.35, "original"), Goal("cpu_us", 1.7, "c"))),
    "hot": Row(
        "1,000 updates/s to 1,000 viewers",
        hot,
        (
            Goal("lost", 0),
            Goal("delivered_per_s", 18, "original", most=False),
            Goal("delivered_per_s", 2.5, "c", most=False),
            Goal("p99_ms", 60),
            Goal("end_ms", 50),
            Goal("growth_mib", 4),
            Goal("core", 70),
        ),
    ),
    "page": Row("the same on ws/jobs at 50 ms", page, (Goal("stale_p99_ms", 70), Goal("core", 35)), products_only=True),
    "jobs": Row(
        "1,000 jobs x 1 viewer x 10 updates/s",
        jobs,
        (Goal("cpu_us", 0.45, "original"), Goal("lost", 0)),
    ),
    "one": Row(
        "one job, one viewer, 100 updates/s",
        one,
        (Goal("p50_ms", 0.8, "original"), Goal("p50_ms", 2, "c"), Goal("p99_ms", 1)),
    ),
    "most": Row("one viewer, most updates/s", most, (Goal("per_s", 2, "original", most=False),)),
    "ladder": Row(
        "1,000 viewers, most deliveries/s",
        ladder,
        (Goal("sustained_per_s", 18, "original", most=False), Goal("sustained_per_s", 2.5, "c", most=False)),
        only_asked=True,
    ),
    "memory": Row("5,000 idle viewers", memory, (Goal("kib", 10),)),
    "connect": Row(
        "1,000 viewers connect at once",
        connect,
        (Goal("seconds", 0.2, "original"), Goal("reads", 2), Goal("failed", 0)),
    ),
    "stalled": Row(
        "one viewer of ten stops reading",
        stalled,
        (Goal("lost", 0), Goal("without_end", 0), Goal("disturbance", 2), Goal("growth_mib", 1)),
    ),
    "restart": Row(
        "2,000 viewers return after a restart",
        restart,
        (Goal("seconds", 30), Goal("probe_p99_ms", 250), Goal("errors", 0)),
    ),
    "many": Row("150 jobs at once", many, (Goal("without_end", 0), Goal("failed", 0), Goal("subscriptions", 1))),
}
"""In the order of the table. The names are those of ``--rows``."""
