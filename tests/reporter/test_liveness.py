"""Heartbeats bring back what a store lost, and silence is judged by the store's clock: late, lost, and healed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from jupyter_jobprogress.protocol.liveness import Liveness, liveness
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Store
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.redis_server import RedisServer, free_port
from tests.support.remote_server import remote_server

REPOSITORY = Path(__file__).parents[2]
BEAT_S = 0.5
Until = Callable[..., None]


@pytest.fixture
def reporting() -> Iterator[Callable[[Settings], Sender]]:
    """Give a process that reports to a store, until the test ends."""
    senders: list[Sender] = []

    def install(settings: Settings) -> Sender:
        sender = Sender(settings)
        senders.append(sender)
        process.install(sender)
        return sender

    yield install
    for job in process.open_jobs():
        process.forget(job)
    for sender in senders:
        sender.close()
        process._senders.pop(sender.settings)


def begun(settings: Settings, until: Until) -> tuple[list[Job], dict[str, State]]:
    jobs = [Job(f"job-{number}", total=10, title="Kept", heartbeat_s=BEAT_S, settings=settings) for number in range(3)]
    for job in jobs:
        job.update(4)
        job.report(message="said once", stage="work", metadata={"kept": True})
        job.log(loss=0.5)
    sender = process.sender_for(settings)

    def read() -> dict[str, State]:
        stored = sender.read([job.id for job in jobs]).result(30)
        return {job_id: decode_state(one.data) for job_id, one in stored.items()}

    until(lambda: [state.n for state in read().values()] == [4, 4, 4])
    return jobs, read()


def seen(state: State) -> tuple[object, ...]:
    return (state.run, state.n, state.message, state.stage, state.title, state.metadata, state.metrics, state.timestamp)


@pytest.mark.parametrize("harm", ["flush", "delete", "restart"])
def test_a_heartbeat_brings_back_what_redis_lost(
    harm: str, own_redis: RedisServer, reporting: Callable[[Settings], Sender], until: Until
) -> None:
    settings = Settings(url=own_redis.url, deadline_s=0.5)
    sender = reporting(settings)
    jobs, before = begun(settings, until)

    with redis.Redis.from_url(own_redis.url) as client:
        if harm == "flush":
            client.flushall()
        elif harm == "delete":
            client.delete(f"job_status:{jobs[1].id}")
        else:
            own_redis.kill()
            own_redis.start()

        def healed() -> bool:
            return all(client.exists(f"job_status:{job.id}") for job in jobs)

        assert not healed()
        until(healed)

    stored = sender.read([job.id for job in jobs]).result(30)
    after = {job_id: decode_state(one.data) for job_id, one in stored.items()}
    assert {job_id: seen(state) for job_id, state in after.items()} == {
        job_id: seen(state) for job_id, state in before.items()
    }
    for job in jobs:
        job.complete()
        assert job.wait(30)


def test_a_heartbeat_keeps_a_silent_job_from_expiring(
    redis_server: RedisServer, namespace: str, reporting: Callable[[Settings], Sender], until: Until
) -> None:
    settings = Settings(url=redis_server.url, namespace=namespace, ttl_s=2 * BEAT_S)
    reporting(settings)
    jobs, before = begun(settings, until)
    key = f"{namespace}:job_status:{jobs[0].id}"

    with redis.Redis.from_url(redis_server.url) as client:
        end_s = time.monotonic() + 2 * settings.ttl_s
        while time.monotonic() < end_s:
            assert client.pttl(key) > 0
            time.sleep(0.05)
        assert seen(decode_state(client.get(key))) == seen(before[jobs[0].id])


async def test_a_heartbeat_brings_jobs_to_an_embedded_server_that_began_again(
    reporting: Callable[[Settings], Sender], until: Until
) -> None:
    port = free_port()
    settings = Settings(url=f"http://127.0.0.1:{port}/", deadline_s=0.5)
    async with remote_server(Settings(), port=port):
        sender = reporting(settings)
        jobs, before = await asyncio.to_thread(begun, settings, until)

    async with remote_server(Settings(), port=port) as server:  # its store is in memory, and empty
        async with asyncio.timeout(30):
            while len(stored := await server.service.store.read([job.id for job in jobs])) < len(jobs):
                await asyncio.sleep(0.02)
        after = {job_id: seen(decode_state(one.data)) for job_id, one in stored.items()}
        assert after == {job_id: seen(state) for job_id, state in before.items()}
        await asyncio.to_thread(sender.close)


REPORTER = """
import ctypes, sys
from jupyter_jobprogress import Job
job = Job(sys.argv[1], heartbeat_s=0.5)
job.update(7)
for line in sys.stdin:
    if line == "hold\\n":
        ctypes.PyDLL(None).usleep(4_000_000)  # PyDLL keeps the GIL
