"""A socket that closed leaves nothing behind: neither session nor handler, stream or request."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream
from tornado.web import RequestHandler

from jupyter_jobprogress.server.mailbox import Mailbox
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.session import Session
from jupyter_jobprogress.server.transport import Protocol, Wire
from tests.support.jobs import eventually, make_state
from tests.support.standalone import TOKEN, mounted

TORNADO = (RequestHandler, HTTPServerRequest, HTTP1ServerConnection, HTTP1Connection, IOStream)
KINDS = (Session, Mailbox, Wire, Protocol, *TORNADO)
VIEWERS = 10


def alive() -> Counter[str]:
    """Count what there is of each kind, beside garbage."""
    gc.collect()
    # By its class: a weak proxy to something that is gone has none.
    return Counter(type(one).__name__ for one in gc.get_objects() if issubclass(type(one), KINDS))


async def come_and_go(service: Service, url: str, **options: Any) -> None:
    """Let viewers watch a job, one leave properly, the others by the end of their connections."""
    sockets = [await websockets.connect(url, compression=None, **options) for _ in range(VIEWERS)]
    for socket in sockets:
        await socket.recv()
        await socket.recv()
    assert service.fanout.viewer_count == VIEWERS
    await sockets[0].close()
    for socket in sockets[1:]:
        socket.transport.abort()
        await socket.wait_closed()

    async def gone() -> bool:
        return service.fanout.viewer_count == 0

    await eventually(gone, within_s=30)


def sessions() -> int:
    """Count sessions, garbage included."""
    return sum(issubclass(type(one), Session) for one in gc.get_objects())


async def settles(before: Counter[str]) -> Counter[str]:
    """Return what is there beyond what was, once that is nothing, or after a while."""

    async def none() -> bool:
        return not alive() - before

    with suppress(TimeoutError):
        await eventually(none, within_s=30, every_s=0.1)
    return alive() - before


@pytest.mark.parametrize("way", ["short", "by a handler"])
async def test_in_the_standalone_server(tmp_path: Path, way: str) -> None:
    headers = {"Authorization": f"token {TOKEN}"} if way == "short" else {}
    async with mounted(tmp_path) as server:
        await server.service.store.publish(make_state())
        url = f"{server.url.replace('http', 'ws', 1)}ws/jobs/job-1{'' if headers else f'?token={TOKEN}'}"
        await come_and_go(server.service, url, additional_headers=headers)  # what is made once is made
        before = alive()
        await come_and_go(server.service, url, additional_headers=headers)
        assert not await settles(before)


@pytest.mark.usefixtures("jp_ws_fetch")  # which starts it
async def test_in_a_jupyter_server(service: Service, jp_base_url: str, jp_http_port: int, jp_auth_header: Any) -> None:
    await service.store.publish(make_state())
    url = f"ws://127.0.0.1:{jp_http_port}{jp_base_url}jobprogress/ws/jobs/job-1"
    await come_and_go(service, url, additional_headers=jp_auth_header)
    before = alive()
    await come_and_go(service, url, additional_headers=jp_auth_header)
    assert not await settles(before)


async def test_a_session_goes_without_the_garbage_collector(tmp_path: Path) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    async with mounted(tmp_path) as server:
        await server.service.store.publish(make_state())
        url = f"{server.url.replace('http', 'ws', 1)}ws/jobs/job-1"
        gc.collect()
        before = sessions()
        gc.disable()
        try:
            await come_and_go(server.service, url, additional_headers=headers)

            async def gone() -> bool:
                return sessions() <= before

            await eventually(gone, within_s=30)
        finally:
            gc.enable()


@pytest.mark.usefixtures("jp_ws_fetch")  # which starts it
async def test_open_sockets_hold_neither_their_handlers_nor_requests(
    service: Service, jp_base_url: str, jp_http_port: int, jp_auth_header: Any
) -> None:
    url = f"ws://127.0.0.1:{jp_http_port}{jp_base_url}jobprogress/ws/jobs/job-1"
    before = alive()

    async with AsyncExitStack() as opened:
        for _ in range(VIEWERS):
            socket = websockets.connect(url, compression=None, additional_headers=jp_auth_header)
            await (await opened.enter_async_context(socket)).recv()

        async def let_go() -> bool:
            # What the first viewer starts for all of them runs in the context of its request.
            return (alive() - before)["JupyterJobSocket"] <= 1 and (alive() - before)["HTTPServerRequest"] <= 1

        await eventually(let_go, within_s=30, every_s=0.1)
        assert (alive() - before)["Session"] == VIEWERS
