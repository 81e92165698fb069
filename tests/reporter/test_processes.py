"""One job and many processes and threads, of every kind that people start, against a real Redis: counts are exact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.redis_server import RedisServer

REPOSITORY = Path(__file__).parents[2]
BEGIN = """
import asyncio, multiprocessing, os, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from jupyter_jobprogress import Job, JobCancelled, ProgressReporter, track
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
METHOD = os.environ.get("TEST_METHOD")

def senders():
    return [thread for thread in threading.enumerate() if thread.name == "jobprogress-sender"]

def count(job):
    for _ in range(10_000):
        job.update()
    job.fail("not its to end")
    return os.getpid()

def ended_by_sigterm(work, job):
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    process = context.Process(target=work, args=(job, began))
    process.start()
    assert began.wait(20)
    time.sleep(0.5)  # by now it does what it does after that
    process.terminate()
    process.join(20)
    return process.exitcode
"""
METHODS = ["fork", "spawn", "forkserver"]

Run = Callable[..., str]
Stored = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, redis_server: RedisServer, namespace: str) -> Run:
    """Run a script whose environment leads to Redis, and return what it printed."""

    def run(script: str, *, method: str = "") -> str:
        file = tmp_path / "script.py"
        file.write_text(BEGIN + script)
        keep = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}
        own = {"JOBPROGRESS_URL": redis_server.url, "JOBPROGRESS_NAMESPACE": namespace}
        done = subprocess.run(
            [sys.executable, file],
            env=keep | own | {"PYTHONPATH": str(REPOSITORY), "TEST_METHOD": method},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


@pytest.fixture
def stored(redis_server: RedisServer, namespace: str) -> Stored:
    def stored(job_id: str) -> dict[str, Any]:
        with redis.Redis.from_url(redis_server.url) as client:
            found: dict[str, Any] = json.loads(client.get(f"{namespace}:job_status:{job_id}"))
            return found

    return stored


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_eight_counts_to_the_last_update(method: str, run: Run, stored: Stored) -> None:
    run(
        """
if __name__ == "__main__":
    with Job("pool", total=80_000) as job:
        with multiprocessing.get_context(METHOD).Pool(8) as pool:
            pool.map(count, [job] * 8, chunksize=1)
            pool.close()
            pool.join()
        assert not job.closed
""",
        method=method,
    )

    state = stored("pool")
    assert (state["status"], state["n"], state["progress"]) == ("completed", 80_000, 1.0)
    assert "error" not in state


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_that_its_block_ends_loses_neither_counts_nor_ends(method: str, run: Run, stored: Stored) -> None:
    run(
        """
def task(shared, number):
    with Job(f"task-{number}", total=300, display=False) as own:
        for _ in range(300):
            shared.update()
            own.update()
            time.sleep(0.001)

if __name__ == "__main__":
    with Job("pool", total=2400) as job:
        with multiprocessing.get_context(METHOD).Pool(4) as pool:
            pool.starmap(task, [(job, number) for number in range(8)], chunksize=1)
""",
        method=method,
    )

    assert (stored("pool")["status"], stored("pool")["n"]) == ("completed", 2400)
    ends = {(state["status"], state["n"]) for state in (stored(f"task-{number}") for number in range(8))}
    assert ends == {("completed", 300)}


def test_a_process_of_a_pool_that_is_stuck_in_c_ends_all_the_same(run: Run, stored: Stored) -> None:
    run(
        """
import ctypes, signal

def stuck(job, began):
    job.update()
    signal.siginterrupt(signal.SIGTERM, False)  # reading begins again, as a library in C lets it
    reader, _ = os.pipe()
    began.set()
    ctypes.CDLL(None).read(reader, ctypes.create_string_buffer(1), 1)

if __name__ == "__main__":
    with Job("stuck") as job:
        code = ended_by_sigterm(stuck, job)
    assert code == -9, code
"""
    )

    assert stored("stuck")["n"] == 1


def test_the_end_of_a_forked_grandchild_is_not_that_of_the_process_of_a_pool(run: Run, stored: Stored) -> None:
    run(
        """
