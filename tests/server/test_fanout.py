from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from jupyter_jobprogress.errors import StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Receipt, Stored
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health
from jupyter_jobprogress.store.embedded import EmbeddedStore
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.chaos import ChaosProxy
from tests.support.jobs import eventually
from tests.support.redis_server import RedisServer
from tests.support.seats import Viewer, watch


def state(job_id: str = "a", status: str = "processing", **fields: Any) -> State:
    return State(job_id=job_id, status=Status(status), stage="", progress=None, message="", timestamp="", **fields)


class CountingStore(EmbeddedStore):
    """The embedded store, which counts reads, can hold them, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []
        self.readable = asyncio.Event()
        self.readable.set()
        self.reading = asyncio.Event()
        self.away = False

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        self.reads.append(list(job_ids))
        self.reading.set()
        found = {} if self.away else await super().read(job_ids)
        await self.readable.wait()
        if self.away:
            raise StoreUnavailableError(self.label, "away")
        return found

    def set_away(self, away: bool) -> None:
        self.away = away
        assert self.on_health is not None
        self.on_health(Health(not away, "away" if away else ""))


class HeldReads(RedisStore):
    """Redis, whose answers to reads can be held on their way."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.readable = asyncio.Event()
        self.readable.set()
        self.reading = asyncio.Event()

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        found = await super().read(job_ids)
        if not self.readable.is_set():
            self.reading.set()
        await self.readable.wait()
        return found


@pytest.fixture
async def store() -> AsyncIterator[CountingStore]:
    store = CountingStore()
    yield store
    await store.close()


@pytest.fixture
async def fanout(store: CountingStore) -> AsyncIterator[Fanout]:
    fanout = Fanout(store)
    yield fanout
    await fanout.close()


async def test_one_read_serves_every_viewer_of_a_job(fanout: Fanout, store: CountingStore) -> None:
    await store.publish(state())
    viewers = [Viewer() for _ in range(100)]

    await asyncio.gather(*(watch(fanout, viewer, "a") for viewer in viewers))

    assert store.reads == [["a"]]
    assert all(len(viewer.seen) == 1 for viewer in viewers)


async def test_every_viewer_gets_the_same_bytes_once(fanout: Fanout, store: CountingStore) -> None:
    viewers = [Viewer(), Viewer()]
    for viewer in viewers:
        await watch(fanout, viewer, "a")

    receipts: list[Receipt] = [await store.publish(state()) for _ in range(10)]

    for viewer in viewers:
        await viewer.until(lambda viewer: len(viewer.numbers) == 10)
        assert [message["seq"] for message in viewer.seen] == [receipt.seq for receipt in receipts]
    assert all(one is other for one, other in zip(*(viewer.writes for viewer in viewers), strict=True))


async def test_a_state_that_was_overtaken_while_it_was_read_is_not_shown(fanout: Fanout, store: CountingStore) -> None:
    await store.publish(state(n=1))
    store.readable.clear()
    viewer = Viewer()
    opening = asyncio.create_task(watch(fanout, viewer, "a"))
    await store.reading.wait()

    receipt = await store.publish(state("a", "completed", n=2))
    store.readable.set()
    await opening

    assert [message["seq"] for message in viewer.seen] == [receipt.seq]
    assert viewer.seen[0]["status"] == "completed"


async def test_a_push_without_seq_during_the_read_is_settled_by_reading_again(
    fanout: Fanout, store: CountingStore
) -> None:
    store.readable.clear()
    viewer = Viewer()
    opening = asyncio.create_task(watch(fanout, viewer, "a"))
    await store.reading.wait()

    fanout.pushed(Stored("a", b'{"job_id":"a","status":"processing"}', None, Status.PROCESSING))
    receipt = await store.publish(state("a", "completed"))
    store.readable.set()
    await opening

    assert viewer.seen[-1]["seq"] == receipt.seq


async def test_jobs_that_nobody_watches_any_more_are_let_go(fanout: Fanout, store: CountingStore) -> None:
    first, second = Viewer(), Viewer()
    await watch(fanout, first, "a", "b")
    await watch(fanout, second, "b")

    for job_id in ("a", "b", "b"):
        fanout.unwatch(first.mailbox, job_id)
    fanout.leave(first)
    assert (fanout.job_count, fanout.metrics._present().subscriptions) == (1, 1)
    fanout.unwatch(second.mailbox, "b")
    fanout.leave(second)
    fanout.leave(second)

    assert fanout.metrics._present()[:3] == (0, 0, 0)
    await store.publish(state("b"))
    assert second.seen == []


async def test_a_viewer_that_goes_while_a_job_is_opened_leaves_nothing(fanout: Fanout, store: CountingStore) -> None:
    store.readable.clear()
    opening = asyncio.create_task(watch(fanout, Viewer(), "a"))
    await store.reading.wait()

    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)

    assert fanout.job_count == 0
    store.readable.set()


async def test_a_job_that_is_let_go_while_another_cannot_be_subscribed_to_leaves_nothing(
    redis_server: RedisServer, namespace: str
) -> None:
    async with ChaosProxy(redis_server.port) as proxy:
        proxy.black_hole()
        store = RedisStore(Settings(url=f"redis://127.0.0.1:{proxy.port}", namespace=namespace, deadline_s=0.2))
        fanout = Fanout(store)
        for turns in range(6):  # in one of them the job is let go before its turn to be subscribed to has come
            gone, stays = (asyncio.create_task(fanout.open(job_ids)) for job_ids in (["a", "b"], ["a"]))
            for _ in range(turns):
                await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, stays, return_exceptions=True)
            fanout.release(["a"])

            assert store._push._wanted == {}, turns
        await fanout.close()
        await store.close()


