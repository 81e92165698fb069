"""A TCP proxy that harms on demand: delays, holds one message, loses a reply, swallows everything, cuts, refuses."""

from __future__ import annotations

import asyncio
from types import TracebackType

from tests.support.tcp import tcp_server


class Hold:
    """Keeps back what a client sends from the first chunk on that contains ``pattern``."""

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.seen = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def pass_or_wait(self, data: bytes) -> None:
        if self.pattern in data:
            self.seen.set()
            await self._released.wait()


class ChaosProxy:
    """Stands between clients and ``host:port`` on ``self.port``. Use as an asynchronous context manager.

    ``delay_s`` is added to each chunk from the server. Bytes are held back, never lost or changed, unless a connection
    is cut.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.delay_s = 0.0
        self.connections = 0
        self.replies_lost = 0
        self.port = 0
        self._target = (host, port)
        self._hold: Hold | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._refusing = False
        self._losing = False
        self._server = tcp_server(self._accept)
        self._writers: set[asyncio.StreamWriter] = set()

    def hold(self, pattern: bytes) -> Hold:
        """Hold back the next message of a client that contains a pattern, and what follows it on its connection."""
        self._hold = Hold(pattern)
        return self._hold

    def lose_reply(self) -> None:
        """Reset all connections in place of what a server sends next: it has done what it was asked, unheard."""
        self._losing = True

    def black_hole(self) -> None:
        """Let nothing pass in either direction. Connections stay open, and new ones are taken."""
        self._passing.clear()

    def heal(self) -> None:
        """Let everything pass again, what was held back first."""
        self._passing.set()
        self._refusing = False
        self.delay_s = 0.0
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def point_to(self, port: int) -> None:
        """Lead new connections elsewhere; those that are open stay where they are."""
        self._target = (self._target[0], port)

    def cut(self) -> None:
        """Reset all connections."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset all connections, and each new one at once, until ``heal``."""
        self._refusing = True
        self.cut()

    async def __aenter__(self) -> ChaosProxy:
        self.port = await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            if not self._refusing:
                await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._writers.add(server_writer)
        directions = [
            asyncio.create_task(self._carry(reader, server_writer, is_client=True)),
            asyncio.create_task(self._carry(server_reader, writer, is_client=False)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.transport.abort()
            self._writers.discard(server_writer)
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_client: bool) -> None:
        while data := await source.read(65536):
            await self._passing.wait()
            if is_client and (hold := self._hold) is not None:
                await hold.pass_or_wait(data)
            elif not is_client and self._losing:
                self._losing = False
                self.replies_lost += 1
                self.cut()
                return
            elif not is_client and self.delay_s:
                await asyncio.sleep(self.delay_s)
            sink.write(data)
            await sink.drain()