job.complete()
job.wait(30)
"""


class Watcher(NamedTuple):
    """A viewer: what the store says, judged by the store's clock. ``environment`` leads a reporter to the store."""

    store: Store
    job_id: str
    environment: dict[str, str]

    async def look(self) -> tuple[float, Liveness]:
        stored = (await self.store.read([self.job_id]))[self.job_id]
        state = decode_state(stored.data)
        silence_s = (self.store.now_us() - (stored.seq or 0)) / 1e6
        return silence_s, liveness(state.status, silence_s=silence_s, heartbeat_s=state.heartbeat_s)

    async def until(self, wanted: Liveness) -> tuple[list[Liveness], float, float]:
        """Return all judgements until this one, without repeats, and the silence of the last two looks.

        The change is between these two, however long a busy machine takes from one look to the next.
        """
        judged: list[Liveness] = []
        before_s = 0.0
        async with asyncio.timeout(60):
            while True:
                silence_s, found = await self.look()
                if not judged or judged[-1] is not found:
                    judged.append(found)
                if found is wanted:
                    return judged, before_s, silence_s
                before_s = silence_s
                await asyncio.sleep(0.05)


@pytest.fixture(params=["redis", "embedded"])
async def watcher(request: pytest.FixtureRequest, redis_server: RedisServer, namespace: str) -> AsyncIterator[Watcher]:
    if request.param == "redis":
        store = RedisStore(Settings(url=redis_server.url, namespace=namespace))
        yield Watcher(store, "watched", {"JOBPROGRESS_URL": redis_server.url, "JOBPROGRESS_NAMESPACE": namespace})
        await store.close()
    else:
        async with remote_server(Settings()) as server:
            yield Watcher(server.service.store, "watched", {"JOBPROGRESS_URL": server.url})


Start = Callable[[], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(watcher: Watcher) -> AsyncIterator[Start]:
    """Start a run of the job, as often as wanted."""
    started: list[asyncio.subprocess.Process] = []
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | watcher.environment

    async def start() -> asyncio.subprocess.Process:
        started.append(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", REPORTER, watcher.job_id), env=environment, stdin=asyncio.subprocess.PIPE
            )
        )
        return started[-1]

    yield start
    for one in started:
        if one.returncode is None:
            one.kill()
            await one.wait()


async def reported(watcher: Watcher) -> None:
    async with asyncio.timeout(60):
        while not (found := await watcher.store.read([watcher.job_id])) or b'"n":7' not in found[watcher.job_id].data:
            await asyncio.sleep(0.05)


async def test_a_killed_reporter_is_stalled_then_lost_and_its_next_run_heals_it(watcher: Watcher, start: Start) -> None:
    victim = await start()
    await reported(watcher)
    victim.send_signal(signal.SIGKILL)
    await victim.wait()

    before, live_s, stalled_s = await watcher.until(Liveness.STALLED)
    between, still_s, lost_s = await watcher.until(Liveness.LOST)

    # Three and twelve heartbeats of half a second; of ten seconds these are 30 s and 120 s.
    assert (before, between) == ([Liveness.LIVE, Liveness.STALLED], [Liveness.STALLED, Liveness.LOST])
    assert live_s < 1.5 <= stalled_s
    assert still_s < 6.0 <= lost_s
    second = await start()
    assert (await watcher.until(Liveness.LIVE))[0] == [Liveness.LOST, Liveness.LIVE]
    await asyncio.wait_for(second.communicate(b""), 60)
    assert second.returncode == 0


async def test_a_call_that_holds_the_gil_is_not_death(watcher: Watcher, start: Start) -> None:
    holding = await start()
    await reported(watcher)
    assert holding.stdin is not None
    holding.stdin.write(b"hold\n")
    await holding.stdin.drain()

    judged, _, _ = await watcher.until(Liveness.STALLED)
    after, _, _ = await watcher.until(Liveness.LIVE)

    assert judged == [Liveness.LIVE, Liveness.STALLED]
    assert after == [Liveness.STALLED, Liveness.LIVE]
    await asyncio.wait_for(holding.communicate(b""), 60)
    assert holding.returncode == 0
    stored = (await watcher.store.read([watcher.job_id]))[watcher.job_id]
    assert decode_state(stored.data).status == "completed"
