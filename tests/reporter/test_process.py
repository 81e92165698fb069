"""What survives the end of a process, and what a fork or a spawn inherits. Real processes throughout."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.redis_server import RedisServer

REPOSITORY = Path(__file__).parents[2]
BEGIN = """
import os, sys, time, threading
from jupyter_jobprogress import Job, Settings, track
settings = Settings(database=os.environ["TEST_DATABASE"])
"""


def run(
    script: str, tmp_path: Path, *, code: int | None = 0, **environment: str
) -> tuple[dict[str, dict[str, object]], float]:
    """Run a script, and return the states that it left in its database, and how long it took, in seconds."""
    file = tmp_path / "script.py"
    file.write_text(BEGIN + script)
    database = tmp_path / "jobs.sqlite"
    keep = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "dev", file],
        env=keep | {"TEST_DATABASE": str(database), "PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took_s = time.monotonic() - begun_s
    if code is not None:
        assert done.returncode == code, done.stderr
    assert "ResourceWarning" not in done.stderr
    if not database.exists():
        return {}, took_s
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT job_id, state FROM jobs").fetchall()
    connection.close()
    return {job_id: json.loads(state) for job_id, state in rows}, took_s


@pytest.mark.parametrize("how", ["pass", "sys.exit(0)", "sys.exit(4)"])
def test_the_end_of_a_script_delivers_every_last_word(how: str, tmp_path: Path) -> None:
    states, _ = run(
        f"""
for number in range(5):
    with Job(f"ended-{{number}}", settings=settings) as job:
        job.update()
open_job = Job("open", total=5, settings=settings)
open_job.update(2)
{how}
""",
        tmp_path,
        code=4 if "4" in how else 0,
    )

    assert [states[f"ended-{number}"]["status"] for number in range(5)] == ["completed"] * 5
    assert (states["open"]["status"], states["open"]["n"]) == ("cancelled", 2)
    assert states["open"]["message"] == "The process ended before the job did"


def test_an_exception_that_ends_the_process_fails_what_is_open(tmp_path: Path) -> None:
    states, _ = run(
        """
job = Job("plain", settings=settings)
for item in track(range(3), "loop", settings=settings):
    if item == 1:
        raise ValueError("bad item")
""",
        tmp_path,
        code=1,
    )

    assert (states["loop"]["status"], states["loop"]["n"]) == ("failed", 1)
    assert states["loop"]["error"] == states["plain"]["error"] == "ValueError: bad item"


def test_an_interrupt_that_ends_the_process_cancels_what_is_open(tmp_path: Path) -> None:
    states, _ = run(
        """
import signal
items = track(range(3), "loop", settings=settings)
while items.job.run is None:  # so that nothing is imported at exit, which makes CPython forget its exit code
    time.sleep(0.005)
for item in items:
    signal.raise_signal(signal.SIGINT)
""",
        tmp_path,
        code=-signal.SIGINT,
    )

    assert (states["loop"]["status"], states["loop"]["message"]) == ("cancelled", "Interrupted")


def test_a_name_is_resolved_while_the_process_ends(tmp_path: Path, redis_server: RedisServer, namespace: str) -> None:
    url = redis_server.url.replace("127.0.0.1", "localhost")

    run(
        """
with Job("short"):
    pass
""",
        tmp_path,
        JOBPROGRESS_URL=url,
        JOBPROGRESS_NAMESPACE=namespace,
    )

    assert stored(redis_server, namespace, "short")["status"] == "completed"


def stored(server: RedisServer, namespace: str, job_id: str) -> dict[str, Any]:
    with redis.Redis.from_url(server.url) as client:
        found: dict[str, Any] = json.loads(client.get(f"{namespace}:job_status:{job_id}"))
        return found


FORK = """
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)
"""


def test_a_forked_child_counts_and_cannot_end_its_parents_job(
    tmp_path: Path, redis_server: RedisServer, namespace: str
) -> None:
    run(
        FORK
        + """
with Job("parents", total=10) as job:
    while job.run is None:
        time.sleep(0.005)
    pid = os.fork()
    if pid == 0:
        job.update(5)
        job.fail("from the child")
        with Job("childs") as own:
            own.update()
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert not job.closed
    job.update(1)
""",
        tmp_path,
        JOBPROGRESS_URL=redis_server.url,
        JOBPROGRESS_NAMESPACE=namespace,
    )

    parents, childs = (stored(redis_server, namespace, name) for name in ("parents", "childs"))
    assert (parents["status"], parents["n"]) == ("completed", 6)
    assert childs["status"] == "completed"
    assert childs["origin"]["pid"] != parents["origin"]["pid"]


def test_a_child_may_be_forked_at_any_moment(tmp_path: Path, redis_server: RedisServer, namespace: str) -> None:
    run(
        FORK
        + """
def work(number):
    with Job(f"child-{number}") as job:
        job.update(7)
with Job("parents") as job:
    children = []
    for number in range(12):
        child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
        child.start()
        children.append(child)
        job.update()
        time.sleep(number * 0.003)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 12
""",
        tmp_path,
        JOBPROGRESS_URL=redis_server.url,
        JOBPROGRESS_NAMESPACE=namespace,
    )

    assert stored(redis_server, namespace, "parents")["n"] == 12
    assert {stored(redis_server, namespace, f"child-{number}")["status"] for number in range(12)} == {"completed"}


def test_a_forked_child_does_not_use_a_store_that_nobody_sees(tmp_path: Path) -> None:
    states, _ = run(
        FORK
        + """
import asyncio
from jupyter_jobprogress import ProgressReporter
reporter = ProgressReporter(settings=settings)
def work(job):
    job.report(stage="child")
    asyncio.run(reporter.report("reporters", "child", 0.5, ""))
    with Job("childs", settings=settings) as own:
        own.update(7)
    assert own.n == 7
with Job("parents", settings=settings) as job:
    child = multiprocessing.get_context("fork").Process(target=work, args=(job,))
    child.start()
    child.join()
    assert child.exitcode == 0
""",
        tmp_path,
    )

    assert list(states) == ["parents"]
    assert states["parents"]["status"] == "completed"


def test_a_spawned_child_joins_the_run_of_the_job_it_was_given(tmp_path: Path) -> None:
    states, _ = run(
        """
import multiprocessing, pickle
def work(job):
    job.report(stage="in the child", message=str(job.run))
    job.update(3)
    job.complete()
    time.sleep(0.3)
if __name__ == "__main__":
    assert b"secret" not in pickle.dumps(Job("token", settings=Settings(token="secret")))
    job = Job("given", total=3, settings=settings)
    child = multiprocessing.get_context("spawn").Process(target=work, args=(job,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert not job.closed
    job.report(message="back")
""",
        tmp_path,
    )

    # A child that had started a run of its own would have silenced its parent.
    assert (states["given"]["status"], states["given"]["stage"]) == ("cancelled", "")
