"""A TCP server of a test's own, which leaves no connection open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

ACCEPTING_TURNS = 3
"""Turns of asyncio's loop from taking a connection to telling that it is there: task, transport, protocol."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(serve: Serve, port: int = 0) -> AsyncIterator[int]:
    """Serve each connection with a coroutine, and give the port.

    At the end the coroutines are cancelled and all connections reset. ``asyncio.start_server`` alone leaves the
    connection open of a coroutine that is cancelled (Python 3.11), to be found as garbage in some later test.
    """
    connections: dict[asyncio.Future[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.ensure_future(serve(reader, writer))] = writer

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)
        for serving, writer in connections.items():
            serving.cancel()
            writer.transport.abort()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # the turn in which aborted transports close their sockets