async def test_a_gap_is_filled_by_reading_again(fanout: Fanout, store: CountingStore) -> None:
    viewer = Viewer()
    await watch(fanout, viewer, "a")
    store._subscriptions.clear()  # as if pushes were lost on the way
    receipt = await store.publish(state("a", "completed"))
    assert viewer.seen == []

    fanout.gap(["a"])
    await viewer.until(lambda viewer: viewer.seen)

    assert viewer.seen[0]["seq"] == receipt.seq


async def test_a_gap_while_one_is_filled_is_filled_by_another_read(fanout: Fanout, store: CountingStore) -> None:
    await store.publish(state(n=1))
    viewer = Viewer()
    await watch(fanout, viewer, "a")
    store._subscriptions.clear()  # as if pushes were lost on the way
    store.reading.clear()
    store.readable.clear()
    fanout.gap(["a"])
    await store.reading.wait()

    receipt = await store.publish(state("a", "completed"))
    fanout.gap(["a"])
    store.readable.set()

    await viewer.until(lambda viewer: viewer.seen[-1]["seq"] == receipt.seq)


async def test_a_push_without_seq_while_a_gap_is_filled_is_not_taken_back(
    redis_server: RedisServer, namespace: str
) -> None:
    store = HeldReads(Settings(url=redis_server.url, namespace=namespace))
    fanout, viewer = Fanout(store), Viewer()
    async with Redis.from_url(redis_server.url) as other:

        async def report(status: str) -> None:
            text = f'{{"job_id":"a","status":"{status}"}}'
            await other.set(f"{namespace}:job_status:a", text)
            await other.publish(f"{namespace}:job_progress:a", text)

        await watch(fanout, viewer, "a")
        await report("processing")
        await viewer.until(lambda viewer: viewer.seen)
        store.readable.clear()
        fanout.gap(["a"])
        await store.reading.wait()

        await report("completed")
        await viewer.until(lambda viewer: viewer.seen[-1]["status"] == "completed")
        store.readable.set()

        async def read() -> bool:
            return fanout._refresher is None

        await eventually(read)
    await fanout.close()
    await store.close()
    assert [message["status"] for message in viewer.seen] == ["processing", "completed"]


async def test_a_job_that_is_pushed_all_the_time_without_seq_is_shown() -> None:
    class Busy(CountingStore):
        async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
            found = await super().read(job_ids)
            await asyncio.sleep(0)
            text = b'{"job_id":"a","status":"processing","n":%d}' % len(self.reads)
            fanout.pushed(Stored("a", text, None, Status.PROCESSING))
            return found

    store, viewer = Busy(), Viewer()
    fanout = Fanout(store)
    async with asyncio.timeout(30):
        await watch(fanout, viewer, "a")

    assert viewer.numbers == [len(store.reads)]
    await fanout.close()
    await store.close()


async def test_viewers_learn_that_the_store_is_away_and_are_right_when_it_is_back(
    fanout: Fanout, store: CountingStore
) -> None:
    early, late = Viewer(), Viewer()
    await watch(fanout, early, "a")
    store.set_away(True)
    await watch(fanout, late, "b")
    assert (early.health, late.health) == ([False], [False])

    receipt = await store.publish(state("b"))
    late.writes.clear()
    store._subscriptions.clear()
    store.set_away(False)
    fanout.gap(["a", "b"])

    await late.until(lambda viewer: viewer.health == [False, True])
    assert early.health == [False, True]
    assert fanout._topics["b"].latest is not None
    assert fanout._topics["b"].latest.seq == receipt.seq


async def test_many_jobs_are_read_at_once(fanout: Fanout, store: CountingStore) -> None:
    job_ids = [f"job-{number}" for number in range(100)]
    for job_id in job_ids:
        await store.publish(state(job_id))
    viewer = Viewer()

    await watch(fanout, viewer, *job_ids)

    assert store.reads == [job_ids]
    assert {message["job_id"] for message in viewer.seen} == set(job_ids)


async def test_another_pace_shows_the_state_again_and_counts_no_second_time(
    fanout: Fanout, store: CountingStore
) -> None:
    await store.publish(state(n=1))
    viewer = Viewer()
    await watch(fanout, viewer, "a")

    fanout.watch(viewer.mailbox, "a", 60.0, instead_of_s=0.0)
    for step in range(2, 10):
        await store.publish(state(n=step))

    assert viewer.numbers == [1, 1, 2]
    assert fanout.metrics._present().subscriptions == 1
    fanout.unwatch(viewer.mailbox, "a", 60.0)
    assert (fanout.job_count, fanout.metrics._present().subscriptions) == (0, 0)


async def test_there_is_more_to_come_of_a_job_that_another_program_reports_beyond_our_limits(fanout: Fanout) -> None:
    await fanout.open(["a"])
    metadata = b'{"x":' * 17 + b"1" + b"}" * 17
    data = b'{"job_id":"a","status":"processing","stage":"","progress":0,"message":"","timestamp":"","metadata":%b}'

    fanout.pushed(Stored("a", data % metadata, None, Status.PROCESSING))

    assert fanout.expects("a")


async def test_a_job_that_was_opened_for_nobody_is_released(fanout: Fanout, store: CountingStore) -> None:
    await fanout.open(["a"])
    assert fanout.job_count == 1

    fanout.release(["a"])

    assert fanout.job_count == 0
    assert store._subscriptions == {}
