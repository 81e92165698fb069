"""One test body over every store. A new kind of store is one more entry of ``STORES``."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jupyter_jobprogress.errors import (
    HistoryTooLargeError,
    InvalidJobIdError,
    InvalidProgressError,
    NestingTooDeepError,
    StateTooLargeError,
    StoreClosedError,
    TooManyMetricsError,
)
from jupyter_jobprogress.protocol.messages import Outcome, Stored, decode_state
from jupyter_jobprogress.protocol.state import History, State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Listener, Store
from jupyter_jobprogress.store.embedded import EmbeddedStore
from jupyter_jobprogress.store.portions import PORTION_BYTES
from jupyter_jobprogress.store.redis import RedisStore
from jupyter_jobprogress.store.remote import RemoteStore
from tests.support.jobs import Collector, eventually, make_state
from tests.support.remote_server import remote_server

OpenStore = Callable[..., AbstractAsyncContextManager[Store]]

HISTORY = History(t_s=[0.0, 1.0], progress=[0.0, 0.5], metrics={"loss": [None, 0.25]})
LONG = History(t_s=[1 / 3] * 128, progress=[1 / 3] * 128, metrics={f"m{number}": [1 / 3] * 128 for number in range(4)})
"""Close to its limit of 16 KiB."""


@asynccontextmanager
async def embedded_in_memory(request: pytest.FixtureRequest, **settings: Any) -> AsyncIterator[Store]:
    store = EmbeddedStore(Settings(**settings))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def embedded_in_file(request: pytest.FixtureRequest, **settings: Any) -> AsyncIterator[Store]:
    directory: Path = request.getfixturevalue("tmp_path")
    store = EmbeddedStore(Settings(database=str(directory / "jobs.sqlite"), **settings))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def redis(
    request: pytest.FixtureRequest, *, server: str = "redis_server", **settings: Any
) -> AsyncIterator[Store]:
    """``server`` is the name of the fixture whose URL is opened."""
    url, namespace = request.getfixturevalue(server).url, request.getfixturevalue("namespace")
    store = RedisStore(Settings(url=url, namespace=namespace, **settings))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def remote(request: pytest.FixtureRequest, **settings: Any) -> AsyncIterator[Store]:
    async with remote_server(Settings(**settings)) as server:
        store = RemoteStore(Settings(url=server.url, **settings))
        try:
            yield store
        finally:
            await store.close()


STORES: dict[str, Callable[..., AbstractAsyncContextManager[Store]]] = {
    "embedded-memory": embedded_in_memory,
    "embedded-file": embedded_in_file,
    "redis": redis,
    "redis-cluster": partial(redis, server="cluster"),
    "redis-sentinel": partial(redis, server="sentinels"),
    "remote": remote,
}


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Open a store of each kind, with settings of the test's choice."""
    return partial(STORES[request.param], request)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store() as store:
        yield store


async def read_one(store: Store, job_id: str = "job-1") -> State | None:
    found = await store.read([job_id])
    return decode_state(found[job_id].data) if found else None


async def all_pages(store: Store, **filters: Any) -> list[str]:
    """Return the ids that a listing gives, page by page, and check that it ends."""
    job_ids: list[str] = []
    after = None
    for _ in range(100):
        page = await store.list(after=after, **filters)
        job_ids += [stored.job_id for stored in page.jobs]
        if page.next is None:
            return job_ids
        after = page.next
    raise AssertionError("the listing does not end")


async def test_read_gives_the_very_bytes_that_were_pushed(store: Store) -> None:
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    state = make_state(message='naïve "quotes" \u2028 \U0001f600', metadata={"a": [1, {"b": None}]}, history=HISTORY)
    receipt = await store.publish(state, start=True)
    await collector.until(lambda: bool(collector.pushes))

    found = await store.read(["job-1"])
    assert found == {"job-1": collector.pushes[0]}
    assert found["job-1"] == Stored("job-1", found["job-1"].data, receipt.seq, Status.PROCESSING)
    assert decode_state(found["job-1"].data) == msgspec.structs.replace(state, seq=receipt.seq, run=receipt.run)


async def test_read_leaves_out_what_is_not_known_and_takes_repeated_ids(store: Store) -> None:
    await store.publish(make_state("job-1"))

    assert list(await store.read(["nobody", "job-1", "job-1"])) == ["job-1"]
    assert await store.read([]) == {}


