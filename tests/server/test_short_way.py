"""The short way lets in whom Tornado would, and leaves everybody else to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import RequestHandler

from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.plain import PlainDoor
from jupyter_jobprogress.server.sockets import listen
from tests.support.chaos import ChaosProxy
from tests.support.jobs import make_state
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, Mounted, mounted
from tests.support.upgrades import BROWSER, answer, request

DOOR = PlainDoor(token=TOKEN, origins=frozenset(), hosts=frozenset())
COOKIE = f"{DOOR.cookie_name}={DOOR.cookie_value}"
GIVEN = {"Authorization": f"token {TOKEN}"}
ACCEPTED = b"HTTP/1.1 101 "


class Both(NamedTuple):
    """One application behind the server as it is, and behind Tornado's alone. ``handled``: what handlers answered."""

    server: Mounted
    port: int
    tornado_port: int
    handled: list[RequestHandler]


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    limits: dict[str, Any] = {"requests_per_s": 1e6, "max_viewers": 10**6, "max_viewers_per_user": 10**6}
    async with mounted(tmp_path, allow_origin=["https://friend.example"], **limits) as server:
        handled: list[RequestHandler] = []
        server.application.settings["log_function"] = handled.append
        tornado = HTTPServer(server.application)
        sockets = listen(host="127.0.0.1", port=0, path="", reuse_port=False)
        tornado.add_sockets(sockets)
        yield Both(server, port_of(server), sockets[0].getsockname()[1], handled)
        tornado.stop()
        await tornado.close_all_connections()


def port_of(server: Mounted) -> int:
    return int(server.url.rstrip("/").rpartition(":")[2])


@pytest.mark.parametrize(
    "fields",
    [
        GIVEN,
        {"Authorization": f"Bearer  {TOKEN} "},
        {"Cookie": COOKIE},
        {"Cookie": f"other=1; {COOKIE}; more=2", "Origin": "http://127.0.0.1:8084"},
        {**GIVEN, "Origin": "https://friend.example"},
        {**GIVEN, **BROWSER},
        {**GIVEN, "Host": "LOCALHOST"},
    ],
)
async def test_who_may_come_in_meets_no_handler(both: Both, fields: dict[str, str]) -> None:
    await both.server.service.store.publish(make_state())

    seen = await answer(both.port, request("/ws/jobs/job-1", **fields), until=b'"message":"half"')

    assert seen.startswith(ACCEPTED)
    assert seen.index(b'"type":"connected"') < seen.index(b'"message":"half"')
    assert not both.handled


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/ws/jobs", {}, 401),
        ("/ws/jobs", {"Authorization": "token wrong"}, 401),
        ("/ws/jobs", {"Authorization": "token wrong", "Cookie": COOKIE}, 101),
        ("/ws/jobs", {"Cookie": COOKIE.replace("=", "=0")}, 401),
        ("/ws/jobs", {"Cookie": f"x{COOKIE}"}, 401),
        ("/ws/jobs", {**GIVEN, "Host": "evil.example"}, 403),
        ("/ws/jobs", {**GIVEN, "Host": "evil.example:8084"}, 403),
        ("/ws/jobs", {**GIVEN, "Origin": "http://evil.example"}, 403),
        ("/ws/jobs", {"Cookie": COOKIE, "Origin": "null"}, 403),
        (f"/ws/jobs?token={TOKEN}", {}, 101),
        ("/ws/jobs/a%20b", GIVEN, 400),
        ("/ws/nothing", GIVEN, 404),
    ],
)
async def test_who_may_not_or_not_beyond_doubt_is_answered_by_tornado(
    both: Both, path: str, fields: dict[str, str], status: int
) -> None:
    asked = request(path, **fields)

    seen = await answer(both.port, asked)

    assert seen.startswith(b"HTTP/1.1 %d " % status)
    assert seen.split(b"\r\n")[0] == (await answer(both.tornado_port, asked)).split(b"\r\n")[0]
    assert len(both.handled) == 2


