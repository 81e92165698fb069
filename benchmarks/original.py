"""The original progress service, run literally: FastAPI, one Redis listener for each job, one send for each viewer.

It is here to be compared with, so it is kept as its description has it, weak points included: a viewer that stops
reading holds up its job, every job takes a Redis connection, and a state that was pushed before the subscription is
not shown. ``python -m benchmarks.original --redis-url URL --port-file FILE`` listens on a free port and writes it into
the file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

KEEPALIVE_S = 30.0


class ConnectionManager:
    """The viewers of each job, and the task that listens for it while it has any."""

    def __init__(self, redis_url: str, max_connections: int | None = None, *, with_state: bool = False) -> None:
        self._with_state = with_state
        self._redis = redis.from_url(redis_url, decode_responses=True, max_connections=max_connections)
        self._viewers: dict[str, list[WebSocket]] = {}
        self._listeners: dict[str, asyncio.Task[None]] = {}

    async def connect(self, job_id: str, viewer: WebSocket) -> None:
        await viewer.accept()
        self._viewers.setdefault(job_id, []).append(viewer)
        if job_id not in self._listeners:
            self._listeners[job_id] = asyncio.create_task(self._listen(job_id))
        await viewer.send_json(_notice(job_id, "connected", "Connected to job progress stream"))
        if self._with_state and (state := await self._redis.get(f"job_status:{job_id}")):
            await viewer.send_json(json.loads(state))

    async def disconnect(self, job_id: str, viewer: WebSocket) -> None:
        viewers = self._viewers.get(job_id, [])
        with contextlib.suppress(ValueError):
            viewers.remove(viewer)
        if not viewers:
            self._viewers.pop(job_id, None)
            await self._end(job_id)

    async def close(self) -> None:
        for job_id in list(self._listeners):
            await self._end(job_id)
        await self._redis.aclose()

    async def _end(self, job_id: str) -> None:
        if task := self._listeners.pop(job_id, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, job_id: str) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(f"job_progress:{job_id}")
            async for message in pubsub.listen():
                if message["type"] == "message":
                    await self._broadcast(job_id, json.loads(message["data"]))

    async def _broadcast(self, job_id: str, update: object) -> None:
        gone = []
        for viewer in list(self._viewers.get(job_id, ())):
            try:
                await viewer.send_json(update)
            except (WebSocketDisconnect, RuntimeError):
                gone.append(viewer)
        for viewer in gone:
            self._viewers[job_id].remove(viewer)


def _notice(job_id: str, kind: str, text: str) -> dict[str, str]:
    return {"type": kind, "job_id": job_id, "message": text, "timestamp": datetime.now(UTC).isoformat()}


def create_app(redis_url: str, max_connections: int | None = None, *, with_state: bool = False) -> FastAPI:
    """Make the service with its one path, ``/ws/jobs/{job_id}``."""
    manager = ConnectionManager(redis_url, max_connections, with_state=with_state)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await manager.close()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws/jobs/{job_id}")
    async def watch(viewer: WebSocket, job_id: str) -> None:
        await manager.connect(job_id, viewer)
        try:
            while True:
                try:
                    await asyncio.wait_for(viewer.receive_text(), KEEPALIVE_S)
                except TimeoutError:
                    await viewer.send_json(_notice(job_id, "ping", "keepalive"))
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            await manager.disconnect(job_id, viewer)

    return app


def main() -> None:
    """Serve until SIGTERM, with what uvicorn chooses by itself: uvloop and httptools where they are installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.original", description=__doc__)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--port-file", required=True, type=Path)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--max-connections", type=int, help="most connections to Redis, one a job; default: redis-py's")
    parser.add_argument("--with-state", action="store_true", help="send a viewer the present state; it did not")
    arguments = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", arguments.port), backlog=2048)
    arguments.port_file.write_text(f"{listening.getsockname()[1]}\n")
    app = create_app(arguments.redis_url, arguments.max_connections, with_state=arguments.with_state)
    config = uvicorn.Config(app, log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
