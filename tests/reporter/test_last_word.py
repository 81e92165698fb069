"""However a process ends, its jobs have their last word in the store, and a store that is away holds it up briefly."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from jupyter_client.manager import start_new_kernel

from tests.support.redis_server import RedisServer
from tests.support.standalone import serving

REPOSITORY = Path(__file__).parents[2]
BEGIN = """
import os, signal, sys, threading, time
from jupyter_jobprogress import Job, track
"""
FIFTY_JOBS = """
name = sys.argv[1]
jobs = [Job(f"{name}-{number}", total=3) for number in range(48)]
for job in jobs:
    job.update()
with Job(f"{name}-48"):
    pass
for item in track(range(3), f"{name}-49"):
    if item == 1:
        break
"""
WAYS = {
    "falls-off": ("", 0, "cancelled"),
    "exits": ("sys.exit(0)", 0, "cancelled"),
    "exits-3": ("sys.exit(3)", 3, "cancelled"),
    "raises": ("raise ValueError('bad')", 1, "failed"),
    "interrupted": ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT, "cancelled"),
}
PROCESSES_OF_EACH = 4


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def run(script: str, *arguments: str, **environment: str) -> Ended:
    kept = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, *arguments],
        env=kept | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def environment_of(server: RedisServer, namespace: str) -> dict[str, str]:
    return {"JOBPROGRESS_URL": server.url, "JOBPROGRESS_NAMESPACE": namespace}


def states(server: RedisServer, namespace: str) -> dict[str, dict[str, Any]]:
    with redis.Redis.from_url(server.url) as client:
        keys = list(client.keys(f"{namespace}:job_status:*"))
        found = [json.loads(data) for data in client.mget(keys)] if keys else []
    return {state["job_id"]: state for state in found}


class Place(NamedTuple):
    """A store: the environment that leads to it, and all that it has."""

    environment: dict[str, str]
    states: Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture(params=["redis", "server"])
def place(request: pytest.FixtureRequest, redis_server: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Place]:
    if request.param == "redis":
        yield Place(environment_of(redis_server, namespace), lambda: states(redis_server, namespace))
        return
    with serving(tmp_path) as server:

        def listed() -> dict[str, dict[str, Any]]:
            found: dict[str, dict[str, Any]] = {}
            after = ""
            while True:
                asked = urllib.request.Request(f"{server.url}api/jobs?limit=1000{after}", headers=server.headers)
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    page = json.load(answer)
                found |= {state["job_id"]: state for state in page["jobs"]}
                if page["next"] is None:
                    return found
                after = f"&after={page['next']}"

        yield Place({"JOBPROGRESS_URL": server.url, "JOBPROGRESS_TOKEN": server.told.token}, listed)


def test_two_hundred_of_two_hundred_are_delivered_of_each_way_to_end(place: Place) -> None:
    names = [f"{way}.{number}" for way in WAYS for number in range(PROCESSES_OF_EACH)]

    def end(name: str) -> Ended:
        return run(FIFTY_JOBS + WAYS[name.partition(".")[0]][0], name, **place.environment)

    with ThreadPoolExecutor(3) as pool:
        ended = dict(zip(names, pool.map(end, names), strict=True))

    found = place.states()
    assert len(found) == 200 * len(WAYS)
    for name, (code, _, err) in ended.items():
        _, expected_code, status = WAYS[name.partition(".")[0]]
        assert code == expected_code, err
        assert {found[f"{name}-{number}"]["status"] for number in range(48)} == {status}
        assert found[f"{name}-48"]["status"] == "completed"
        # Left by a break, which the error that ended the process had nothing to do with.
        left = found[f"{name}-49"]
        assert (left["status"], left["message"]) == ("completed", "Stopped at 1 of 3")


TWICE = """for number in range(2):
                    try:
                        odd(number)
                    except SystemExit:
                        pass"""
LEFT_BY_EXIT = {
    "with 0": ("sys.exit(0)", 0, "cancelled", "Stopped by SystemExit"),
    "with nothing": ("sys.exit()", 0, "cancelled", "Stopped by SystemExit"),
    "with a code": ("sys.exit(4)", 4, "failed", "SystemExit: 4"),
    "with a text": ("sys.exit('no such file')", 1, "failed", "SystemExit: no such file"),
    "deep below": ("deep()", 2, "failed", "SystemExit: 2"),
    "by argparse": ("argparse.ArgumentParser().parse_args(['--what'])", 2, "failed", "SystemExit: 2"),
    "inside finally": ("tidied()", 5, "failed", "SystemExit: 5"),
    # What follows has not left the loop by sys.exit.
    "after a break": ("break", 7, "completed", "Stopped at 1 of 3"),
    "caught in the body": ("caught(); break", 7, "completed", "Stopped at 1 of 3"),
    "caught, then an error from the same place": (TWICE, 7, "completed", "Stopped at 1 of 3"),
}
LOOPS_LEFT = """
import argparse

