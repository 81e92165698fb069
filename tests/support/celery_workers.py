"""Real Celery workers on a real Redis, one for each kind of pool."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.processes import end

START_S = 60.0
ROOT = Path(__file__).parents[2]


@contextmanager
def workers(app: str, pools: dict[str, int], *, folder: Path, environment: dict[str, str]) -> Iterator[dict[str, Path]]:
    """Run a worker for each pool, with so many processes, threads or greenlets, on a queue of the same name.

    Yields where each logs. All have stopped at the end of the block.
    """
    logs = {pool: folder / f"{pool}.log" for pool in pools}
    with ExitStack() as running:
        processes = [
            running.enter_context(_worker(app, pool, size, log=logs[pool], environment=environment))
            for pool, size in pools.items()
        ]
        for process, log in zip(processes, logs.values(), strict=True):
            _wait_until_ready(process, log)
        yield logs
        for process in processes:  # all at once: each takes its time
            process.terminate()


@contextmanager
def _worker(
    app: str, pool: str, size: int, *, log: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "-A", app, "worker", f"--pool={pool}", f"--concurrency={size}"]
    command += ["-Q", pool, "-n", f"{pool}@tests", "-l", "INFO"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        end(process, within_s=20)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while b" ready." not in log.read_bytes():
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline_s, f"the worker did not start: {log.read_text(errors='replace')}"
        time.sleep(0.05)
