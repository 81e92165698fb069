"""What ``RemoteStore`` does beyond the contract of ``test_store.py``: the connection, and servers that say no."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jupyter_jobprogress.errors import ProtocolError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Health
from jupyter_jobprogress.store.remote import DENIED_S, RemoteStore
from tests.support.chaos import ChaosProxy
from tests.support.jobs import Collector, eventually, make_state
from tests.support.redis_server import free_port
from tests.support.remote_server import remote_server
from tests.support.tcp import tcp_server

OpenRemote = Callable[..., RemoteStore]


@pytest.fixture
async def remote() -> AsyncIterator[OpenRemote]:
    stores: list[RemoteStore] = []

    def make(url: str, **settings: Any) -> RemoteStore:
        stores.append(RemoteStore(Settings(url=url, **settings)))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@asynccontextmanager
async def answering(response: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that answers every request alike, and remember what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await writer.drain()
        writer.close()

    async with tcp_server(answer) as port:
        yield f"http://127.0.0.1:{port}/jobprogress/", asked


async def test_a_server_that_restarts_is_found_again_and_the_gap_is_told(remote: OpenRemote, tmp_path: Any) -> None:
    port, database = free_port(), str(tmp_path / "jobs.sqlite")
    store, collector, health = remote(f"http://127.0.0.1:{port}/"), Collector(), list[Health]()
    store.on_health = health.append
    async with remote_server(Settings(database=database), port=port):
        await store.subscribe(collector).add("job-1")
        receipt = await store.publish(make_state(), start=True)

    async with remote_server(Settings(database=database), port=port) as server:
        await server.service.store.publish(make_state(run=receipt.run, status="completed"))
        await collector.until(lambda: bool(collector.gaps), within_s=30)

        assert collector.gaps == [["job-1"]]
        await collector.until(lambda: collector.pushes[-1].status is Status.COMPLETED)
        assert (await store.publish(make_state(), start=True)).run != receipt.run
        async with asyncio.timeout(30):
            while not health[-1].up:
                await asyncio.sleep(0.01)
        assert [found.up for found in health] == [False, True]


async def test_no_call_waits_longer_than_its_deadline_for_a_silent_server(remote: OpenRemote) -> None:
    async with remote_server(Settings()) as server, ChaosProxy(server.port) as proxy:
        store = remote(f"http://127.0.0.1:{proxy.port}/", deadline_s=1.0)
        await store.publish(make_state())
        proxy.black_hole()

        begin_s = time.monotonic()
        calls: list[Awaitable[Any]] = [store.publish(make_state()), store.read(["a"]), store.list()]
        answers = await asyncio.gather(*calls, return_exceptions=True)

        assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
        assert time.monotonic() - begin_s < 2.0
        proxy.heal()


async def test_a_late_confirmation_is_a_gap(remote: OpenRemote) -> None:
    async with remote_server(Settings()) as server, ChaosProxy(server.port) as proxy:
        store, collector = remote(f"http://127.0.0.1:{proxy.port}/", deadline_s=1.0), Collector()
        await store.publish(make_state("other"))
        proxy.delay_s = 1.5

        with pytest.raises(StoreUnavailableError):
            await store.subscribe(collector).add("job-1")

        await collector.until(lambda: collector.gapped == {"job-1"})


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_a_refused_credential_is_denied_at_once_and_not_quoted(remote: OpenRemote, status: bytes) -> None:
    async with answering(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as (url, _):
        store = remote(url, token="jp1.secret.secret")

        begin_s = time.monotonic()
        with pytest.raises(StoreDeniedError, match="Check user, password or token") as caught:
            await store.publish(make_state())

        assert time.monotonic() - begin_s < 1.0
        assert "secret" not in str(caught.value)


@pytest.mark.slow
async def test_who_is_refused_knocks_seldom_however_much_is_asked_for(remote: OpenRemote) -> None:
    async with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        store, begin_s = remote(url, token="jp1.secret.secret"), time.monotonic()
        while time.monotonic() - begin_s < 0.9 * DENIED_S:
            with pytest.raises(StoreDeniedError):
                await store.publish(make_state())
            await asyncio.sleep(0.05)
        assert len(asked) == 1

        async def again() -> bool:
            return len(asked) > 1

        await eventually(again, within_s=60)  # he may be let in by now


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "not enabled there"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "InvalidMessage"),
    ],
)
async def test_a_server_without_progress_says_why(remote: OpenRemote, response: bytes, reason: str) -> None:
    async with answering(response) as (url, _):
        store = remote(url, deadline_s=1.0)

        with pytest.raises(StoreUnavailableError, match=reason):
            await store.publish(make_state())


async def test_a_credential_follows_no_redirect(remote: OpenRemote) -> None:
    async with (
        answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as (elsewhere, asked_elsewhere),
        answering(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()) as (url, asked),
    ):
        store = remote(url, token="jp1.secret.secret", deadline_s=1.0)

        with pytest.raises(StoreUnavailableError, match="redirect"):
            await store.publish(make_state())

    assert b"Authorization: JobProgress jp1.secret.secret" in asked[0]
    assert asked_elsewhere == []


async def test_a_jupyter_token_is_sent_as_one(remote: OpenRemote) -> None:
    async with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        with pytest.raises(StoreDeniedError):
            await remote(url, token="0123abcd").publish(make_state())

    assert b"Authorization: token 0123abcd" in asked[0]
    assert asked[0].startswith(b"GET /jobprogress/ws/jobs HTTP/1.1")


async def test_a_ticket_without_the_right_is_denied_and_the_connection_stays(remote: OpenRemote) -> None:
    ticket = Ticket(jobs="job-1", actions=("report",), expires_s=0)
    async with remote_server(Settings(), grant=ticket) as server:
        store = remote(server.url)

        await store.publish(make_state("job-1"))
        for refused in (store.publish(make_state("job-2")), store.read(["job-1"]), store.request_cancel("job-1")):
            with pytest.raises(StoreDeniedError):
                await refused

        assert (await store.publish(make_state("job-1"))).seq > 0


async def test_a_server_that_cannot_reach_its_store_is_unavailable(remote: OpenRemote, own_redis: Any) -> None:
    async with remote_server(Settings(url=own_redis.url, deadline_s=0.3)) as server:
        store = remote(server.url)
        await store.publish(make_state())
        own_redis.kill()

        with pytest.raises(StoreUnavailableError):
            await store.publish(make_state())


async def test_more_jobs_than_the_server_allows_are_refused_by_name(remote: OpenRemote) -> None:
    async with remote_server(Settings(max_subscriptions=2)) as server:
        subscription = remote(server.url).subscribe(Collector())
        await subscription.add("a")
        await subscription.add("b")

        with pytest.raises(ProtocolError, match="at most 2 jobs"):
            await subscription.add("c")


async def test_many_reports_at_once_get_their_own_receipts(remote: OpenRemote) -> None:
    async with remote_server(Settings()) as server:
        store = remote(server.url)

        await asyncio.gather(*(store.publish(make_state(f"job-{n}", n=n), start=True) for n in range(300)))

        found = await store.read([f"job-{n}" for n in range(300)])
        assert {decode_state(stored.data).n for stored in found.values()} == set(range(300))


async def test_who_is_refused_does_not_knock_again_and_again(remote: OpenRemote) -> None:
    async with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        store = remote(url, token="jp1.secret.secret")
        deadline_s = time.monotonic() + 2.0
        while time.monotonic() < deadline_s:
            with pytest.raises(StoreDeniedError):
                await store.publish(make_state())
            await asyncio.sleep(0.05)

        assert len(asked) == 1


async def test_a_server_that_lets_go_is_asked_again_when_something_is_to_be_said(remote: OpenRemote) -> None:
    async with remote_server(Settings(idle_socket_s=0.2)) as server:
        store, collector, health = remote(server.url), Collector(), list[Health]()
        store.on_health = health.append
        await store.publish(make_state(status="completed"))
        await store.subscribe(collector).add("job-1")

        async def let_go() -> bool:
            return store._link is None

        await eventually(let_go, within_s=30)
        assert server.service.fanout.viewer_count == 0
        assert health == []

        receipt = await store.publish(make_state(), start=True)

        assert receipt.run
        assert health == []
        await collector.until(lambda: "job-1" in collector.gapped, within_s=30)
        assert server.service.fanout.viewer_count == 1
