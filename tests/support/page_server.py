"""A server for one page that does what a test says, and remembers what the page asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class PageServer:
    """Answers subscriptions by docs/protocol.md from ``states``; everything else is the test's."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.sockets: list[ServerConnection] = []
        """Those that were ever opened."""
        self.asked: list[dict[str, Any]] = []
        self.interval_ms: dict[str, int] = {}
        """What the page asked for last, by job."""
        self.answering = True
        self.sent = 0
        """States that ``keep_reporting`` has sent."""
        self._server: Server

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    @property
    def open_sockets(self) -> int:
        return len([socket for socket in self.sockets if socket.close_code is None])

    def report(self, job_id: str, **fields: Any) -> str:
        """Keep a state as the newest, and return it as a frame."""
        now_us = time.time_ns() // 1000
        state = {"job_id": job_id, "status": "processing", "run": 1, "seq": now_us, "heartbeat_s": 10, **fields}
        self.states[job_id] = state
        return json.dumps(state)

    async def push(self, job_id: str, **fields: Any) -> None:
        frame = self.report(job_id, **fields)
        for socket in self.sockets:
            if socket.close_code is None and self.answering:
                with suppress(ConnectionClosed):  # the page may leave meanwhile
                    await socket.send(frame)

    async def keep_reporting(self, job_ids: Sequence[str], *, per_s: float, **fields: Any) -> None:
        """Report on each of these jobs so often, and send what the page asked for, until this is cancelled."""
        loop = asyncio.get_running_loop()
        sent_s = dict.fromkeys(job_ids, 0.0)
        step = 0
        while True:
            begin_s = loop.time()
            step += 1
            for job_id in job_ids:
                frame = self.report(
                    job_id, progress=step % 1000 / 1000, n=step % 1000, total=1000, unit="rows", **fields
                )
                # A tick may come some milliseconds early, and is not to be missed for that.
                if begin_s - sent_s[job_id] >= self.interval_ms[job_id] / 1000 - 0.5 / per_s:
                    sent_s[job_id] = begin_s
                    await self.sockets[-1].send(frame)
                    self.sent += 1
            await asyncio.sleep(max(0.0, begin_s + 1 / per_s - loop.time()))

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        await socket.send(json.dumps({"type": "connected", "now_us": time.time_ns() // 1000}))
        async for data in socket:
            command = json.loads(data)
            self.asked.append(command)
            if command["type"] != "subscribe" or not self.answering:
                continue
            ids = command["job_ids"]
            self.interval_ms.update(dict.fromkeys(ids, command.get("interval_ms", 50)))
            missing = [job_id for job_id in ids if job_id not in self.states]
            await socket.send(json.dumps({"type": "subscribed", "job_ids": ids, "missing": missing}))
            for job_id in ids:
                if job_id in self.states:
                    await socket.send(json.dumps(self.states[job_id]))


@asynccontextmanager
async def page_server() -> AsyncIterator[PageServer]:
    """Run one on a free port until the block ends."""
    served = PageServer()
    async with serve(served._serve, "127.0.0.1", 0) as served._server:
        yield served
        for socket in served.sockets:
            await asyncio.wait_for(socket.close(), 30)
