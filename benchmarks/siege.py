"""What healthy viewers and the machine feel of those who mean no good: ``python -m benchmarks hostile``.

The same viewers twice, alone and beside the crowd of ``hostile.py``, on one server with the limits that a user has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

import msgspec

from benchmarks import native, servers
from benchmarks.cores import choose_cores, pinned
from benchmarks.figures import table
from benchmarks.generator import Generator, Publishing, Seen
from benchmarks.hostile import SIZE, Attacked, Ending
from benchmarks.load import READY_S
from benchmarks.peers import PEERS
from benchmarks.report import QUIET
from benchmarks.servers import Target
from benchmarks.stand import Stand, Window, window, wrong
from benchmarks.worker import ROOT

HEALTHY: Final = 50
RATE_PER_S: Final = 100
PROBE_MS: Final = 100
"""One viewer more pings this often, within the limit of messages. Its pong waits for the loop, as everything does."""

HOURS: Final = 1_000_000
"""Updates for longer than this takes; the publishers are ended before."""

HEAVY: Final[dict[str, str | int | float]] = {"job": "heavy", "rate": 50, "bytes": 60_000, "end": 0}
"""Three megabytes a second: loopback holds as much for one who does not read, and then it holds up a server."""

LEAVING_S: Final = 20.0
"""Longest wait until what attackers have taken is free again."""

GOALS: Final = {
    "p99 : alone": 2.0,
    "ping to pong p99, ms": 50.0,
    "memory growth, MiB": 10.0,
    "log lines : connections": 1.0,
}
"""At most."""

TIMED: Final = {"p99 : alone", "ping to pong p99, ms"}
"""Those that neighbours of the server miss for it."""


class SiegeError(Exception):
    """The attackers failed, and not the server. Says what they printed."""


@dataclass
class Siege:
    """``left`` is what the server held before and after."""

    server: str
    figures: dict[str, float]
    endings: dict[str, list[Ending]]
    left: dict[str, tuple[int, int]]
    notes: list[str] = field(default_factory=list)

    @property
    def missed(self) -> list[str]:
        """What is not as it should be; goals of time only where the machine was quiet."""
        missed = [name for name, most in GOALS.items() if not self.figures[name] <= most]
        if self.disturbed:
            missed = [name for name in missed if name not in TIMED]
        missed += [name for name, (before, after) in self.left.items() if after > before]
        return [*missed, *self.notes]

    @property
    def disturbed(self) -> bool:
        return self.figures["neighbours, %"] > QUIET * 100

    @property
    def verdict(self) -> str:
        said = f"missed: {'; '.join(self.missed)}" if self.missed else "all kept"
        if not self.disturbed:
            return said
        taken = self.figures["neighbours, %"]
        return f"{said}. Not judged, since neighbours took {taken:.0f} % of its core: {', '.join(sorted(TIMED))}"


class Besieging:
    """Measures one server."""

    def __init__(self, peer: str, *, seconds: float, progress: Callable[[str], None]) -> None:
        self._peer, self._seconds, self._progress = peer, seconds, progress
        self.cores = choose_cores()

    def measure(self) -> Siege:
        """Raises what the servers and the generator raise, and SiegeError."""
        native.raise_open_files()
        start = servers.standalone if self._peer == "standalone" else servers.product
        with ExitStack() as stack:
            stack.enter_context(pinned(self.cores.others))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            url = stack.enter_context(servers.redis_server(folder))
            target = stack.enter_context(start(folder, url, core=self.cores.server, settings={}))
            stand = Stand(PEERS[self._peer], target, url, self.cores, folder, 1.0)
            stand.publish_first()
            with (
                stand.viewers(viewers=HEALTHY, hold_state=True, lossless=1, probe_ms=PROBE_MS) as healthy,
                Publishing(stand.publishing(job="hot", rate=RATE_PER_S, count=HOURS, end=0)),
                Publishing(stand.publishing(count=HOURS, **HEAVY)),
            ):
                healthy.ready(READY_S)
                return self._besiege(stand, healthy)

    def _besiege(self, stand: Stand, healthy: Generator) -> Siege:
        self._progress(f"{self._peer}: {HEALTHY} viewers alone")
        alone, _ = _watch(stand, healthy, lambda: time.sleep(self._seconds))
        _fill_pool(stand.target)
        before, lines = held(stand), _lines(stand.folder)
        attacked: list[Attacked] = []
        self._progress(f"{self._peer}: beside {SIZE} attackers")
        beside, found = _watch(stand, healthy, lambda: attacked.append(self._attack(stand.target)))
        self._progress(f"{self._peer}: afterwards")
        after = _settled(stand, before)
        (attack,) = attacked
        lines = _lines(stand.folder) - lines
        figures = {
            "p99 alone, ms": alone.delay.p99_ms,
            "p99 beside them, ms": beside.delay.p99_ms,
            "p99 : alone": beside.delay.p99_ms / alone.delay.p99_ms,
            "ping to pong p99 alone, ms": alone.probe.p99_ms,
            "ping to pong p99, ms": beside.probe.p99_ms,
            "memory growth, MiB": found.growth_mib,
            "core, %": found.core * 100,
            "neighbours, %": (found.neighbours or 0.0) * 100,
            "connections of attackers": float(attack.connections),
            "log lines": float(lines),
            "log lines : connections": lines / attack.connections,
        }
        left = {name: (before[name], after[name]) for name in before}
        return Siege(self._peer, figures, attack.endings, left, [*wrong(alone), *wrong(beside)])

    def _attack(self, target: Target) -> Attacked:
        headers = "".join(f"{name}: {value}\\r\\n" for name, value in target.headers.items())
        command = [
            sys.executable,
            "-m",
            "benchmarks.hostile",
            f"--port={target.port}",
            f"--path={target.prefix}/ws/jobs",
        ]
        command += [f"--seconds={self._seconds}", "--heavy=heavy", "--headers=-"]
        done = subprocess.run(
            command,
            cwd=ROOT,
            input=headers + "\n",
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_behind_all_others,  # as it starts, too, which takes as long as a hundred updates
        )
        if done.returncode != 0:
            raise SiegeError(f"the attackers failed: {done.stderr[-2000:]}")
        return msgspec.json.decode(done.stdout, type=Attacked)


def _behind_all_others() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _watch(stand: Stand, healthy: Generator, meanwhile: Callable[[], object]) -> tuple[Seen, Window]:
    """Return what the healthy viewers see while something happens, and what it takes."""
    healthy.go()
    with window(stand) as found:
        meanwhile()
    return healthy.state(), found


def _fill_pool(target: Target) -> None:
    """Let the server open all of its few connections for commands, which it keeps."""
    request = Request(f"http://127.0.0.1:{target.port}{target.prefix}/api/jobs/hot", headers=target.headers)
    with ThreadPoolExecutor(8) as threads:
        for answer in threads.map(lambda _: urlopen(request, timeout=30), range(200)):
            answer.close()


def held(stand: Stand) -> dict[str, int]:
    """Return what a server holds now: descriptors, threads, connections to Redis, channels."""
    process = Path(f"/proc/{stand.target.pid}")
    with stand.client() as client:
        mine = client.client_id()
        connections = [one for one in client.client_list() if int(one["id"]) != mine]
        return {
            "file descriptors": len(list((process / "fd").iterdir())),
            "threads": len(list((process / "task").iterdir())),
            "connections to Redis": len(connections),
            "channels": len(client.pubsub_channels()),
        }


def _settled(stand: Stand, before: dict[str, int]) -> dict[str, int]:
    deadline_s = time.monotonic() + LEAVING_S
    while any((after := held(stand))[name] > before[name] for name in before) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    return after


def _lines(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.log") if file.name != "redis.log")


def siege_text(sieges: list[Siege]) -> str:
    """Return the tables of a run."""
    names = list(sieges[0].figures)
    head = ["", *(siege.server for siege in sieges), "at most"]
    figures = [
        [name, *(f"{siege.figures[name]:.2f}" for siege in sieges), f"{GOALS[name]:g}" if name in GOALS else ""]
        for name in names
    ]
    held_before = [
        [f"{name}, before and after", *(" ".join(map(str, siege.left[name])) for siege in sieges), "the same"]
        for name in sieges[0].left
    ]
    ended = [
        [kind.replace("_", " "), *(_endings(siege.endings[kind]) for siege in sieges), ""] for kind in sieges[0].endings
    ]
    notes = [f"note: {siege.server}: {note}" for siege in sieges for note in siege.notes]
    verdicts = [f"{siege.server}: {siege.verdict}" for siege in sieges]
    return "\n".join([table(head, [*figures, *held_before, *ended]), "", *notes, *verdicts])


def _endings(endings: list[Ending]) -> str:
    words = {-1: "open", 0: "cut"}
    return ", ".join(f"{words.get(code, code)} x {count}" for code, count in sorted(Counter(endings).items()))
