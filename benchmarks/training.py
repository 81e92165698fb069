"""A real training run in PyTorch with and without reporting, in turns: what it adds to the wall time."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks.servers import redis_binary, redis_server, standalone, standalone_binary
from benchmarks.worker import ROOT, with_project

GOAL: Final = 0.01
"""Most that reporting may add to the wall time."""

STORES: Final = ("redis", "standalone")


class Pair(NamedTuple):
    """Two runs, one after the other: wall and CPU time in seconds, and what the store counted of the one."""

    plain_s: float
    reported_s: float
    plain_cpu_s: float
    reported_cpu_s: float
    counted: int


def missing(store: str) -> str | None:
    """Say what is not installed, or None."""
    for module, package in (("sklearn", "scikit-learn"), ("torch", "torch")):
        if find_spec(module) is None:
            return f"{module} is not installed: pip install {package} (a CPU build is enough)"
    if store == "redis" and redis_binary() is None:
        return "redis-server (or valkey-server) is not on PATH: apt install redis-server"
    if store == "standalone" and standalone_binary() is None:
        return "the command jupyter-jobprogress is not installed: pip install -e ."
    return None


def measure(*, store: str, pairs: int, epochs: int, in_workers: bool) -> list[Pair]:
    """Train in turns beside a store in another process. Every other pair goes backwards."""
    command = [sys.executable, "-m", "benchmarks.training_run", f"--pairs={pairs}", f"--epochs={epochs}"]
    command += ["--in-workers"] if in_workers else []
    with tempfile.TemporaryDirectory() as folder, _store(store, Path(folder)) as variables:
        environment = with_project(os.environ) | variables
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    found = []
    for number in range(pairs):
        of_pair = {run["reports"]: run for run in runs if run["pair"] == number}
        plain, reported = of_pair[False], of_pair[True]
        found.append(Pair(plain["wall_s"], reported["wall_s"], plain["cpu_s"], reported["cpu_s"], reported["counted"]))
    return found


@contextmanager
def _store(store: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run a store, and yield the environment that leads to it. A standalone server has its own, embedded one."""
    if store == "redis":
        with redis_server(folder) as url:
            yield {"JOBPROGRESS_URL": url}
    else:
        with standalone(folder, "", core=None) as server:
            token = server.headers["Authorization"].removeprefix("token ")
            yield {"JOBPROGRESS_URL": f"http://127.0.0.1:{server.port}/", "JOBPROGRESS_TOKEN": token}


def training_text(pairs: list[Pair]) -> str:
    """Return what is printed."""
    wall = [pair.reported_s / pair.plain_s - 1 for pair in pairs]
    cpu = [pair.reported_cpu_s / pair.plain_cpu_s - 1 for pair in pairs]
    lines = [
        f"pair {number}: {pair.plain_s:.3f} s, {pair.reported_s:.3f} s; "
        f"CPU {pair.plain_cpu_s:.3f} s, {pair.reported_cpu_s:.3f} s"
        for number, pair in enumerate(pairs, 1)
    ]
    plain_s, reported_s = median(pair.plain_s for pair in pairs), median(pair.reported_s for pair in pairs)
    return "\n".join(
        [
            *lines,
            f"counted: {', '.join(map(str, sorted({pair.counted for pair in pairs})))}, as it should be",
            f"median: {plain_s:.3f} s without reporting, {reported_s:.3f} s with",
            f"wall time, median of the pairs: {_spread(wall)}",
            f"CPU time, median of the pairs: {_spread(cpu)}",
            f"goal: at most {GOAL:+.0%} of wall time: {_verdict(wall)}",
        ]
    )


def certain(ratios: list[float]) -> tuple[float, float]:
    """Return between what the true median lies with a confidence of 95 %, whatever the ratios are spread like.

    By order statistics: how many of n lie below their true median is binomial (n, 1/2), here taken as normal.
    """
    ordered, n = sorted(ratios), len(ratios)
    reach = 0.98 * math.sqrt(n)
    lower, upper = math.floor(n / 2 - reach), math.ceil(n / 2 + reach)
    return ordered[max(lower - 1, 0)], ordered[min(upper, n - 1)]


def _verdict(ratios: list[float]) -> str:
    lower, upper = certain(ratios)
    verdict = "met" if median(ratios) <= GOAL else "missed"
    if lower <= GOAL < upper:
        verdict += ", but so few pairs cannot tell: the true median may lie on the other side"
    return verdict


def _spread(ratios: list[float]) -> str:
    if len(ratios) < 2:
        return f"{median(ratios):+.2%}"
    first, _, third = quantiles(ratios, n=4, method="inclusive")
    lower, upper = certain(ratios)
    return (
        f"{median(ratios):+.2%} (95 % certain: {lower:+.2%} to {upper:+.2%}; half of them {first:+.1%} to {third:+.1%})"
    )