async def test_seq_increases_strictly_for_each_update_of_a_job(store: Store) -> None:
    receipts = [await store.publish(make_state()) for _ in range(50)]
    receipts += await asyncio.gather(*[store.publish(make_state()) for _ in range(50)])

    sequence = [receipt.seq for receipt in receipts]
    assert len(set(sequence)) == 100
    assert sequence[:50] == sorted(sequence[:50])
    assert min(sequence[50:]) > sequence[49]


async def test_seq_is_the_time_of_the_store(store: Store) -> None:
    receipt = await store.publish(make_state())

    assert abs(store.now_us() - receipt.seq) < 2_000_000


async def test_two_jobs_that_share_a_prefix_are_two_jobs(store: Store) -> None:
    await store.publish(make_state("job:1", message="first"))
    await store.publish(make_state("job:1:2", message="second"))

    assert decode_state((await store.read(["job:1"]))["job:1"].data).message == "first"


async def test_a_start_gives_a_run_and_a_later_start_supersedes_it(store: Store) -> None:
    first = await store.publish(make_state(message="first"), start=True)
    second = await store.publish(make_state(message="second", run=first.run), start=True)
    late = await store.publish(make_state(message="late", run=first.run))

    assert first.run == first.seq
    assert second.run == second.seq > first.seq
    assert (late.outcome, late.seq, late.run) == (Outcome.SUPERSEDED, second.seq, second.run)
    state = await read_one(store)
    assert state is not None
    assert (state.message, state.run) == ("second", second.run)


