"""What is Redis' own: its names, its faults, and the push connection."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from jupyter_jobprogress.errors import SettingsError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Contribution, Outcome, decode_state
from jupyter_jobprogress.protocol.state import History, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.chaos import ChaosProxy
from tests.support.jobs import Collector, eventually, make_state
from tests.support.redis_server import RedisServer, free_port

HASTY: dict[str, Any] = {"deadline_s": 0.2, "probe_idle_s": 0.5, "probe_deadline_s": 0.4}
"""The defaults, ten times as fast."""

SLACK_S = 0.4
"""What a busy machine may add to a deadline."""

NEEDED_COMMANDS = (
    "+ping +auth +hello +select +eval +evalsha +time +publish +subscribe +unsubscribe +get +mget +set +del +exists "
    "+pexpire +pttl +hget +hmget +hset +hdel +hincrby +zadd +zcard +zrem +zrangebyscore +zrevrangebyscore "
    "+zremrangebyscore"
)


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(Settings(url=url, **settings))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def raw_client(server: RedisServer) -> AsyncIterator[Redis]:
    client = Redis(host="127.0.0.1", port=server.port, protocol=2)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def raw(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with raw_client(redis_server) as client:
        yield client


@pytest.fixture
async def own_raw(own_redis: RedisServer) -> AsyncIterator[Redis]:
    async with raw_client(own_redis) as client:
        yield client


@pytest.fixture
async def store(redis_server: RedisServer, namespace: str) -> AsyncIterator[RedisStore]:
    async with opened(redis_server.url, namespace=namespace) as store:
        yield store


class HealthLog:
    """Remembers what a store says of its health, and how many jobs a listener had been told to read again by then."""

    def __init__(self, store: RedisStore, collector: Collector | None = None) -> None:
        self.seen: list[Health] = []
        self.gapped: list[int] = []
        self._collector = collector or Collector()
        self._store = store
        self._news = asyncio.Event()
        store.on_health = self._changed

    def _changed(self, health: Health) -> None:
        self.seen.append(health)
        self.gapped.append(len(self._collector.gapped))
        self._news.set()

    async def until(self, *, up: bool, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while self._store.health.up is not up:
                self._news.clear()
                await self._news.wait()


async def channels(client: Redis) -> set[bytes]:
    """Return the channels that are subscribed to, probes apart."""
    return {channel for channel in await client.pubsub_channels() if b":probe:" not in channel}


async def test_names_types_and_lifetimes_are_those_of_the_protocol(own_redis: RedisServer, own_raw: Redis) -> None:
    async with opened(own_redis.url, ttl_s=100, terminal_ttl_s=1000) as store:
        history = History(t_s=[0.0], progress=[0.5])
        receipt = await store.publish(make_state(history=history), start=True)

        assert set(await own_raw.keys()) == {
            b"job_status:job-1",
            b"jobprogress:meta:job-1",
            b"jobprogress:history:job-1",
            b"jobprogress:index",
        }
        state = json.loads(await own_raw.get("job_status:job-1"))
        assert (state["seq"], state["run"]) == (receipt.seq, receipt.run)
        assert "history" not in state
        assert json.loads(await own_raw.get("jobprogress:history:job-1")) == {"t_s": [0.0], "progress": [0.5]}
        assert await own_raw.zrange("jobprogress:index", 0, -1, withscores=True) == [(b"job-1", receipt.seq)]
        keys = ("job_status:job-1", "jobprogress:meta:job-1", "jobprogress:history:job-1")
        assert all([99_000 < await own_raw.pttl(key) <= 100_000 for key in keys])

        await store.publish(make_state(status="completed", run=receipt.run))

        assert all([999_000 < await own_raw.pttl(key) <= 1_000_000 for key in keys])
        assert await own_raw.hgetall("jobprogress:meta:job-1") == {
            b"seq": b"%d" % (await store.read(["job-1"]))["job-1"].seq,
            b"run": b"%d" % receipt.run,
            b"ended": b"%d" % receipt.run,
        }


async def test_seq_and_run_increase_though_the_clock_of_redis_was_set_back(
    store: RedisStore, raw: Redis, namespace: str
) -> None:
    first = await store.publish(make_state(), start=True)
    ahead = first.seq + 3_600_000_000
    await raw.hset(f"{namespace}:jobprogress:meta:job-1", "seq", ahead)

    receipts = [await store.publish(make_state(run=first.run)) for _ in range(3)]
    again = await store.publish(make_state(), start=True)

    assert [receipt.seq for receipt in receipts] == [ahead + 1, ahead + 2, ahead + 3]
    assert again.run == again.seq == ahead + 4
    assert abs(store.now_us() - first.seq) < 5_000_000


async def test_now_is_the_clock_of_redis_not_the_local_one(redis_server: RedisServer, namespace: str) -> None:
    day_s = 86_400
    store = RedisStore(Settings(url=redis_server.url, namespace=namespace), wall=lambda: time.time() - day_s)
    try:
        assert abs(store.now_us() / 1e6 - time.time() + day_s) < 5

        await store.read(["job-1"])

        assert abs(store.now_us() / 1e6 - time.time()) < 5
    finally:
        await store.close()


async def test_what_workers_say_again_counts_once_where_their_parts_were_evicted(
    store: RedisStore, raw: Redis, namespace: str
) -> None:
    run = (await store.publish(make_state("evicted"), start=True)).run
    for part in ("a", "b"):
        await store.add("evicted", part=part, contribution=Contribution(n=5), run=run)

    assert await raw.delete(f"{namespace}:jobprogress:parts:evicted") == 1

    for part in ("a", "b"):
        receipt = await store.add("evicted", part=part, contribution=Contribution(n=6), run=run)
    assert receipt.added == 12


async def test_publishing_survives_a_script_flush_each_time(store: RedisStore, raw: Redis) -> None:
    for number in range(50):
        await raw.script_flush()
        receipt = await store.publish(make_state(message=str(number)))
        assert receipt.outcome is Outcome.ACCEPTED
    await raw.script_flush()
    assert await store.request_cancel("job-1")

    assert decode_state((await store.read(["job-1"]))["job-1"].data).message == "49"


async def test_list_takes_what_expired_out_of_the_index(redis_server: RedisServer, raw: Redis, namespace: str) -> None:
    async with opened(redis_server.url, namespace=namespace, ttl_s=0.05) as store:
        for number in range(5):
            await store.publish(make_state(f"job-{number}"))
        await store.publish(make_state("over", "completed"))

        async def only_one_is_left() -> bool:
            return [stored.job_id for stored in (await store.list()).jobs] == ["over"]

        await eventually(only_one_is_left)
        assert await raw.zrange(f"{namespace}:jobprogress:index", 0, -1) == [b"over"]


async def test_an_index_that_nobody_lists_does_not_grow_for_ever(
    redis_server: RedisServer, raw: Redis, namespace: str
) -> None:
    async with opened(redis_server.url, namespace=namespace, ttl_s=0.05, terminal_ttl_s=0.05) as store:
        for number in range(40):
            await store.publish(make_state(f"old-{number}"))
        await asyncio.sleep(0.1)  # the life of these states
        for number in range(3):
            await store.publish(make_state(f"new-{number}"))

        assert await raw.zcard(f"{namespace}:jobprogress:index") == 3


async def test_a_filtered_list_looks_at_a_bounded_number_of_jobs_a_call(store: RedisStore) -> None:
    await store.publish(make_state("oldest", "completed"))
    await asyncio.gather(*[store.publish(make_state(f"job-{number}")) for number in range(300)])

    first = await store.list(status=Status.COMPLETED, limit=10)
    second = await store.list(status=Status.COMPLETED, limit=10, after=first.next)

    assert first.jobs == []
    assert first.next is not None
    assert [stored.job_id for stored in second.jobs] == ["oldest"]
    assert second.next is None


@pytest.mark.parametrize(
    ("message", "status", "changed"),
    [
        ('{"job_id":"job-1","status":"processing","progress":0.5}', "processing", {}),
        ('{"job_id":"job-1","status":"processing","progress":NaN}', "processing", {"progress": None}),
        ('{"progress":0.25}', "processing", {"status": "processing", "job_id": "job-1"}),
        ('{"job_id":"another","error":"no"}', "failed", {"status": "failed", "job_id": "job-1"}),
    ],
)
async def test_the_original_form_is_pushed_and_read_like_every_other(
    store: RedisStore, raw: Redis, namespace: str, message: str, status: str, changed: dict[str, Any]
) -> None:
    collector = Collector()
    await store.subscribe(collector).add("job-1")

    await raw.set(f"{namespace}:job_status:job-1", message)
    await raw.publish(f"{namespace}:job_progress:job-1", message)
    await collector.until(lambda: bool(collector.pushes))

    stored = collector.pushes[0]
    assert await store.read(["job-1"]) == {"job-1": stored}
    assert (stored.seq, stored.status) == (None, status)
    expected = {key: value for key, value in json.loads(message).items() if value == value} | changed
    assert json.loads(stored.data) == expected


async def test_another_programs_state_does_not_inherit_the_history_of_a_run(
    store: RedisStore, raw: Redis, namespace: str
) -> None:
    await store.publish(make_state(history=History(t_s=[0.0], progress=[0.5])), start=True)

    await raw.set(f"{namespace}:job_status:job-1", '{"job_id":"job-1","status":"processing"}')

    assert json.loads((await store.read(["job-1"]))["job-1"].data) == {"job_id": "job-1", "status": "processing"}


async def test_a_job_of_the_original_form_can_be_cancelled_for_as_long_as_it_lives(
    store: RedisStore, raw: Redis, namespace: str
) -> None:
    await raw.set(f"{namespace}:job_status:job-1", '{"status":"processing"}', ex=100)

    assert await store.request_cancel("job-1")

    assert 0 < await raw.ttl(f"{namespace}:jobprogress:meta:job-1") <= 100
    assert (await store.publish(make_state())).cancel_requested


async def test_a_message_that_cannot_be_read_is_logged_once_and_delays_no_other(
    store: RedisStore, raw: Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector()
    subscription = store.subscribe(collector)
    for job_id in ("bad", "good"):
        await subscription.add(job_id)

    for poison in (b"not json", b"[1]", b'{"status":"dancing"}', b"\xff\xfe", b"x" * 200_000):
        await raw.set(f"{namespace}:job_status:bad", poison)
        await raw.publish(f"{namespace}:job_progress:bad", poison)
        assert await store.read(["bad"]) == {}
    await store.publish(make_state("good"))

    await collector.until(lambda: bool(collector.pushes))
    assert [stored.job_id for stored in collector.pushes] == ["good"]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_subscriptions_come_back_with_a_gap_after_redis_was_killed_and_lost_everything(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    job_ids = [f"job-{number}" for number in range(600)]
    async with opened(own_redis.url) as store:
        collector = Collector()
        health = HealthLog(store, collector)
        subscription = store.subscribe(collector)
        await asyncio.gather(*[subscription.add(job_id) for job_id in job_ids])
        receipt = await store.publish(make_state("job-7"), start=True)

        own_redis.kill()
        await health.until(up=False, within_s=2)
        own_redis.start()
        restarted_at = time.monotonic()
        await collector.until(lambda: collector.gapped == set(job_ids), within_s=7)
        await health.until(up=True, within_s=1)
        # The longest backoff is 5 s, and that needs six failures.
        assert time.monotonic() - restarted_at < 4
        again = await store.publish(make_state("job-7", run=receipt.run))

        await collector.until(lambda: collector.pushes[-1].seq == again.seq)
        assert again.run == receipt.run
        assert len(collector.gaps) < 10
        # Who is told that the store is up has been told before what to read again.
        assert [seen.up for seen in health.seen] == [False, True]
        assert health.gapped == [0, len(job_ids)]
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_what_redis_holds_equals_what_is_wanted_after_thirty_kills_under_churn(
    own_redis: RedisServer, own_raw: Redis
) -> None:
    dice = random.Random(7)
    steady = {f"steady-{number}" for number in range(20)}
    async with opened(own_redis.url) as store:
        collector = Collector()
        subscription = store.subscribe(collector)
        await asyncio.gather(*[subscription.add(job_id) for job_id in steady])
        fickle: set[str] = set()
        killing = True

        async def churn() -> None:
            while killing:
                job_id = f"fickle-{dice.randrange(30)}"
                if job_id in fickle and dice.random() < 0.6:
                    fickle.discard(job_id)
                    subscription.discard(job_id)
                else:
                    fickle.add(job_id)
                    with suppress(StoreUnavailableError):
                        await subscription.add(job_id)
                await asyncio.sleep(0)

        async def kill() -> None:
            kills = 0
            while kills < 30:
                kills += await own_raw.client_kill_filter(_type="pubsub")
                await asyncio.sleep(dice.random() * 0.02)

        churning = asyncio.create_task(churn())
        await kill()
        killing = False
        await churning

        wanted = {f"job_progress:{job_id}".encode() for job_id in steady | fickle}

        async def equal() -> bool:
            return await channels(own_raw) == wanted

        await eventually(equal, within_s=2)
        assert collector.gapped >= steady
        collector.pushes.clear()
        for job_id in steady | fickle:
            await subscription.add(job_id)
            await store.publish(make_state(job_id))
        await collector.until(lambda: {stored.job_id for stored in collector.pushes} == steady | fickle)


async def test_nothing_stays_subscribed_that_nobody_wants(store: RedisStore, raw: Redis, namespace: str) -> None:
    subscription = store.subscribe(Collector())
    for number in range(1000):
        adding = asyncio.create_task(subscription.add(f"job-{number}"))
        await asyncio.sleep(0)
        if number % 2:
            await adding
        subscription.discard(f"job-{number}")
        await adding

    async def none_is_left() -> bool:
        return not [channel for channel in await channels(raw) if channel.startswith(namespace.encode())]

    await eventually(none_is_left, within_s=2)


async def test_a_redis_that_hangs_is_noticed_and_every_call_keeps_its_deadline(own_redis: RedisServer) -> None:
    defaults = Settings()
    assert defaults.probe_idle_s + max(defaults.probe_deadline_s, defaults.deadline_s) <= 11

    async with opened(own_redis.url, **HASTY) as store:
        health, collector = HealthLog(store), Collector()
        subscription = store.subscribe(collector)
        await subscription.add("job-1")
        own_redis.freeze()
        try:
            await health.until(up=False, within_s=1.1 + SLACK_S)
            for call in (
                store.publish(make_state()),
                store.read(["job-1"]),
                store.list(),
                store.request_cancel("job-1"),
                store.delete("job-1"),
                subscription.add("job-2"),
            ):
                started = time.monotonic()
                with pytest.raises(StoreUnavailableError):
                    await call
                assert time.monotonic() - started < HASTY["deadline_s"] + SLACK_S
        finally:
            own_redis.thaw()

        await health.until(up=True, within_s=7)
        assert collector.gapped == {"job-1", "job-2"}
        receipt = await store.publish(make_state("job-2"))
        await collector.until(lambda: collector.pushes[-1:] != [] and collector.pushes[-1].seq == receipt.seq)


@pytest.mark.slow
async def test_a_redis_that_hangs_is_noticed_within_11_s_without_any_setting(own_redis: RedisServer) -> None:
    async with opened(own_redis.url) as store:
        health = HealthLog(store)
        await store.subscribe(Collector()).add("job-1")
        own_redis.freeze()
        try:
            await health.until(up=False, within_s=11)
        finally:
            own_redis.thaw()
        await health.until(up=True, within_s=10)


async def test_without_the_probe_a_redis_that_hangs_is_not_noticed(own_redis: RedisServer) -> None:
    async with opened(own_redis.url, **HASTY | {"probe_idle_s": 1000.0}) as store:
        health = HealthLog(store)
        await store.subscribe(Collector()).add("job-1")
        own_redis.freeze()
        try:
            with pytest.raises(TimeoutError):
                await health.until(up=False, within_s=1.1 + SLACK_S)
        finally:
            own_redis.thaw()


@pytest.mark.parametrize("probe", [True, False], ids=["with-probe", "without-probe"])
async def test_a_push_connection_to_a_server_that_gets_no_publishes_is_replaced_because_of_the_probe(
    own_redis: RedisServer, redis_server: RedisServer, namespace: str, probe: bool
) -> None:
    settings = HASTY | {"namespace": namespace} | ({} if probe else {"probe_idle_s": 1000.0})
    async with ChaosProxy(own_redis.port) as proxy, opened(f"redis://127.0.0.1:{proxy.port}", **settings) as store:
        collector, health = Collector(), HealthLog(store)
        await store.subscribe(collector).add("job-1")

        # What a failover leaves behind: commands reach the new server, the subscription stays with the old one.
        proxy.point_to(redis_server.port)
        await store.publish(make_state())

        if probe:
            await health.until(up=False, within_s=1.1 + SLACK_S)
            await health.until(up=True, within_s=2)
            assert collector.gapped == {"job-1"}
            await store.publish(make_state())
            await collector.until(lambda: bool(collector.pushes))
        else:
            with pytest.raises(TimeoutError):
                await health.until(up=False, within_s=1.1 + SLACK_S)
            assert collector.pushes == collector.gaps == []


async def test_one_failed_command_does_not_take_a_store_down_that_answers(own_redis: RedisServer) -> None:
    async with ChaosProxy(own_redis.port) as proxy, opened(f"redis://127.0.0.1:{proxy.port}", deadline_s=0.2) as store:
        health, collector = HealthLog(store), Collector()
        await store.subscribe(collector).add("job-1")
        hold = proxy.hold(b"job_status:job-9")
        with pytest.raises(StoreUnavailableError):
            await store.read(["job-9"])
        assert hold.seen.is_set()
        proxy.heal()

        for _ in range(10):
            await store.publish(make_state())

        await collector.until(lambda: len(collector.pushes) == 10)
        assert health.seen == []


async def test_closing_while_redis_hangs_keeps_the_deadline(own_redis: RedisServer) -> None:
    store = RedisStore(Settings(url=own_redis.url, **HASTY))
    await store.subscribe(Collector()).add("job-1")
    own_redis.freeze()
    try:
        reading = asyncio.create_task(store.read(["job-1"]))
        await asyncio.sleep(0)
        started = time.monotonic()

        await store.close()

        assert time.monotonic() - started < 3 * HASTY["deadline_s"] + SLACK_S
        with pytest.raises(StoreUnavailableError):
            await reading
    finally:
        own_redis.thaw()


async def test_a_store_comes_back_through_a_connection_that_was_cut_and_refused(own_redis: RedisServer) -> None:
    async with ChaosProxy(own_redis.port) as proxy, opened(f"redis://127.0.0.1:{proxy.port}") as store:
        health, collector = HealthLog(store), Collector()
        await store.subscribe(collector).add("job-1")
        proxy.refuse()
        await health.until(up=False, within_s=1)
        with pytest.raises(StoreUnavailableError):
            await store.publish(make_state())

        proxy.heal()

        await health.until(up=True, within_s=6)
        assert collector.gapped == {"job-1"}
        await store.publish(make_state())
        await collector.until(lambda: bool(collector.pushes))


async def test_who_subscribes_before_reading_never_misses_a_state_and_who_reads_first_does(
    redis_server: RedisServer, namespace: str
) -> None:
    missed, seen = 0, 0
    async with (
        ChaosProxy(redis_server.port) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}", namespace=namespace) as viewer,
        opened(redis_server.url, namespace=namespace) as reporter,
    ):
        collector = Collector()
        subscription = viewer.subscribe(collector)

        async def finish_while_subscribing(job_id: str) -> None:
            hold = proxy.hold(f"job_progress:{job_id}".encode())
            adding = asyncio.create_task(subscription.add(job_id))
            await asyncio.wait_for(hold.seen.wait(), 2)
            await reporter.publish(make_state(job_id, "completed"))
            hold.release()
            await adding

        for number in range(100):
            snapshot = await viewer.read([f"naive-{number}"])
            await finish_while_subscribing(f"naive-{number}")
            missed += not snapshot and not collector.of(f"naive-{number}")

            await finish_while_subscribing(f"sound-{number}")
            snapshot = await viewer.read([f"sound-{number}"])
            seen += snapshot[f"sound-{number}"].status is Status.COMPLETED

    assert (missed, seen) == (100, 100)


async def test_closing_twice_at_once_waits_for_what_is_under_way(redis_server: RedisServer, namespace: str) -> None:
    async with (
        ChaosProxy(redis_server.port) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}", namespace=namespace) as store,
    ):
        await store.publish(make_state())
        proxy.delay_s = 0.05
        reading = [asyncio.create_task(store.read(["job-1"])) for _ in range(3)]
        await asyncio.sleep(0)

        await asyncio.gather(store.close(), store.close())

        assert all([list(await task) == ["job-1"] for task in reading])


async def test_four_connections_are_enough_for_any_number_of_jobs(own_redis: RedisServer, own_raw: Redis) -> None:
    async with opened(own_redis.url) as store:
        subscriptions = [store.subscribe(Collector()) for _ in range(3)]
        await asyncio.gather(*[each.add(f"job-{number}") for each in subscriptions for number in range(300)])
        await asyncio.gather(*[store.publish(make_state(f"job-{number}")) for number in range(300)])

        # One is that which asks.
        assert len(await own_raw.client_list()) <= 4 + 1
        assert len(await channels(own_raw)) == 300


async def test_a_cancelled_command_never_gives_its_reply_to_the_next_caller(
    redis_server: RedisServer, namespace: str
) -> None:
    dice = random.Random(1)
    async with (
        ChaosProxy(redis_server.port) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}", namespace=namespace) as store,
    ):
        for job_id in ("one", "two"):
            await store.publish(make_state(job_id, message=job_id))
        proxy.delay_s = 0.03
        for _ in range(40):
            cancelled = [asyncio.create_task(store.read(["one"])) for _ in range(4)]
            await asyncio.sleep(dice.random() * 0.05)
            for task in cancelled:
                task.cancel()
            found = await store.read(["two"])
            assert [decode_state(stored.data).message for stored in found.values()] == ["two"]
            await asyncio.gather(*cancelled, return_exceptions=True)


async def test_a_unix_socket_and_a_database_number_work(own_redis: RedisServer, own_raw: Redis) -> None:
    async with opened(f"{own_redis.unix_url}?db=3") as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")
        await store.publish(make_state())
        await collector.until(lambda: bool(collector.pushes))

    assert await own_raw.get("job_status:job-1") is None
    assert list(await own_raw.info("keyspace")) == ["db3"]


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid", "a" * 80])
async def test_a_server_that_cannot_be_reached_is_unavailable_within_the_deadline(host: str) -> None:
    async with opened(f"redis://user:canary@{host}:{free_port()}", deadline_s=1.0) as store:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            await store.publish(make_state())

        assert time.monotonic() - started < 1.0 + SLACK_S
        assert not store.health.up
        assert "canary" not in "".join(traceback.format_exception(caught.value)) + store.label + store.health.reason


async def test_a_wrong_password_is_denied_and_not_repeated(own_redis: RedisServer) -> None:
    own_redis.stop()
    own_redis.start("--requirepass", "right")
    for credential in ("", ":canary@", "nobody:canary@"):
        async with opened(f"redis://{credential}127.0.0.1:{own_redis.port}") as store:
            with pytest.raises(StoreDeniedError) as publishing:
                await store.publish(make_state())
            with pytest.raises(StoreDeniedError) as reading:
                await store.read(["a"])
            with pytest.raises(StoreDeniedError) as adding:
                await store.subscribe(Collector()).add("a")
            for caught in (publishing, reading, adding):
                assert "canary" not in "".join(traceback.format_exception(caught.value))
            assert not store.health.up
            assert "canary" not in store.health.reason

    async with opened(f"redis://:right@127.0.0.1:{own_redis.port}") as store:
        await store.subscribe(Collector()).add("a")
        await store.publish(make_state())
        assert store.health.up


async def test_a_user_with_no_more_than_the_needed_commands_can_do_everything(
    own_redis: RedisServer, own_raw: Redis
) -> None:
    rules = f"on >secret resetkeys resetchannels -@all ~alice:* &alice:* {NEEDED_COMMANDS}"
    await own_raw.execute_command("ACL", "SETUSER", "alice", *rules.split())
    url = f"redis://alice:secret@127.0.0.1:{own_redis.port}"

    async with opened(url, namespace="alice", ttl_s=0.2, **HASTY) as store:
        collector = Collector()
        subscription = store.subscribe(collector)
        await subscription.add("job-1")
        receipt = await store.publish(make_state(history=History(t_s=[0.0])), start=True)
        await store.publish(make_state(status="completed", run=receipt.run))
        await store.publish(make_state(), start=True)
        await collector.until(lambda: len(collector.pushes) == 3)
        assert await store.request_cancel("job-1")
        assert await store.delete("job-1")
        await store.publish(make_state("job-2"))
        await asyncio.sleep(0.3)  # the life of that state
        assert (await store.list()).jobs == []
        subscription.discard("job-1")
        await asyncio.sleep(HASTY["probe_idle_s"])  # a probe
        assert store.health.up

    async with opened(url, namespace="bob") as store:
        for call in (store.publish(make_state()), store.read(["a"]), store.list(), store.delete("a")):
            with pytest.raises(StoreDeniedError):
                await call
        with pytest.raises(StoreDeniedError):
            await store.subscribe(Collector()).add("a")


@pytest.mark.parametrize(
    "forbidden",
    ["-publish", "-zadd", "-hset", "resetchannels", "resetkeys ~job_status:* ~jobprogress:meta:* ~jobprogress:index"],
)
async def test_a_user_who_may_not_do_all_of_it_stores_nothing(
    own_redis: RedisServer, own_raw: Redis, forbidden: str
) -> None:
    rules = f"on >secret allkeys allchannels +@all {forbidden}"
    await own_raw.execute_command("ACL", "SETUSER", "half", *rules.split())

    async with opened(f"redis://half:secret@127.0.0.1:{own_redis.port}") as store:
        with pytest.raises(StoreDeniedError):
            await store.publish(make_state(history=History(t_s=[0.0])), start=True)

    assert await own_raw.keys() == []


async def test_errors_of_redis_name_their_cause_and_store_nothing(own_redis: RedisServer, own_raw: Redis) -> None:
    async with opened(own_redis.url) as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")

        await own_raw.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            await store.publish(make_state(), start=True)
        await own_raw.config_set("maxmemory", 0)
        assert await own_raw.keys() == []

        await own_raw.set("jobprogress:index", "something else")
        with pytest.raises(StoreUnavailableError, match="wrong kind"):
            await store.publish(make_state(), start=True)
        assert await own_raw.keys() == [b"jobprogress:index"]
        await own_raw.delete("jobprogress:index")

        await own_raw.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(StoreUnavailableError, match=r"(?i)read.only|replica"):
            await store.publish(make_state(), start=True)
        await own_raw.replicaof("NO", "ONE")

        receipt = await store.publish(make_state(), start=True)
        await collector.until(lambda: bool(collector.pushes))
        assert [stored.seq for stored in collector.pushes] == [receipt.seq]


@pytest.mark.parametrize(
    "url",
    ["redis://:canary@host:port", "redis://:canary@host?unheard_of=1", "redis://:canary@host?socket_timeout=canary"],
)
async def test_a_url_that_redis_py_cannot_use_is_a_setting_error_without_its_secret(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisStore(Settings(url=url))

    assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_a_url_cannot_undo_the_deadline_or_the_form_of_replies(own_redis: RedisServer) -> None:
    options = "socket_timeout=100&protocol=3&decode_responses=True&max_connections=1&retry_on_timeout=True&timeout=9"
    async with opened(f"redis://127.0.0.1:{own_redis.port}?{options}", **HASTY) as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")
        await store.publish(make_state())
        await collector.until(lambda: bool(collector.pushes))
        own_redis.freeze()
        try:
            started = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await store.read(["job-1"])
            assert time.monotonic() - started < HASTY["deadline_s"] + SLACK_S
        finally:
            own_redis.thaw()