import signal

def work(job):
    job.update()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    time.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == signal.SIGTERM
    time.sleep(4)  # longer than one that is stuck is given
    job.update()

if __name__ == "__main__":
    with Job("grand") as job:
        process = multiprocessing.get_context("spawn").Process(target=work, args=(job,))
        process.start()
        process.join(30)
        assert process.exitcode == 0, process.exitcode
"""
    )

    assert stored("grand")["n"] == 2


@pytest.mark.parametrize(
    ("own", "code"),
    [
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))", 3),
        ("faulthandler.register(signal.SIGTERM)", 4),  # a function in C, after which the process goes on
    ],
)
def test_whoever_handles_sigterm_goes_on_to_handle_it(own: str, code: int, run: Run) -> None:
    run(
        f"""
import faulthandler, signal

def work(job, began):
    {own}
    job.update()
    began.set()
    time.sleep(1)
    sys.exit(4)

if __name__ == "__main__":
    with Job("handled") as job:
        code = ended_by_sigterm(work, job)
    assert code == {code}, code
"""
    )


@pytest.mark.parametrize("way", ["handed over", "inherited"])
def test_who_shares_a_job_that_no_other_process_can_reach_is_told_so_once(way: str, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    handed = """
with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
    list(processes.map(count, [job] * 2))
"""
    inherited = """
for _ in range(3):  # as a loader of data forks its workers anew in each epoch
    pid = os.fork()
    if pid == 0:
        job.update()
        job.update()
        sys.exit()
    os.waitpid(pid, 0)
"""
    work = "".join(f"    {line}\n" for line in (handed if way == "handed over" else inherited).splitlines())
    file.write_text(f'{BEGIN}\nif __name__ == "__main__":\n    job = Job("alone", display=False)\n{work}')
    keep = {name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"}

    done = subprocess.run(
        [sys.executable, file],
        env=keep | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr.count("What other processes do for job alone is not counted") == 1, done.stderr
    assert "Set JOBPROGRESS_URL" in done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_executors_of_processes_and_threads_count_exactly(method: str, run: Run, stored: Stored) -> None:
    run(
        """
def in_threads(job):
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(count, [job] * 4))

if __name__ == "__main__":
    with Job("executor") as job:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(METHOD)) as processes:
            done = list(processes.map(in_threads, [job] * 3))
        for _ in range(10):
            job.update()
    assert os.getpid() not in sum(done, [])
""",
        method=method,
    )

    assert (stored("executor")["status"], stored("executor")["n"]) == ("completed", 120_010)


@pytest.mark.parametrize("total", ["2400", "None"])
@pytest.mark.parametrize("method", METHODS)
def test_a_job_that_ends_before_its_workers_do_counts_what_they_counted_last(
    method: str, total: str, run: Run, stored: Stored
) -> None:
    run(
        f"""
def task(job):
    for _ in range(300):
        job.update()
        time.sleep(0.001)

if __name__ == "__main__":
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context(METHOD)) as processes:
        with Job("inner", total={total}) as job:
            list(processes.map(task, [job] * 8))
        assert job.wait(10)
""",
        method=method,
    )

    assert (stored("inner")["status"], stored("inner")["n"]) == ("completed", 2400)


def test_a_preforked_server_has_a_thread_and_connections_for_each_worker(run: Run, stored: Stored) -> None:
    run(
        """
from pathlib import Path
from urllib.parse import urlsplit

PORT = urlsplit(os.environ["JOBPROGRESS_URL"]).port

def connections():
    "Return the inodes of the sockets of this process that lead to Redis."
    to_redis = {
        fields[9]
        for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        if int((fields := line.split())[2].partition(":")[2], 16) == PORT
    }
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            kind, _, inode = os.readlink(entry).partition(":")
        except OSError:
            continue
        if kind == "socket" and inode.strip("[]") in to_redis:
            found.add(inode.strip("[]"))
    return found