async def test_what_is_not_accepted_is_not_pushed(store: Store) -> None:
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    old = await store.publish(make_state(), start=True)
    new = await store.publish(make_state(), start=True)
    await store.publish(make_state(run=old.run))
    await store.publish(make_state("job-1", "completed", run=new.run))
    await store.publish(make_state(run=new.run))
    last = await store.publish(make_state(message="marker"))

    await collector.until(lambda: bool(collector.pushes) and collector.pushes[-1].seq == last.seq)
    assert [stored.status for stored in collector.pushes] == ["processing", "processing", "completed", "processing"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_after_a_terminal_state_the_run_is_over_and_a_start_begins_the_job_again(
    store: Store, status: str
) -> None:
    first = await store.publish(make_state(), start=True)
    end = await store.publish(make_state(status=status, run=first.run))
    late = await store.publish(make_state(run=first.run))
    assert end.outcome is Outcome.ACCEPTED
    assert (late.outcome, late.seq) == (Outcome.ENDED, end.seq)
    assert (await store.read(["job-1"]))["job-1"].status == status

    again = await store.publish(make_state(), start=True)
    more = await store.publish(make_state(run=again.run))

    assert again.outcome is more.outcome is Outcome.ACCEPTED
    assert (await store.read(["job-1"]))["job-1"].status == "processing"


async def test_a_run_may_begin_with_its_terminal_state(store: Store) -> None:
    receipt = await store.publish(make_state(status="completed"), start=True)

    late = await store.publish(make_state(run=receipt.run))

    assert late.outcome is Outcome.ENDED


async def test_a_state_without_run_is_taken_as_it_comes_and_leaves_the_fence_alone(store: Store) -> None:
    plain = await store.publish(make_state())
    assert (plain.outcome, plain.run) == (Outcome.ACCEPTED, None)

    old = await store.publish(make_state(), start=True)
    new = await store.publish(make_state(), start=True)
    await store.publish(make_state(status="completed", run=new.run))
    foreign = await store.publish(make_state(message="foreign"))
    superseded = await store.publish(make_state(run=old.run))
    ended = await store.publish(make_state(run=new.run))

    assert foreign.outcome is Outcome.ACCEPTED
    state = await read_one(store)
    assert state is not None
    assert (state.message, state.run) == ("foreign", None)
    assert superseded.outcome is Outcome.SUPERSEDED
    assert ended.outcome is Outcome.ENDED


async def test_a_store_that_forgot_a_job_takes_its_run_up_again(store: Store) -> None:
    receipt = await store.publish(make_state(), start=True)
    await store.delete("job-1")

    again = await store.publish(make_state(run=receipt.run))

    assert (again.outcome, again.run) == (Outcome.ACCEPTED, receipt.run)
    assert again.seq > receipt.seq


@pytest.mark.parametrize("seed", range(8))
async def test_no_interleaving_shows_an_older_run_after_a_newer_one(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    async def report() -> None:
        receipt = await store.publish(make_state(), start=True)
        for _ in range(dice.randrange(1, 12)):
            await asyncio.sleep(dice.random() * 0.003)
            status = dice.choice(["processing", "processing", "completed", "failed"])
            await store.publish(make_state(status=status, run=receipt.run))

    async def later() -> None:
        await asyncio.sleep(dice.random() * 0.02)
        await report()

    await asyncio.gather(report(), later(), later())
    marker = await store.publish(make_state(message="marker"))
    await collector.until(lambda: marker.seq in [stored.seq for stored in collector.pushes])

    shown = shown_by_a_viewer(collector.pushes)
    runs = [state.run for state in shown if state.run is not None]
    assert runs == sorted(runs)
    for state, following in itertools.pairwise(shown):
        assert not state.status.terminal or state.run != following.run
    assert shown[-1].message == "marker"


def shown_by_a_viewer(pushes: list[Stored]) -> list[State]:
    """Keep rule 17: drop what is not newer by ``seq``."""
    shown: list[State] = []
    for stored in pushes:
        if not shown or (stored.seq or 0) > (shown[-1].seq or 0):
            shown.append(decode_state(stored.data))
    return shown


async def test_a_cancel_request_is_in_each_receipt_until_a_new_run_starts(store: Store) -> None:
    receipt = await store.publish(make_state(), start=True)
    assert not receipt.cancel_requested

    assert await store.request_cancel("job-1")
    receipts = [await store.publish(make_state(run=receipt.run)) for _ in range(2)]
    assert [receipt.cancel_requested for receipt in receipts] == [True, True]
    state = await read_one(store)
    assert state is not None
    assert state.status is Status.PROCESSING

    again = await store.publish(make_state(), start=True)
    more = await store.publish(make_state(run=again.run))
    assert not again.cancel_requested
    assert not more.cancel_requested


async def test_a_job_without_run_can_be_cancelled(store: Store) -> None:
    await store.publish(make_state())

    assert await store.request_cancel("job-1")

    assert (await store.publish(make_state())).cancel_requested


async def test_what_is_unknown_or_over_cannot_be_cancelled(store: Store) -> None:
    receipt = await store.publish(make_state(), start=True)
    await store.publish(make_state(status="completed", run=receipt.run))

    assert not await store.request_cancel("job-1")
    assert not await store.request_cancel("nobody")


async def test_a_live_state_expires_and_a_terminal_one_stays_longer(open_store: OpenStore) -> None:
    async with open_store(ttl_s=0.3, terminal_ttl_s=60) as store:
        await store.publish(make_state("live", history=HISTORY))
        await store.publish(make_state("over", "completed"))

        async def live_is_gone() -> bool:
            return list(await store.read(["live", "over"])) == ["over"]

        await eventually(live_is_gone)
        assert await all_pages(store) == ["over"]
        assert not await store.request_cancel("live")


async def test_every_update_renews_the_life_of_a_state_and_of_its_history(open_store: OpenStore) -> None:
    async with open_store(ttl_s=0.5) as store:
        await store.publish(make_state(history=HISTORY))

        for _ in range(8):
            await asyncio.sleep(0.12)  # together twice the life of a state that nobody renews
            await store.publish(make_state())
            state = await read_one(store)
            assert state is not None
            assert state.history == HISTORY


async def test_history_stays_beside_the_state_and_is_pushed_only_with_the_update_that_brings_it(store: Store) -> None:
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    receipt = await store.publish(make_state(history=HISTORY), start=True)
    await store.publish(make_state(message="next", run=receipt.run))
    await collector.until(lambda: len(collector.pushes) == 2)

    assert [decode_state(stored.data).history for stored in collector.pushes] == [HISTORY, None]
    state = await read_one(store)
    assert state is not None
    assert (state.message, state.history) == ("next", HISTORY)


async def test_a_new_run_starts_without_the_history_of_the_last(store: Store) -> None:
    await store.publish(make_state(history=HISTORY), start=True)

    await store.publish(make_state(), start=True)

    state = await read_one(store)
    assert state is not None
    assert state.history is None


async def test_list_gives_the_newest_first_and_pages_to_the_end(store: Store) -> None:
    for number in range(7):
        await store.publish(make_state(f"job-{number}"))
    # In a Cluster a start moves a job to the front at once, and an update within ten seconds.
    await store.publish(make_state("job-2"), start="+cluster" in store.label)

    first = await store.list(limit=3)
    assert [stored.job_id for stored in first.jobs] == ["job-2", "job-6", "job-5"]
    assert await store.read(["job-2"]) == {"job-2": first.jobs[0]}
    second = await store.list(limit=3, after=first.next)
    assert [stored.job_id for stored in second.jobs] == ["job-4", "job-3", "job-1"]

    assert await all_pages(store, limit=3) == [f"job-{number}" for number in (2, 6, 5, 4, 3, 1, 0)]
    assert len(await all_pages(store, limit=7)) == 7


async def test_list_of_nothing_is_an_empty_last_page(store: Store) -> None:
    page = await store.list()

    assert page == ([], None)


async def test_large_states_are_read_together_and_listed_in_small_pages(store: Store) -> None:
    job_ids = [f"job-{number:02}" for number in range(64)]
    for number, job_id in enumerate(job_ids):
        large = {"x": "y" * (0 if number % 8 == 0 else 60_000)}
        await store.publish(make_state(job_id, metadata=large, history=LONG), start=True)

    after, listed = None, list[Stored]()
    while True:
        page = await store.list(limit=1000, after=after)
        sizes = [len(stored.data) for stored in page.jobs]
        assert sum(sizes[:-1]) < PORTION_BYTES
        listed += page.jobs
        if (after := page.next) is None:
            break

    assert [stored.job_id for stored in listed] == job_ids[::-1]
    found = await store.read(job_ids)
    assert found == {stored.job_id: stored for stored in listed}
    assert sum(len(stored.data) for stored in found.values()) > 4 * 1024 * 1024
    left, portions = ["nobody", *job_ids], list[Stored]()
    while left:
        states, left = await store.read_portion(left)
        assert sum(len(stored.data) for stored in states[:-1]) < PORTION_BYTES
        portions += states
    assert portions == [found[job_id] for job_id in job_ids]


async def test_list_filters_by_status_and_by_parent(store: Store) -> None:
    for number in range(12):
        status = "completed" if number % 3 == 0 else "processing"
        await store.publish(make_state(f"job-{number:02}", status, parent_id="whole" if number % 2 else None))

    assert await all_pages(store, status=Status.COMPLETED, limit=2) == ["job-09", "job-06", "job-03", "job-00"]
    assert await all_pages(store, parent_id="whole", limit=2) == [f"job-{number:02}" for number in (11, 9, 7, 5, 3, 1)]
    assert await all_pages(store, parent_id="whole", status=Status.COMPLETED) == ["job-09", "job-03"]
    assert await all_pages(store, parent_id="nobody") == []


async def test_a_deleted_job_is_neither_read_nor_listed(store: Store) -> None:
    await store.publish(make_state(history=HISTORY), start=True)

    assert await store.delete("job-1")

    assert await store.read(["job-1"]) == {}
    assert await all_pages(store) == []
    assert not await store.delete("job-1")
    assert not await store.delete("nobody")


@pytest.mark.parametrize("job_id", ["", "a/b", "-a", "a\n", "a" * 201, "*", "ä"])
async def test_an_invalid_id_is_refused_everywhere(store: Store, job_id: str) -> None:
    for call in (
        store.publish(make_state(job_id)),
        store.read(["job-1", job_id]),
        store.request_cancel(job_id),
        store.delete(job_id),
        store.subscribe(Collector()).add(job_id),
    ):
        with pytest.raises(InvalidJobIdError):
            await call


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"metadata": {"text": "x" * 70_000}}, StateTooLargeError),
        ({"history": History(metrics={"x" * 20_000: []})}, HistoryTooLargeError),
        ({"progress": float("nan")}, InvalidProgressError),
        ({"metrics": {f"m{number}": 0.0 for number in range(33)}}, TooManyMetricsError),
        ({"result": json.loads("[" * 20 + "]" * 20)}, NestingTooDeepError),
        ({"parent_id": "no/id"}, InvalidJobIdError),
    ],
)
async def test_a_state_beyond_a_limit_raises_its_own_error_and_stores_nothing(
    store: Store, fields: dict[str, Any], error: type[Exception]
) -> None:
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    with pytest.raises(error):
        await store.publish(make_state(**fields), start=True)

    marker = await store.publish(make_state())
    await collector.until(lambda: bool(collector.pushes))
    assert [stored.seq for stored in collector.pushes] == [marker.seq]
    assert marker.run is None