async def test_a_ticket_is_for_the_handlers(both: Both) -> None:
    ticket = both.server.key.sign(Ticket(jobs="job-1", actions=("watch",), expires_s=2**40))

    seen = await answer(both.port, request("/ws/jobs/job-1", Authorization=f"JobProgress {ticket}"))

    assert seen.startswith(ACCEPTED)
    assert len(both.handled) == 1


async def test_no_request_comes_in_that_tornado_would_refuse(both: Both) -> None:
    """Good requests with random damage: what is accepted without a handler is accepted with one."""
    chance = random.Random(20261125)
    cookie = {"Cookie": f"a=b; {COOKIE}", "Origin": "http://127.0.0.1:8084"}
    good = [request("/ws/jobs/job-1", **BROWSER, **GIVEN), request("/ws/jobs", **BROWSER, **cookie)]
    spoils = b"|\r\n|\n|\0| |:|,|;|=|/|%2e|@|.example|\xe9|x".split(b"|")
    accepted = 0
    for _ in range(250):
        asked = chance.choice(good)
        begin = chance.randrange(len(asked))
        asked = asked[:begin] + chance.choice(spoils) + asked[begin + chance.randrange(3) :]
        del both.handled[:]

        if (await answer(both.port, asked, within_s=2)).startswith(ACCEPTED) and not both.handled:
            accepted += 1
            assert (await answer(both.tornado_port, asked)).startswith(ACCEPTED), asked
    assert accepted > 20  # some damage does no harm


async def test_no_token_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    async with mounted(tmp_path, no_auth=True, token="") as server:
        handled: list[RequestHandler] = []
        server.application.settings["log_function"] = handled.append

        assert (await answer(port_of(server), request("/ws/jobs"))).startswith(ACCEPTED)
        assert (await answer(port_of(server), request("/ws/jobs", Host="evil.example"))).startswith(b"HTTP/1.1 403 ")
        forged = request("/ws/jobs/job-1", Authorization="JobProgress forged")
        assert (await answer(port_of(server), forged)).startswith(b"HTTP/1.1 401 ")

    assert len(handled) == 2


async def test_one_request_too_many_is_answered_by_429_and_counted_once(tmp_path: Path) -> None:
    async with mounted(tmp_path, requests_per_s=0.05) as server:  # at once: 20 times as many
        first, second = [await answer(port_of(server), request("/ws/jobs", **GIVEN)) for _ in range(2)]

        assert first.startswith(ACCEPTED)
        assert second.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: 1\r\n" in second
        assert b"jobprogress_refused_total 1.0" in server.service.metrics.text()


async def test_what_follows_the_request_at_once_is_read_as_frames(both: Both) -> None:
    ping = b"\x89\x82\0\0\0\0hi"

    seen = await answer(both.port, request("/ws/jobs", **GIVEN) + ping, until=b"\x8a\x02hi")

    assert seen.startswith(ACCEPTED)
    assert seen.endswith(b"\x8a\x02hi")


@pytest.mark.parametrize("at_first", [0, 1, 100])
async def test_a_request_that_comes_late_or_in_parts_is_served(both: Both, at_first: int) -> None:
    asked = request("/ws/jobs", **GIVEN)
    reader, writer = await asyncio.open_connection("127.0.0.1", both.port)
    writer.write(asked[:at_first])
    await writer.drain()
    # Another one meanwhile, before which the server has seen what there is of the first.
    assert (await answer(both.port, asked)).startswith(ACCEPTED)

    writer.write(asked[at_first:])
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(ACCEPTED)


async def test_a_greeting_does_not_wait_for_a_silent_store(
    tmp_path: Path, redis_server: RedisServer, namespace: str
) -> None:
    async with (
        ChaosProxy(redis_server.port) as proxy,
        mounted(tmp_path, redis_url=f"redis://127.0.0.1:{proxy.port}", namespace=namespace) as server,
    ):
        hold = proxy.hold(b"job_progress:job-1")
        opening = asyncio.create_task(server.service.fanout.open(["job-1"]))
        await hold.seen.wait()

        seen = await answer(port_of(server), request("/ws/jobs/job-1", **GIVEN), until=b'"type":"connected"')

        assert seen.startswith(ACCEPTED)
        assert b'"type":"connected"' in seen
        assert not opening.done()
        hold.release()
        await opening
