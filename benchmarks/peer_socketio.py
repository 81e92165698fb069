"""The same service on python-socketio: a room for each job, one subscription to all jobs, uvicorn."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import redis.asyncio as redis
import socketio  # type: ignore[import-untyped,import-not-found,unused-ignore]
import uvicorn

_EVENT = "progress"


def create_app(redis_url: str) -> Any:
    """Make the service: a viewer sends ``subscribe`` with the id of a job."""
    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[], http_compression=False)
    # Viewers who come at once wait for a connection: the pool that is made by default fails at 100.
    pool = redis.BlockingConnectionPool.from_url(redis_url, decode_responses=True, max_connections=20, timeout=None)
    client: Any = redis.Redis(connection_pool=pool)

    async def subscribe(sid: str, job_id: str) -> None:
        state = await client.get(f"job_status:{job_id}")
        await server.enter_room(sid, job_id)
        await server.emit("subscribed", job_id, to=sid)
        if state is not None:
            await server.emit(_EVENT, json.loads(state), to=sid)

    async def listen() -> None:
        async with client.pubsub() as pubsub:
            await pubsub.psubscribe("job_progress:*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    room = message["channel"].removeprefix("job_progress:")
                    await server.emit(_EVENT, json.loads(message["data"]), room=room)

    server.on("subscribe", subscribe)
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.append(asyncio.create_task(listen()))

    async def stop() -> None:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return socketio.ASGIApp(server, on_startup=start, on_shutdown=stop)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_socketio", description=__doc__)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", required=True, type=Path)
    arguments = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", arguments.port), backlog=2048)
    arguments.port_file.write_text(f"{listening.getsockname()[1]}\n")
    config = uvicorn.Config(create_app(arguments.redis_url), log_level="warning", ws_per_message_deflate=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