async def test_the_largest_state_and_history_fit_together(store: Store) -> None:
    state = make_state(metadata={"text": "x" * 65_000}, history=History(metrics={"x" * 16_000: []}))

    await store.publish(state)

    found = await read_one(store)
    assert found is not None
    assert (found.metadata, found.history) == (state.metadata, state.history)


async def test_a_publish_right_after_add_always_arrives(store: Store) -> None:
    collector = Collector()
    subscription = store.subscribe(collector)

    for number in range(200):
        await subscription.add(f"job-{number}")
        await store.publish(make_state(f"job-{number}"))

    await collector.until(lambda: len(collector.pushes) == 200)
    # Jobs among each other have no order: the nodes of a Cluster do not wait for each other.
    assert sorted(stored.job_id for stored in collector.pushes) == sorted(f"job-{number}" for number in range(200))
    assert collector.gaps == []


async def test_a_publish_right_after_add_arrives_however_often_the_job_was_discarded(store: Store) -> None:
    collector = Collector()
    subscription = store.subscribe(collector)

    for number in range(100):
        if number % 3 == 0:
            waiting = asyncio.create_task(subscription.add("job-1"))
            await asyncio.sleep(0)
            subscription.discard("job-1")
            await waiting
        await subscription.add("job-1")
        receipt = await store.publish(make_state())
        await collector.until(lambda seq=receipt.seq: bool(collector.pushes) and collector.pushes[-1].seq == seq)
        subscription.discard("job-1")


