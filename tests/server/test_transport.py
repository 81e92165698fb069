"""A socket whose writing and whose updates meet in one turn of the loop: nothing is forgotten, nobody is blamed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.hostile import frame
from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.frames import text_frame
from jupyter_jobprogress.server.transport import Wire
from tests.server.test_limits import HEADERS
from tests.support.jobs import eventually
from tests.support.standalone import Mounted, mounted

BUFFER_BYTES = 32 * 1024
"""Of each end's socket: little, and the same on every machine."""


@dataclass
class Pair:
    """Both ends of one viewer's socket. The viewer's reads when it is told to, and without a turn of the loop."""

    server: Mounted
    wire: Wire
    viewer: socket.socket
    got: bytes = b""

    def writing(self) -> bool:
        return self.wire._stream.writing()

    def fill(self, step: Callable[[], object]) -> None:
        """Do something again and again until the server's stream has bytes that its socket did not take."""
        while not self.writing():
            step()

    def read(self) -> None:
        """Read all that is in the sockets, until the server's takes more."""
        while select.select([self.viewer], [], [], 0.2)[0]:
            self.got += self.viewer.recv(65536)
        assert select.select([], [self.wire._stream.socket], [], 30)[1]

    async def read_until(self, mark: bytes) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while mark not in self.got:
                data = await loop.sock_recv(self.viewer, 65536)
                assert data, "the server closed it"
                self.got += data


@asynccontextmanager
async def pair(folder: Path, **limits: float) -> AsyncIterator[Pair]:
    """Open a viewer of the job ``a``."""
    async with mounted(folder, **limits) as server:
        address, loop = urlsplit(server.url), asyncio.get_running_loop()
        with socket.socket() as viewer:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            viewer.setblocking(False)
            await loop.sock_connect(viewer, (address.hostname, address.port))
            key = base64.b64encode(os.urandom(16)).decode()
            fields = {"Host": address.netloc, "Upgrade": "websocket", "Connection": "Upgrade", **HEADERS}
            fields |= {"Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            await loop.sock_sendall(viewer, f"GET {address.path}ws/jobs/a HTTP/1.1\r\n{lines}\r\n".encode())

            async def watching() -> bool:
                return server.service.fanout.watches("a")

            await eventually(watching)
            ((wire, _, _),) = server.service._sessions.values()
            assert isinstance(wire, Wire)
            wire._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            ends = Pair(server, wire, viewer)
            await ends.read_until(b"Connected to job progress stream")
            yield ends


async def test_an_update_arrives_that_comes_as_the_socket_has_room_again_for_pongs(tmp_path: Path) -> None:
    async with pair(tmp_path, commands_per_s=10_000.0) as ends:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while not ends.writing():
                await loop.sock_sendall(ends.viewer, frame(9, b"x" * 125) * 100)
        assert ends.wire._late is None, "what is written is Tornado's own"

        # In one turn: the socket has room, of which the stream does not know yet, and an update comes.
        ends.read()
        assert ends.writing()
        ends.server.service.fanout.pushed(Stored("a", b'{"job_id":"a","n":1}', 1, Status.COMPLETED))

        await ends.read_until(b'"n":1')


async def test_no_timer_that_drops_a_viewer_outlives_its_write_where_the_next_begins_at_once(tmp_path: Path) -> None:
    large = text_frame(b'"%b"' % (b"x" * 20_000))
    async with pair(tmp_path) as ends:
        loop = asyncio.get_running_loop()

        def write() -> None:
            assert ends.wire.send(large)

        ends.fill(write)
        first = ends.wire._late
        assert first is not None
        ends.read()
        # Timers come after sockets in the same turn: the first write ends, and then a second one begins.
        loop.call_later(0, ends.fill, write)
        async with asyncio.timeout(30):
            while ends.wire._late is first:
                await asyncio.sleep(0)
            second = ends.wire._late
            assert second is not None
            while ends.wire._late is not None:
                with contextlib.suppress(BlockingIOError):
                    ends.viewer.recv(65536)
                await asyncio.sleep(0)

        assert first.cancelled()
        assert second.cancelled()
