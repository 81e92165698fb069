"""What one writes first with Tornado: one subscription to all jobs, ``write_message`` for each viewer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler

_viewers: dict[str, set[Watch]] = {}


class Watch(WebSocketHandler):
    def initialize(self, client: redis.Redis) -> None:
        self._client = client

    async def open(self, job_id: str) -> None:
        self.job_id = job_id
        self.set_nodelay(True)
        self.write_message(json.dumps({"type": "connected", "job_id": job_id}, separators=(",", ":")))
        state = await self._client.get(f"job_status:{job_id}")
        _viewers.setdefault(job_id, set()).add(self)
        if state is not None:
            self.write_message(state)

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_close(self) -> None:
        _viewers.get(self.job_id, set()).discard(self)


async def _listen(client: redis.Redis) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.psubscribe("job_progress:*")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                for viewer in tuple(_viewers.get(message["channel"].removeprefix("job_progress:"), ())):
                    with contextlib.suppress(WebSocketClosedError):
                        viewer.write_message(message["data"])


async def _serve(redis_url: str, listening: socket.socket) -> None:
    # Viewers who come at once wait for a connection: the pool that is made by default fails at 100.
    pool = redis.BlockingConnectionPool.from_url(redis_url, decode_responses=True, max_connections=20, timeout=None)
    client: Any = redis.Redis(connection_pool=pool)
    HTTPServer(Application([(r"/ws/jobs/(.+)", Watch, {"client": client})])).add_socket(listening)
    await _listen(client)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_tornado", description=__doc__)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", required=True, type=Path)
    arguments = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", arguments.port), backlog=2048)
    listening.setblocking(False)
    arguments.port_file.write_text(f"{listening.getsockname()[1]}\n")
    asyncio.run(_serve(arguments.redis_url, listening))


if __name__ == "__main__":
    main()
