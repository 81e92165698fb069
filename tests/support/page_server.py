"""A server for one page that does what a test says, and remembers what the page asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve


class PageServer:
    """Answers subscriptions by docs/protocol.md from ``states``; everything else is the test's."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.sockets: list[ServerConnection] = []
        """Those that were ever opened."""
        self.asked: list[dict[str, Any]] = []
        self.answering = True
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
                await socket.send(frame)

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        await socket.send(json.dumps({"type": "connected", "now_us": time.time_ns() // 1000}))
        async for data in socket:
            command = json.loads(data)
            self.asked.append(command)
            if command["type"] != "subscribe" or not self.answering:
                continue
            ids = command["job_ids"]
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
            await asyncio.wait_for(socket.close(), 5)