def deep():
    with open(os.devnull):
        sys.exit(2)

def tidied():
    try:
        sys.exit(5)
    finally:
        time.sleep(0.01)

def caught():
    try:
        sys.exit(6)
    except SystemExit:
        pass

def odd(number):
    if number == 0:
        sys.exit(6)
    raise ValueError

def main(items):
    try:
        for item in items:
            if item == 1:
                {body}
    except ValueError:
        pass

main(track({source}, sys.argv[1], total=3))
sys.exit(7)
"""


@pytest.mark.parametrize("source", ["range(3)", "(item for item in range(3))"], ids=["list", "generator"])
def test_a_loop_that_a_script_leaves_by_exit_says_so(source: str, redis_server: RedisServer, namespace: str) -> None:
    def end(how: str) -> Ended:
        script = LOOPS_LEFT.replace("{source}", source).replace("{body}", LEFT_BY_EXIT[how][0])
        return run(script, how.replace(" ", "-").replace(",", ""), **environment_of(redis_server, namespace))

    with ThreadPoolExecutor(2) as pool:
        ended = dict(zip(LEFT_BY_EXIT, pool.map(end, LEFT_BY_EXIT), strict=True))

    found = states(redis_server, namespace)
    for how, (_, code, status, said) in LEFT_BY_EXIT.items():
        state = found[how.replace(" ", "-").replace(",", "")]
        assert ended[how].code == code, ended[how].err
        assert (state["status"], state["n"]) == (status, 1), how
        assert said in (state["message"], state.get("error")), how


@pytest.fixture
def dead_urls(own_redis: RedisServer) -> Iterator[list[str]]:
    own_redis.freeze()
    yield ["redis://127.0.0.1:1/0", own_redis.url, "http://127.0.0.1:1/", f"http://127.0.0.1:{own_redis.port}/"]
    own_redis.thaw()


def test_a_dead_store_holds_the_exit_up_two_and_a_half_seconds_at_most(dead_urls: list[str]) -> None:
    # The handler that was registered first runs last. What comes after it is Python's own, and takes long on a busy
    # machine.
    script = (
        "import atexit\natexit.register(lambda: print(time.monotonic() - begun_s))\n"
        "jobs = [Job(f'dead-{number}') for number in range(5)]\ntime.sleep(0.3)\nbegun_s = time.monotonic()"
    )

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda url: run(script, JOBPROGRESS_URL=url), dead_urls))

    for url, (code, out, err) in zip(dead_urls, ended, strict=True):
        assert code == 0, err
        assert float(out) <= 2.5, url
        assert "The process ends before the last states of 5 jobs" in err


NOTHING_BEGINS = """
import atexit
begun, ending = [], False

def hook(event, arguments):
    if ending and event == "_thread.start_new_thread":
        begun.append(str(arguments[0]))

def report():
    print("begun", begun)

def end():
    global ending
    ending = True

sys.addaudithook(hook)
atexit.register(report)  # the last to run
job = Job("open", settings=settings)
for item in track(range(3), "left", settings=settings):
    break