def serve(number, parents, job, reporter):
    assert not senders()
    assert not connections(), "the sockets of the parent are still open here"
    for request in range(3):
        with Job(f"request-{number}-{request}", total=1) as own:
            own.update()
            job.update()
    asyncio.run(reporter.report(f"whole-{number}", "serving", 0.5, "half"))
    assert own.wait(30)
    assert len(senders()) == 1
    assert connections() and not connections() & parents
    sys.exit(0)

reporter = ProgressReporter()
asyncio.run(reporter.report("server", "starting", 0.0, ""))
with Job("served") as job:
    job.update()
    while job.run is None:
        time.sleep(0.005)
    parents = connections()
    assert parents
    workers = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            serve(number, parents, job, reporter)
        workers.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in workers] == [0] * 4
    assert connections() >= parents, "a worker has closed a connection of the server"
    # The server lives on after its workers, over the connections that it had.
    asyncio.run(reporter.report("server", "stopping", 1.0, ""))
"""
    )

    assert (stored("served")["status"], stored("served")["n"]) == ("completed", 13)
    assert stored("server")["stage"] == "stopping"
    for number in range(4):
        assert stored(f"whole-{number}")["progress"] == 0.5
        assert {stored(f"request-{number}-{request}")["status"] for request in range(3)} == {"completed"}


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_load_data_report_while_the_loop_is_tracked(method: str, run: Run, stored: Stored) -> None:
    """As DataLoader of PyTorch has them: daemons fed by queues, started anew in each epoch, ended by a None."""
    run(
        """
class Dataset:
    def __init__(self, job):
        self.job = job
    def __getitem__(self, index):
        self.job.update()
        return index

def load(dataset, indices, loaded):
    while (index := indices.get()) is not None:
        loaded.put(dataset[index])

class Loader:
    def __init__(self, dataset, length, context):
        self.dataset, self.length, self.context = dataset, length, context
    def __len__(self):
        return self.length
    def __iter__(self):
        indices, loaded = self.context.Queue(), self.context.Queue()
        workers = [
            self.context.Process(target=load, args=(self.dataset, indices, loaded), daemon=True) for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        for index in range(self.length):
            indices.put(index)
        for _ in range(self.length):
            yield loaded.get(timeout=30)
        for _ in workers:
            indices.put(None)
        for worker in workers:
            worker.join(30)
            assert worker.exitcode == 0

if __name__ == "__main__":
    with Job("loading", total=400) as loading:
        loader = Loader(Dataset(loading), 200, multiprocessing.get_context(METHOD))
        for epoch in range(2):
            with track(loader, f"epoch-{epoch}", display=False) as batches:
                for index in batches:
                    batches.job.log(loss=1 / (1 + index))
""",
        method=method,
    )

    assert (stored("loading")["status"], stored("loading")["n"]) == ("completed", 400)
    for epoch in range(2):
        state = stored(f"epoch-{epoch}")
        assert (state["status"], state["n"], state["total"]) == ("completed", 200, 200)


@pytest.mark.parametrize("runner", ["asyncio.run", "uvloop.run"])
def test_a_running_event_loop_is_left_alone(runner: str, run: Run, stored: Stored) -> None:
    run(
        f"""
import asyncio, uvloop

async def items():
    for number in range(50):
        await asyncio.sleep(0)
        yield number

async def main():
    loop = asyncio.get_running_loop()
    with Job("inside", total=4) as job:
        async for _ in track(items(), "async-items", total=50, display=False):
            pass
        async with ProgressReporter() as reporter:
            await reporter.report("whole", "stage", 0.5, "")
            assert (await reporter.get_status("whole"))["progress"] == 0.5
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as processes:
            await asyncio.gather(*[loop.run_in_executor(processes, count, job) for _ in range(4)])
    assert await asyncio.to_thread(job.wait, 10)
    assert asyncio.get_running_loop() is loop

{runner}(main())
"""
    )

    assert (stored("inside")["status"], stored("inside")["n"]) == ("completed", 40_000)
    assert (stored("async-items")["status"], stored("async-items")["n"]) == ("completed", 50)
