"""A real gunicorn, whose workers are forked from a master that has a job already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.redis_server import RedisServer, free_port

REPOSITORY = Path(__file__).parents[2]
REQUESTS = 40
APPLICATION = """
import json, os, threading, time
from jupyter_jobprogress import Job, track

job = Job("served", title="Requests")
while job.run is None:
    time.sleep(0.005)

def application(environ, start_response):
    own = environ["PATH_INFO"].strip("/")
    for item in track(range(3), own, display=False):
        pass
    job.update()
    job.fail("not a worker's to end")
    senders = [thread.name for thread in threading.enumerate()].count("jobprogress-sender")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), os.getppid(), senders]).encode()]
"""


@pytest.fixture
def gunicorn(tmp_path: Path, redis_server: RedisServer, namespace: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it with two workers, and yield it with its URL."""
    (tmp_path / "application.py").write_text(APPLICATION)
    kept = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
    own = {"JOBPROGRESS_URL": redis_server.url, "JOBPROGRESS_NAMESPACE": namespace, "PYTHONPATH": str(REPOSITORY)}
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", f"--bind={address}", "application"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=kept | own, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stderr is not None
            booted = 0
            for line in server.stderr:
                booted += "Booting worker" in line
                if booted == 2:
                    break
            yield server, f"http://{address}/"
        finally:
            if server.poll() is None:
                server.kill()


@pytest.fixture
def stored(redis_server: RedisServer, namespace: str) -> Iterator[Callable[[str], dict[str, Any]]]:
    with redis.Redis.from_url(redis_server.url) as client:
        yield lambda job_id: json.loads(client.get(f"{namespace}:job_status:{job_id}"))  # type: ignore[no-any-return]


@pytest.mark.timeout(90)
def test_workers_of_gunicorn_report_their_own_jobs_and_count_for_the_one_of_the_master(
    gunicorn: tuple[subprocess.Popen[str], str], stored: Callable[[str], dict[str, Any]]
) -> None:
    server, url = gunicorn

    def ask(number: int) -> list[int]:
        with urllib.request.urlopen(f"{url}request-{number}", timeout=30) as response:
            found: list[int] = json.load(response)
            return found

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(ask, range(REQUESTS)))
    server.terminate()
    _, errors = server.communicate(timeout=30)

    assert {parent for _, parent, _ in answers} == {server.pid}
    assert {senders for _, _, senders in answers} == {1}
    assert "Traceback" not in errors, errors
    assert server.returncode == 0
    # The master ends after its workers have said what they did last.
    whole = stored("served")
    assert (whole["status"], whole["n"], whole["origin"]["pid"]) == ("cancelled", REQUESTS, server.pid)
    parts = [stored(f"request-{number}") for number in range(REQUESTS)]
    assert {(part["status"], part["n"]) for part in parts} == {("completed", 3)}
    assert [part["origin"]["pid"] for part in parts] == [pid for pid, _, _ in answers]
