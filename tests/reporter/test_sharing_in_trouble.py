"""What many hands add is exact, whatever happens to answers and to the store: each counts once, nothing is lost."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from tests.conftest import _redis_binary
from tests.support.chaos import ChaosProxy
from tests.support.redis_many import sentinels, until
from tests.support.redis_server import RedisServer
from tests.support.remote_server import remote_server

WITHIN_S = 30.0


@pytest.fixture
def reporting() -> Iterator[Callable[[Settings], Settings]]:
    """Give a sender of their own to settings, until the test ends."""
    senders: list[Sender] = []

    def install(settings: Settings) -> Settings:
        senders.append(Sender(settings))
        process.install(senders[-1])
        return settings

    yield install
    for job in process.open_jobs():
        process.forget(job)
    for sender in senders:
        sender.close()
        process._senders.pop(sender.settings)


@asynccontextmanager
async def served(kind: str, redis_server: RedisServer, namespace: str) -> AsyncIterator[tuple[int, Settings]]:
    """Yield the port of a store, and settings that lead to it."""
    if kind == "redis":
        yield redis_server.port, Settings(url=redis_server.url, namespace=namespace)
    else:
        async with remote_server(Settings()) as server:
            yield server.port, Settings(url=server.url)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", ["redis", "server"])
async def test_what_is_added_again_after_a_lost_answer_counts_once(
    kind: str, redis_server: RedisServer, namespace: str, reporting: Callable[[Settings], Settings]
) -> None:
    async with served(kind, redis_server, namespace) as (port, direct), ChaosProxy(port) as proxy:
        scheme = "redis" if kind == "redis" else "http"
        troubled = Settings(url=f"{scheme}://127.0.0.1:{proxy.port}/", namespace=direct.namespace, deadline_s=0.5)
        owner = Job("shared", heartbeat_s=0.3, settings=reporting(direct))
        await eventually(lambda: owner.run)
        worker = Job.join("shared", settings=reporting(troubled))
        worker.update()
        await eventually(lambda: owner.n == 1)

        for lost in range(1, 6):
            proxy.lose_reply()
            worker.update(10)
            await eventually(lambda lost=lost: proxy.replies_lost == lost)
            worker.update()
            await eventually(lambda lost=lost: owner.n >= 1 + 11 * lost)
            assert owner.n == worker.n == 1 + 11 * lost

        owner.update(100)
        owner.complete()
        assert await asyncio.to_thread(owner.wait, WITHIN_S)
        assert owner.n == 156
    # Each try was one more request that the store has done.
    assert proxy.connections >= 6


async def test_a_worker_that_ends_does_not_wait_for_its_turn(
    redis_server: RedisServer, namespace: str, reporting: Callable[[Settings], Settings]
) -> None:
    owner = Job("shared", settings=reporting(Settings(url=redis_server.url, namespace=namespace)))
    await eventually(lambda: owner.run)
    delays_s = []
    for number in range(9):
        # Another deadline, so that each has a sender of its own, as the processes of a pool do.
        settings = Settings(url=redis_server.url, namespace=namespace, deadline_s=1 + number / 100)
        worker = Job.join("shared", settings=reporting(settings))
        worker.update()
        await eventually(lambda worker=worker: worker.run)
        worker.update()

        begun_s = time.monotonic()
        await asyncio.to_thread(process.sender_for(settings).finish().result, WITHIN_S)
        delays_s.append(time.monotonic() - begun_s)

    owner.complete()
    assert await asyncio.to_thread(owner.wait, WITHIN_S)
    assert owner.n == 18
    # Ten looks a second would make it wait for a tenth of a second.
    assert statistics.median(delays_s) < 0.05


async def test_what_is_added_while_the_master_is_replaced_is_exact(
    tmp_path: Path, reporting: Callable[[Settings], Settings]
) -> None:
    with sentinels(_redis_binary(), tmp_path) as many:
        # Two names of one service, so that owner and workers have connections of their own.
        of_owner = reporting(Settings(url=many.url, deadline_s=0.5))
        of_workers = reporting(Settings(url=many.url, deadline_s=0.6))
        owner = Job("shared", settings=of_owner, heartbeat_s=1)
        await eventually(lambda: owner.run)
        run = owner.run
        workers = [Job.join("shared", settings=of_workers) for _ in range(3)]

        def work() -> int:
            """Count in small steps, so that some are under way at any moment. Return what was counted."""
            for worker in workers:
                worker.update(1)
            return sum(worker._n for worker in workers)

        await eventually(lambda: work() and owner.n > 30)
        old = many.master()
        old.kill()
        known = [owner.n]

        def failed_over() -> bool:
            known.append(owner.n)
            return work() > 0 and many.master() is not old

        await asyncio.to_thread(until, failed_over)
        before = owner.n
        await eventually(lambda: work() and owner.n > before)
        total = work()
        assert known == sorted(known), "what was known has been forgotten"
        assert owner.n <= total
        await eventually(lambda: owner.n == total)
        owner.complete()
        assert await asyncio.to_thread(owner.wait, WITHIN_S)

        store = connect(of_owner)
        state = decode_state((await store.read(["shared"]))["shared"].data)
        await store.close()
        assert (state.status.value, state.n, state.run) == ("completed", total, run)
