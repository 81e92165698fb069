"""Whether a job can feel what its store is like: each call of ``update`` timed by itself, in the face of each fault."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from benchmarks.figures import table
from benchmarks.servers import redis_binary, redis_server
from benchmarks.worker import with_project

REFUSED: Final = "redis://127.0.0.1:1/0"


_HEAD: Final = [
    *("store", "Job() ms", "p50 us", "p99 us", "max us", "own max us", "preempted"),
    *("control max us", "control own max us"),
]


class Felt(NamedTuple):
    """How long ``Job()`` took, in milliseconds, and calls of ``update``, in microseconds, with some store.

    ``own_max_us`` is the most that this process computed within a call: the call itself, and other threads, which may
    have had the GIL. What else is in ``max_us`` is the machine's doing: a thread was ready to run and did not.
    """

    store: str
    job_ms: float
    p50_us: float
    p99_us: float
    max_us: float
    own_max_us: float
    preempted: int
    control_max_us: float
    control_own_max_us: float


_TIMED: Final = """
import array, json, logging, os, resource, sys, time
from jupyter_jobprogress import Job
logging.disable()
calls = int(sys.argv[1])

def timed(call):
    clock, cpu_clock = time.perf_counter_ns, time.process_time_ns
    walls, cpus = array.array("q", bytes(8 * calls)), array.array("q", bytes(8 * calls))
    for index in range(calls):
        cpu = cpu_clock()
        begun = clock()
        call()
        walls[index] = clock() - begun
        cpus[index] = cpu_clock() - cpu
    own = max(map(min, walls, cpus))
    walls = sorted(walls)
    return walls[calls // 2], walls[calls * 99 // 100], walls[-1], own

control = timed(lambda: None)
begun = time.perf_counter()
job = Job("felt", total=calls, display=False)
job_ns = (time.perf_counter() - begun) * 1e9
before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
found = timed(job.update)
preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
print(json.dumps([job_ns / 1e6, *(ns / 1e3 for ns in found), preempted, *(ns / 1e3 for ns in control[2:])]), flush=True)
os._exit(0)  # not held up by its last word
"""


@contextmanager
def _stopped(client: Any) -> Iterator[None]:
    pid = int(client.info()["process_id"])
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@contextmanager
def _without_memory(client: Any) -> Iterator[None]:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    yield


@contextmanager
def _with_a_password(client: Any) -> Iterator[None]:
    client.config_set("requirepass", "which the job does not have")
    yield


@contextmanager
def _read_only(client: Any) -> Iterator[None]:
    client.replicaof("127.0.0.1", 1)
    yield


_REDIS: Final = {
    "up": nullcontext,
    "stopped": _stopped,
    "wrong password": _with_a_password,
    "out of memory": _without_memory,
    "read-only": _read_only,
}


def felt(*, calls: int) -> list[Felt]:
    """Time every call in each state of the store. Without a Redis to be started only those that need none."""
    found = [_felt("refused", REFUSED, calls), _felt("unresolvable", "redis://no-such-host.invalid/0", calls)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found.append(_felt("silent", f"redis://127.0.0.1:{listener.getsockname()[1]}/0", calls))
    if redis_binary() is not None:
        for name, context in _REDIS.items():
            with (
                tempfile.TemporaryDirectory() as folder,
                redis_server(Path(folder)) as url,
                redis.Redis.from_url(url) as client,
                context(client),
            ):
                found.append(_felt(name, url, calls))
    return found


def felt_text(found: list[Felt]) -> str:
    """Return what is printed."""
    rows = [
        [
            *(one.store, f"{one.job_ms:.0f}", f"{one.p50_us:.2f}", f"{one.p99_us:.2f}"),
            *(f"{one.max_us:.0f}", f"{one.own_max_us:.0f}", str(one.preempted)),
            *(f"{one.control_max_us:.0f}", f"{one.control_own_max_us:.0f}"),
        ]
        for one in found
    ]
    return "\n".join(
        [
            "Each call of job.update() timed by itself; the control is an empty function, before there is a job.",
            "Own max: the most that this process, all its threads, computed within a call. Preempted: how often the",
            "kernel took the core from one of its threads, which is what max has over own max.",
            "Job() is the first of its process, with all imports.",
            "",
            table(_HEAD, rows),
        ]
    )


def _felt(name: str, url: str, calls: int) -> Felt:
    environment = with_project(os.environ) | {"JOBPROGRESS_URL": url}
    command = [sys.executable, "-c", _TIMED, str(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Felt(name, *json.loads(done.stdout))
