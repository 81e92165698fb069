"""A jobprogress server without Jupyter: the real service and its sessions behind a plain WebSocket server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.server.grants import Grant, UserGrant
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.settings import Settings

EVERYTHING = UserGrant(frozenset({"watch", "report", "cancel"}))


class RemoteServer(NamedTuple):
    """A listening server. ``url`` is what a ``RemoteStore`` takes."""

    url: str
    port: int
    service: Service


@asynccontextmanager
async def remote_server(settings: Settings, *, grant: Grant = EVERYTHING, port: int = 0) -> AsyncIterator[RemoteServer]:
    """Serve ``ws/jobs`` on a free port until the block ends."""
    service = Service(settings)

    async def handle(connection: ServerConnection) -> None:
        async def send(frame: bytes) -> None:
            try:
                await connection.send(frame, text=True)
            except ConnectionClosed:
                raise asyncio.CancelledError from None

        def close(code: CloseCode, reason: str) -> None:
            closing.append(asyncio.create_task(connection.close(code, reason)))

        closing: list[asyncio.Task[None]] = []
        session = service.open_session(grant=grant, send=send, close=close)
        await session.start()
        try:
            async for message in connection:
                await session.handle(message)
        except ConnectionClosed:
            pass
        finally:
            service.close_session(session)
            await asyncio.gather(*closing)

    async with serve(handle, "127.0.0.1", port, compression=None) as server:
        found = server.sockets[0].getsockname()[1]
        try:
            yield RemoteServer(f"http://127.0.0.1:{found}/", found, service)
        finally:
            await service.close()
