"""Every limit on viewers has its code and its reason, and nobody else feels it. docs/settings.md names them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from tests.support.jobs import eventually, make_state
from tests.support.standalone import TOKEN, Mounted, mounted

HEADERS = {"Authorization": f"token {TOKEN}"}


def connect(server: Mounted, path: str = "ws/jobs") -> Any:
    return websockets.connect(
        server.url.replace("http", "ws", 1) + path, additional_headers=HEADERS, compression=None, max_queue=None
    )


async def ending(socket: ClientConnection) -> tuple[int, str]:
    """Read until the server closes, and return its code and reason."""
    async with asyncio.timeout(30):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    received = socket.protocol.close_rcvd
    assert received is not None, "no close frame came"
    return received.code, received.reason


async def answers(socket: ClientConnection) -> bool:
    """Whether the server still listens to this one."""
    await socket.send('{"type":"read","id":77,"job_ids":[]}')
    async with asyncio.timeout(30):
        while json.loads(await socket.recv()).get("id") != 77:
            pass
    return True


async def test_one_viewer_too_many_of_a_process(tmp_path: Path) -> None:
    async with mounted(tmp_path, max_viewers=2) as server, connect(server), connect(server) as second:
        async with connect(server) as third:
            assert await ending(third) == (4429, "this server shows progress to at most 2 viewers")
        assert await answers(second)
        assert b"jobprogress_refused_total 1.0" in server.service.metrics.text()


async def test_who_leaves_makes_room(tmp_path: Path) -> None:
    async with mounted(tmp_path, max_viewers=1) as server:
        for _ in range(3):
            async with connect(server) as socket:
                assert await answers(socket)
            async with asyncio.timeout(30):
                while server.service.fanout.viewer_count:
                    await asyncio.sleep(0.01)


async def test_one_viewer_too_many_of_a_user(tmp_path: Path) -> None:
    async with mounted(tmp_path, max_viewers_per_user=1) as server, connect(server) as first:
        async with connect(server) as second:
            assert await ending(second) == (4429, "one user may open at most 1 sockets")
        assert await answers(first)


async def test_a_socket_that_never_says_what_it_wants(tmp_path: Path) -> None:
    async with (
        mounted(tmp_path, first_message_s=0.3) as server,
        connect(server) as silent,
        connect(server) as speaks,
        connect(server, "ws/jobs/a") as watches,
    ):
        assert await answers(speaks)
        assert await ending(silent) == (4429, "no message came within 0.3 s")
        assert await answers(speaks)
        await server.service.store.publish(make_state("a"))
        async with asyncio.timeout(30):
            while json.loads(await watches.recv()).get("job_id") != "a" or "seq" not in json.loads(
                await watches.recv()
            ):
                pass


async def test_commands_without_end(tmp_path: Path) -> None:
    async with mounted(tmp_path, commands_per_s=2) as server, connect(server) as greedy, connect(server) as other:
        for _ in range(60):  # 20 s' worth may come at once
            await greedy.send('{"type":"unsubscribe","job_ids":["a"]}')
        assert await ending(greedy) == (4429, "more than 2 messages a second")
        assert await answers(other)


async def test_messages_that_cannot_be_read(tmp_path: Path) -> None:
    async with mounted(tmp_path) as server, connect(server) as babbler:
        for _ in range(101):
            await babbler.send("[" * 5000)
        code, reason = await ending(babbler)
        assert (code, reason) == (4400, "more than 100 messages that cannot be read")


@pytest.mark.parametrize(("limit", "size"), [(2048, 2049), (16 * 1024, 16 * 1024 + 1)])
async def test_a_frame_that_is_too_large(tmp_path: Path, limit: int, size: int) -> None:
    async with mounted(tmp_path, viewer_frame_bytes=limit) as server:
        # On the socket of one job nobody reports, so that the limit is that of viewers.
        async with connect(server, "ws/jobs/a") as socket:
            await socket.send("x" * limit)
            await socket.send("x" * size)
            code, _ = await ending(socket)
        assert code == 1009


async def test_subscriptions_and_ids_have_limits_of_their_own(tmp_path: Path) -> None:
    async with mounted(tmp_path, max_subscriptions=3, max_ids_per_command=2) as server, connect(server) as socket:
        codes = []
        for kind, ids in (("subscribe", "ab"), ("subscribe", "cd"), ("read", "abc"), ("unsubscribe", "abc")):
            await socket.send(json.dumps({"type": kind, "id": 1, "job_ids": list(ids)}))
        async with asyncio.timeout(30):
            while len(codes) < 3:
                message = json.loads(await socket.recv())
                if message["type"] == "error":
                    codes.append((message["code"], message["message"]))
        assert [code for code, _ in codes] == ["too_many_subscriptions", "too_many_ids", "too_many_ids"]
        assert all("at most" in text for _, text in codes), codes


async def test_jobs_are_counted_over_all_sockets_of_a_user(tmp_path: Path) -> None:
    async with mounted(tmp_path, max_subscriptions_per_user=3) as server, connect(server) as one:

        async def subscribe(socket: ClientConnection, *job_ids: str) -> str:
            await socket.send(json.dumps({"type": "subscribe", "id": 1, "job_ids": job_ids}))
            async with asyncio.timeout(30):
                while (answer := json.loads(await socket.recv())).get("id") != 1:
                    pass
            return str(answer.get("message", answer["type"]))

        async with connect(server) as other:
            assert await subscribe(one, "a", "b") == "subscribed"
            refused = await subscribe(other, "b", "c")
            assert refused == "Expected at most 3 jobs on all sockets of one user, got 4. Unsubscribe some first."
            assert await subscribe(other, "b") == "subscribed"
            assert await subscribe(one, "a", "b") == "subscribed"  # nothing new
            await one.send('{"type":"unsubscribe","job_ids":["a"]}')
            assert await answers(one)
            assert await subscribe(other, "c") == "subscribed"
            assert (await subscribe(one, "d")).startswith("Expected at most 3 jobs")
        await eventually(lambda: subscribed(subscribe(one, "d", "e")), within_s=30)


async def subscribed(answer: Awaitable[str]) -> bool:
    return await answer == "subscribed"


async def test_a_page_watches_as_many_jobs_on_one_socket_as_the_default_allows(tmp_path: Path) -> None:
    async with mounted(tmp_path) as server, connect(server) as socket:
        subscribed: list[str] = []
        async with asyncio.timeout(60):
            for first in range(0, 1025, 205):
                ids = [f"job-{number}" for number in range(first, first + 205)]
                await socket.send(json.dumps({"type": "subscribe", "job_ids": ids}))
                while (answer := json.loads(await socket.recv()))["type"] not in ("subscribed", "error"):
                    pass
                subscribed += answer.get("job_ids", [])
        assert len(subscribed) == 820
        assert answer["code"] == "too_many_subscriptions"
        assert "at most 1024" in answer["message"]
        await socket.send(json.dumps({"type": "subscribe", "job_ids": ids[:204]}))
        async with asyncio.timeout(30):
            while json.loads(await socket.recv()).get("job_ids") != ids[:204]:
                pass
        assert server.service.fanout.job_count == 1024


async def test_handshakes_without_end(tmp_path: Path) -> None:
    async with mounted(tmp_path, requests_per_s=0.5) as server:
        for _ in range(10):  # 20 s' worth
            async with connect(server):
                pass
        with pytest.raises(websockets.InvalidStatus) as refusal:
            async with connect(server):
                pass
    response = refusal.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert json.loads(response.body or b"")["code"] == "too_many_requests"