atexit.register(end)  # the first to run
"""


@pytest.mark.parametrize("settled", [False, True])
def test_no_thread_starts_at_exit(settled: bool, place: Place) -> None:
    _assert_nothing_begins("Settings.from_environment()", settled=settled, **place.environment)


@pytest.mark.parametrize("settled", [False, True])
def test_no_thread_starts_at_exit_of_a_process_with_a_store_of_its_own(settled: bool, tmp_path: Path) -> None:
    _assert_nothing_begins(f"Settings(database={str(tmp_path / 'jobs.sqlite')!r})", settled=settled)


def _assert_nothing_begins(settings: str, *, settled: bool, **environment: str) -> None:
    wait = "while job.run is None: time.sleep(0.005)" if settled else ""
    script = f"from jupyter_jobprogress import Settings\nsettings = {settings}\n{NOTHING_BEGINS}{wait}"

    ended = run(script, **environment)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "begun []\n"


def test_no_object_does_anything_when_it_is_collected() -> None:
    defined = [
        f"{path.name}:{node.lineno}"
        for path in (REPOSITORY / "jupyter_jobprogress").rglob("*.py")
        if path.name != "bars.py"  # a bar of tqdm closes itself in its __del__, and ours notes that it did
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "__del__"
    ]

    assert defined == []


SIGTERM = """
{before}
job = Job(sys.argv[1], handle_sigterm=True)
while job.run is None:
    time.sleep(0.005)
os.kill(os.getpid(), signal.SIGTERM)
print("after", job.status, flush=True)
os._exit(5)
"""
OLD_HANDLERS = {
    "default": ("", -signal.SIGTERM, ""),
    "callable": ("signal.signal(signal.SIGTERM, lambda *_: print('old', flush=True))", 5, "old\nafter cancelled\n"),
    "raising": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", 7, ""),
    "ignored": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 5, "after cancelled\n"),
}


@pytest.mark.parametrize("old", list(OLD_HANDLERS))
def test_sigterm_says_the_last_word_and_then_does_what_it_did(
    old: str, redis_server: RedisServer, namespace: str
) -> None:
    before, code, out = OLD_HANDLERS[old]

    ended = run(SIGTERM.format(before=before), old, **environment_of(redis_server, namespace))

    assert (ended.code, ended.out) == (code, out), ended.err
    state = states(redis_server, namespace)[old]
    assert (state["status"], state["message"]) == ("cancelled", "Terminated")


def test_a_kernel_says_the_last_words_of_two_hundred_jobs_of_each_way_to_end(
    redis_server: RedisServer, namespace: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
    environment = kept | {"PYTHONPATH": str(REPOSITORY)} | environment_of(redis_server, namespace)
    manager, client = start_new_kernel(env=environment)

    def cell(code: str, *, interrupt: bool = False) -> None:
        def hook(message: dict[str, Any]) -> None:
            if interrupt and "ready" in message["content"].get("text", ""):
                manager.interrupt_kernel()

        client.execute_interactive(code, output_hook=hook, timeout=60, allow_stdin=False)

    try:
        cell(
            "import time\nfrom contextlib import ExitStack\nfrom jupyter_jobprogress import Job, track\n"
            "with ExitStack() as blocks:\n"
            " jobs = [blocks.enter_context(Job(f'in-with-{n}', display=False)) for n in range(199)]\n"
            " for item in track(range(9), 'in-track', display=False):\n"
            "  print('ready', flush=True); time.sleep(20)",
            interrupt=True,
        )
        cell("jobs = [Job(f'restarted-{n}', display=False) for n in range(200)]")
        manager.restart_kernel(now=False)
        client.wait_for_ready(timeout=60)
        cell("from jupyter_jobprogress import Job\njobs = [Job(f'shut-{n}', display=False) for n in range(200)]")
        manager.shutdown_kernel(now=False)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()

    found = states(redis_server, namespace)
    assert len(found) == 600
    assert {state["status"] for state in found.values()} == {"cancelled"}
