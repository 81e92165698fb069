"""Somebody's wish to cancel reaches the work, which leaves by an exception and says so."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest

from jupyter_jobprogress.errors import JobCancelled
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.process import sender_for
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.reporter.track import track
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.faulty_store import FaultyStore
from tests.support.redis_server import RedisServer
from tests.support.remote_server import remote_server

Read = Callable[[str], State]
Until = Callable[..., None]


def ask(sender: Sender, store: FaultyStore, job_id: str) -> None:
    """Ask to cancel a job, as a viewer does through a server."""
    sender._run(lambda: store.request_cancel(job_id)).result(30)


@pytest.fixture
def job(sender: Sender, settings: Settings, until: Until) -> Job:
    job = Job("asked", settings=settings, heartbeat_s=0.2)
    until(lambda: job.run)
    return job


def test_a_block_is_left_by_its_next_update(
    job: Job, sender: Sender, store: FaultyStore, read: Read, until: Until
) -> None:
    def work() -> None:
        with job:
            ask(sender, store, "asked")
            until(lambda: job.cancel_requested)
            assert read("asked").status is Status.PROCESSING
            with pytest.raises(JobCancelled):
                job.report(message="caught by the work itself")
            job.update()

    with pytest.raises(JobCancelled, match="asked"):
        work()

    assert job.wait(30)
    assert (read("asked").status, read("asked").message) == (Status.CANCELLED, "Cancelled on request")
    job.update()  # over: nobody is stopped twice


def test_a_job_without_a_block_ends_where_it_is_told(
    job: Job, sender: Sender, store: FaultyStore, read: Read, until: Until
) -> None:
    ask(sender, store, "asked")
    until(lambda: job.cancel_requested)

    with pytest.raises(JobCancelled):
        job.log(loss=1)

    assert job.wait(30)
    assert read("asked").status is Status.CANCELLED


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_a_loop_is_left_at_its_next_item(
    kind: str, sender: Sender, settings: Settings, store: FaultyStore, read: Read
) -> None:
    source = range(10**9) if kind == "list" else itertools.count()
    items = track(source, "looping", heartbeat_s=0.2, settings=settings)
    begun_s = time.monotonic()

    def loop() -> None:
        for item in items:
            if item == 100:
                ask(sender, store, "looping")
            assert time.monotonic() - begun_s < 10

    with pytest.raises(JobCancelled):
        loop()

    assert items.job.wait(30)
    state = read("looping")
    assert state.status is Status.CANCELLED
    assert state.n == items.job.n > 100


async def test_an_asynchronous_loop_is_left_too(sender: Sender, settings: Settings, store: FaultyStore) -> None:
    async def numbers():  # type: ignore[no-untyped-def]
        for number in itertools.count():
            yield number
            await asyncio.sleep(0.001)

    items = track(numbers(), "asynchronous", heartbeat_s=0.2, settings=settings)

    async def loop() -> None:
        async for item in items:
            if item == 10:
                ask(sender, store, "asynchronous")

    with pytest.raises(JobCancelled):
        await loop()

    assert items.job.status is Status.CANCELLED
    assert items.job.wait(30)


def test_who_does_not_want_to_be_stopped_is_told(
    sender: Sender, settings: Settings, store: FaultyStore, until: Until
) -> None:
    with Job("polite", raise_on_cancel=False, heartbeat_s=0.2, settings=settings) as job:
        until(lambda: job.run)
        ask(sender, store, "polite")
        until(lambda: job.cancel_requested)
        job.update()

    assert job.wait(30)
    assert job.status is Status.COMPLETED


def test_a_new_run_is_not_cancelled_by_an_old_wish(
    job: Job, sender: Sender, settings: Settings, store: FaultyStore, until: Until
) -> None:
    ask(sender, store, "asked")
    until(lambda: job.cancel_requested)

    with Job("asked", heartbeat_s=0.2, settings=settings) as again:
        until(lambda: again.run)
        again.update()
        assert not again.cancel_requested
    assert again.wait(30)


async def test_over_redis_the_wish_comes_with_a_heartbeat(redis_server: RedisServer, namespace: str) -> None:
    settings = Settings(url=redis_server.url, namespace=namespace)
    viewer = RedisStore(settings)
    job = Job("redis", heartbeat_s=0.3, settings=settings)
    try:
        async with asyncio.timeout(30):
            while job.run is None:
                await asyncio.sleep(0.005)

            assert await viewer.request_cancel("redis")

            while not job.cancel_requested:  # it has nothing to say meanwhile
                await asyncio.sleep(0.005)
        with pytest.raises(JobCancelled):
            job.update()
        assert await asyncio.to_thread(job.wait, 30)
        stored = (await viewer.read(["redis"]))["redis"]
        assert decode_state(stored.data).status is Status.CANCELLED
        assert not await viewer.request_cancel("redis")
    finally:
        await viewer.close()
        await asyncio.to_thread(sender_for(settings).close)


async def test_over_a_server_the_wish_comes_at_once() -> None:
    async with remote_server(Settings()) as server:
        settings = Settings(url=server.url)
        job = Job("remote", heartbeat_s=60, settings=settings)
        try:
            async with asyncio.timeout(30):
                while job.run is None:
                    await asyncio.sleep(0.005)
            begun_s = time.monotonic()

            assert await server.service.reporters.request_cancel("remote")

            async with asyncio.timeout(30):
                while not job.cancel_requested:
                    await asyncio.sleep(0.005)
            assert time.monotonic() - begun_s < 2.0  # a heartbeat is a minute away
            with pytest.raises(JobCancelled):
                job.update()
            assert await asyncio.to_thread(job.wait, 5)
            assert not await server.service.reporters.request_cancel("remote")
        finally:
            await asyncio.to_thread(sender_for(settings).close)