async def test_discard_stops_the_pushes_of_one_job(store: Store) -> None:
    collector = Collector()
    subscription = store.subscribe(collector)
    await subscription.add("job-1")
    await subscription.add("job-2")

    subscription.discard("job-1")
    subscription.discard("job-1")
    subscription.discard("never-wanted")
    await subscription.add("job-3")
    for job_id in ("job-1", "job-2", "job-3"):
        await store.publish(make_state(job_id))

    await collector.until(lambda: bool(collector.of("job-3")))
    assert [stored.job_id for stored in collector.pushes] == ["job-2", "job-3"]


async def test_every_listener_of_a_job_is_told_and_one_that_leaves_takes_nothing_from_the_others(store: Store) -> None:
    collectors = [Collector(), Collector()]
    subscriptions = [store.subscribe(collector) for collector in collectors]
    for subscription in subscriptions:
        await subscription.add("job-1")

    await store.publish(make_state())
    for collector in collectors:
        await collector.until(lambda collector=collector: len(collector.pushes) == 1)
    await subscriptions[0].close()
    await subscriptions[0].close()
    await store.publish(make_state())

    await collectors[1].until(lambda: len(collectors[1].pushes) == 2)
    assert len(collectors[0].pushes) == 1


async def test_a_listener_that_raises_hurts_neither_publishers_nor_other_listeners(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Collector):
        def pushed(self, stored: Stored) -> None:
            raise LookupError("broken listener")

    listeners: list[Listener] = [Broken(), collector := Collector()]
    for listener in listeners:
        await store.subscribe(listener).add("job-1")

    with caplog.at_level(logging.ERROR):
        receipts = [await store.publish(make_state()) for _ in range(3)]
        await collector.until(lambda: len(collector.pushes) == 3)

    assert [stored.seq for stored in collector.pushes] == [receipt.seq for receipt in receipts]
    assert "broken listener" in caplog.text


async def test_an_open_store_is_up_and_names_itself_without_secrets(open_store: OpenStore) -> None:
    async with open_store(token="canary-secret") as store:
        await store.publish(make_state())

        assert store.health.up
        assert store.label
        assert "canary" not in store.label + repr(store)


async def test_a_closed_store_says_so_and_closing_again_does_nothing(store: Store) -> None:
    subscription = store.subscribe(Collector())
    await subscription.add("job-1")
    await store.publish(make_state())

    await store.close()
    await store.close()

    for call in (
        store.publish(make_state()),
        store.read(["job-1"]),
        store.list(),
        store.request_cancel("job-1"),
        store.delete("job-1"),
        subscription.add("job-2"),
    ):
        with pytest.raises(StoreClosedError):
            await call
    with pytest.raises(StoreClosedError):
        store.subscribe(Collector())
    assert not store.health.up
    subscription.discard("job-1")
    await subscription.close()


async def test_a_store_that_was_never_used_closes(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert store.now_us() > 0
