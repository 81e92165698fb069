"""Redis that is several servers: which one is asked, and what happens when that changes."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_jobprogress.errors import SettingsError, StoreDeniedError, StoreError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Contribution, decode_state
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.settings import Settings, mask_url
from jupyter_jobprogress.store.redis import RedisStore
from jupyter_jobprogress.store.redis_url import read_url
from tests.conftest import _redis_binary
from tests.store.test_redis import NEEDED_COMMANDS, opened
from tests.support.jobs import Collector, make_state
from tests.support.redis_many import Cluster, Sentinels, client, cluster, sentinels, until
from tests.support.redis_server import RedisServer, free_port

HEALS_S = 30.0
HASTY: dict[str, Any] = {"deadline_s": 0.5, "probe_idle_s": 0.5, "probe_deadline_s": 0.4}


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(_redis_binary(), tmp_path) as own:
        yield own


@pytest.fixture
def own_sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    with sentinels(_redis_binary(), tmp_path) as own:
        yield own


async def deliver(store: RedisStore, **fields: Any) -> None:
    """Publish one state again and again, as a reporter does, until it is taken."""
    async with asyncio.timeout(HEALS_S):
        while True:
            try:
                await store.publish(make_state(**fields))
            except StoreError:
                await asyncio.sleep(0.1)
            else:
                return


async def delivered(store: RedisStore, collector: Collector, **fields: Any) -> None:
    """Publish states with growing numbers until one of them has been pushed: the way is open again."""
    before = len(collector.pushes)
    async with asyncio.timeout(HEALS_S):
        while len(collector.pushes) == before:
            await deliver(store, **fields)
            await asyncio.sleep(0.1)


def job_on(cluster: Cluster, server: RedisServer) -> str:
    """Find a job that a master has."""
    return next(
        name for name in map("job-{}".format, range(100)) if cluster.master_of(f"job_status:{{{name}}}") is server
    )


async def test_all_names_of_a_job_have_one_slot_of_a_cluster(cluster: Cluster, namespace: str) -> None:
    async with opened(cluster.url, namespace=namespace) as store:
        await store.publish(make_state("job-1"), start=True)

    holder = cluster.master_of(f"{namespace}:job_status:{{job-1}}")
    with client(holder) as node:
        found = set(node.scan_iter(f"{namespace}:*{{job-1}}*"))
    assert {f"{namespace}:job_status:{{job-1}}", f"{namespace}:jobprogress:meta:{{job-1}}"} <= found


async def test_the_original_form_is_shown_in_a_cluster(cluster: Cluster, namespace: str) -> None:
    state = {"job_id": "job-1", "status": "processing", "stage": "s", "progress": 0.5, "message": "", "timestamp": ""}
    async with opened(cluster.url, namespace=namespace) as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")

        with client(cluster.master_of(f"{namespace}:job_status:{{job-1}}")) as node:
            node.set(f"{namespace}:job_status:{{job-1}}", json.dumps(state))
        with client(cluster.replica) as node:  # any node takes a publish
            node.publish(f"{namespace}:job_progress:{{job-1}}", json.dumps(state))

        await collector.until(lambda: bool(collector.pushes))
        assert json.loads(collector.pushes[0].data) == state
        assert decode_state((await store.read(["job-1"]))["job-1"].data).progress == 0.5


async def test_two_servers_on_a_cluster_see_the_same(cluster: Cluster, namespace: str) -> None:
    async with (
        opened(cluster.url, namespace=namespace) as one,
        opened(cluster.url.replace("redis+cluster://", "redis+cluster://127.0.0.1:1,"), namespace=namespace) as other,
    ):
        collectors = []
        for store in (one, other):
            collectors.append(Collector())
            subscription = store.subscribe(collectors[-1])
            for number in range(30):
                await subscription.add(f"job-{number}")
        for number in range(30):
            await one.publish(make_state(f"job-{number}"), start=True)
        for collector in collectors:
            await collector.until(lambda collector=collector: len(collector.pushes) == 30)
        assert len((await other.list(limit=100)).jobs) == 30
        assert len(await other.read([f"job-{number}" for number in range(30)])) == 30


async def test_a_slot_that_moves_is_followed(own_cluster: Cluster) -> None:
    source, target = own_cluster.masters[1:]
    job_id = job_on(own_cluster, source)
    async with opened(own_cluster.url) as store:
        run = (await store.publish(make_state("other"), start=True)).run
        assert run is not None
        with client(source) as old, client(target) as new:
            slot = old.execute_command("CLUSTER", "KEYSLOT", f"job_status:{{{job_id}}}")
            old_id, new_id = old.execute_command("CLUSTER", "MYID"), new.execute_command("CLUSTER", "MYID")
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)

            # A read of nothing is answered by the new one; a script that needs several keys has to wait for the move.
            assert await store.read([job_id]) == {}
            publishing = asyncio.create_task(store.publish(make_state(job_id), start=True))
            await asyncio.sleep(0.2)
            assert not publishing.done()
            for node in (new, old):
                node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)
            receipt = await publishing
            assert new.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) >= 2
        again = await store.publish(make_state(job_id, run=receipt.run, progress=0.75))
        assert again.run == receipt.run
        assert decode_state((await store.read([job_id, "other"]))[job_id].data).progress == 0.75
        assert await store.request_cancel(job_id)
        assert await store.delete(job_id)


async def test_a_cluster_that_loses_a_master_goes_on_with_its_replica(own_cluster: Cluster) -> None:
    victim = own_cluster.masters[0]
    job_id = job_on(own_cluster, victim)
    async with opened(own_cluster.url, **HASTY) as store:
        collector = Collector()
        await store.subscribe(collector).add(job_id)
        await store.publish(make_state(job_id), start=True)
        await collector.until(lambda: bool(collector.pushes))
        with client(own_cluster.replica) as replica:
            until(lambda: replica.execute_command("CLUSTER", "COUNTKEYSINSLOT", 0) is not None)
            until(lambda: _has(replica, job_id))

        victim.kill()

        await delivered(store, collector, job_id=job_id)
        await deliver(store, job_id=job_id, status="completed")
        await collector.until(lambda: collector.pushes[-1].status is Status.COMPLETED, within_s=HEALS_S)
        assert (await store.read([job_id]))[job_id].status is Status.COMPLETED


def _has(replica: Any, job_id: str) -> bool:
    replica.execute_command("READONLY")
    return bool(replica.exists(f"job_status:{{{job_id}}}"))


async def test_pushes_come_from_another_node_when_theirs_is_gone(own_cluster: Cluster) -> None:
    async with opened(own_cluster.url, **HASTY) as store:
        collector = Collector()
        jobs = [job_on(own_cluster, server) for server in own_cluster.masters]
        subscription = store.subscribe(collector)
        for job_id in jobs:
            await subscription.add(job_id)

        # Which node the pushes come from is left to chance; the job on each other node has to get through.
        serving = store._client._route._pushed_by  # type: ignore[attr-defined]
        victim = next(server for server in own_cluster.masters if server.port == serving[1])
        victim.freeze()
        try:
            await collector.until(lambda: set(jobs) <= set(collector.gapped), within_s=HEALS_S)
            for job_id, server in zip(jobs, own_cluster.masters, strict=True):
                if server is not victim:
                    await delivered(store, collector, job_id=job_id)
        finally:
            victim.thaw()


@pytest.mark.parametrize("how", ["asked to", "killed", "frozen"])
async def test_the_master_that_sentinels_name_is_followed(own_sentinels: Sentinels, how: str) -> None:
    async with opened(own_sentinels.url, **HASTY) as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")
        run = (await store.publish(make_state(), start=True)).run
        await collector.until(lambda: bool(collector.pushes))
        old = own_sentinels.master()
        own_sentinels.sentinels[2].kill()  # two are enough
        try:
            if how == "asked to":
                with client(own_sentinels.sentinels[0]) as sentinel:
                    sentinel.execute_command("SENTINEL", "FAILOVER", "jobs")
            elif how == "killed":
                old.kill()
            else:
                old.freeze()

            async with asyncio.timeout(HEALS_S):
                while own_sentinels.master() is old:
                    await asyncio.sleep(0.1)
            if (
                how == "asked to"
            ):  # what the old one takes in until it is told is lost: it does not wait for its replica
                with client(old) as node:
                    until(lambda: node.info("replication")["role"] == "slave")
            await delivered(store, collector, run=run)
            await deliver(store, run=run, status="completed")
            await collector.until(lambda: collector.pushes[-1].status is Status.COMPLETED, within_s=HEALS_S)
            with client(own_sentinels.master()) as new:
                assert json.loads(new.get("job_status:job-1"))["status"] == "completed"
        finally:
            if how == "frozen":
                old.thaw()


async def test_a_service_that_sentinels_do_not_know_is_said(sentinels: Sentinels) -> None:
    async with opened(sentinels.url.replace("/jobs", "/nobody")) as store:
        with pytest.raises(StoreUnavailableError, match="nobody"):
            await store.read(["job-1"])


@pytest.mark.parametrize("kind", ["redis+cluster", "redis+sentinel"])
async def test_a_place_where_nobody_is_keeps_the_deadline(kind: str) -> None:
    path = "/jobs" if kind.endswith("sentinel") else ""
    async with opened(f"{kind}://127.0.0.1:{free_port()},127.0.0.1:{free_port()}{path}", deadline_s=0.5) as store:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await store.publish(make_state())
        assert time.monotonic() - begun < 1.5


async def test_a_wrong_password_is_denied_by_a_cluster(cluster: Cluster) -> None:
    async with opened(cluster.url.replace("://", "://nobody:secret@")) as store:
        with pytest.raises(StoreDeniedError) as caught:
            await store.publish(make_state())
        assert "secret" not in "".join(traceback.format_exception(caught.value))


async def test_a_user_with_the_rights_of_the_page_can_use_a_cluster(own_cluster: Cluster) -> None:
    rules = f"on >secret resetkeys resetchannels -@all ~lab:* &lab:* +cluster|slots +asking {NEEDED_COMMANDS}"
    for server in (*own_cluster.masters, own_cluster.replica):
        with client(server) as node:
            node.execute_command("ACL", "SETUSER", "ann", *rules.split())
    async with opened(own_cluster.url.replace("://", "://ann:secret@"), namespace="lab") as store:
        collector = Collector()
        await store.subscribe(collector).add("job-1")
        await store.publish(make_state(), start=True)
        await collector.until(lambda: bool(collector.pushes))
        assert [stored.job_id for stored in (await store.list()).jobs] == ["job-1"]
        contribution = Contribution(n=3.0, message="of a worker")
        assert (await store.add("job-1", part="worker", contribution=contribution, run=None)).added == 3
        assert await store.request_cancel("job-1")
        assert await store.delete("job-1")


def test_the_page_prints_the_rights_that_are_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    printed = page.partition("ACL SETUSER")[2].partition("```")[0]

    assert set(NEEDED_COMMANDS.split()) == {word for word in printed.split() if word.startswith("+")}


def test_a_url_of_many_hosts_is_read_whole() -> None:
    target = read_url(
        Settings(
            url="rediss+sentinel://ann:p%40ss@a:1,b,[::1]:3/my%20jobs/2?ssl_cert_reqs=none&sentinel_password=s",
            deadline_s=2,
        )
    )

    assert (target.kind, target.service) == ("sentinel", "my jobs")
    assert target.hosts == (("a", 1), ("b", 26379), ("::1", 3))
    assert (target.options["username"], target.options["password"], target.options["db"]) == ("ann", "p@ss", 2)
    assert target.sentinel_options["password"] == "s"
    assert "username" not in target.sentinel_options
    assert target.sentinel_options["socket_timeout"] == 0.5
    assert read_url(Settings(url="redis+cluster://a,b:7000")).hosts == (("a", 6379), ("b", 7000))


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://canary@host:1",  # no service
        "redis+sentinel://:canary@host:x/jobs",
        "redis+cluster://:canary@/",
        "redis+cluster://:canary@a,,b",
        "redis+cluster://:canary@a/3",  # a Cluster has one database
        "redis+cluster://:canary@a?unheard_of=1",
    ],
)
def test_a_url_that_names_no_hosts_says_the_form_without_its_secret(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\+|redis-py") as caught:
        RedisStore(Settings(url=url))

    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_namespace_cannot_take_the_place_of_the_hash_tag() -> None:
    with pytest.raises(SettingsError, match="hash tag"):
        RedisStore(Settings(url="redis+cluster://a", namespace="{x}"))


def test_a_masked_url_keeps_its_hosts() -> None:
    assert mask_url("redis+cluster://u:secret@a:1,b:2/?password=secret") == "redis+cluster://a:1,b:2/"
    assert mask_url("redis+sentinel://u:secret@a:x/jobs") == "(a URL that cannot be read)"
