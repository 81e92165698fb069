"""Several servers on one Redis: each has one subscription, and none needs another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import redis
import websockets
from websockets.asyncio.client import ClientConnection

from tests.support.jobs import eventually
from tests.support.redis_server import RedisServer
from tests.support.standalone import Serving, fetch, serving

JOBS = ("job-1", "job-2")


@asynccontextmanager
async def viewer(server: Serving) -> AsyncIterator[ClientConnection]:
    """Watch all jobs on one socket, with every update."""
    url = server.url.replace("http", "ws", 1) + "ws/jobs"
    async with websockets.connect(url, additional_headers=server.headers, max_queue=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "job_ids": JOBS, "interval_ms": 0}))
        while json.loads(await socket.recv())["type"] != "subscribed":
            pass
        yield socket


async def report(server: Serving, n: int) -> None:
    for job_id in JOBS:
        url = f"{server.url}api/jobs/{job_id}/updates"
        answer = await fetch(url, method="POST", body=json.dumps({"n": n}), headers=server.headers)
        assert answer.code == 200, answer.body


async def sees(socket: ClientConnection, n: int) -> list[tuple[str, int]]:
    """Read until the newest state of each job has come, and return all that did."""
    seen: list[tuple[str, int]] = []
    async with asyncio.timeout(60):
        while not {(job_id, n) for job_id in JOBS} <= set(seen):
            message = json.loads(await socket.recv())
            assert message.get("type") not in ("store", "error"), message
            if "seq" in message:
                seen.append((message["job_id"], message["n"]))
    return seen


def subscribed(server: RedisServer) -> list[int]:
    """Return of each connection that has subscribed to anything to how many channels."""
    with redis.Redis.from_url(server.url) as client:
        return sorted(int(one["sub"]) for one in client.client_list() if int(one["sub"]))


async def test_servers_come_and_go_and_viewers_of_others_do_not_feel_it(tmp_path: Path, own_redis: RedisServer) -> None:
    with ExitStack() as stack:

        def start(name: str) -> Serving:
            (tmp_path / name).mkdir()
            return stack.enter_context(serving(tmp_path / name, f"--redis-url={own_redis.url}"))

        first, second = start("first"), start("second")
        async with viewer(second) as stays:
            async with viewer(first) as goes, viewer(first) as goes_too:
                await report(first, 1)
                for socket in (goes, goes_too, stays):
                    await sees(socket, 1)
                # One each, for the two jobs and the probe, however many watch.
                assert subscribed(own_redis) == [3, 3]

                first.process.kill()
                first.process.wait()
                await report(second, 2)
                await sees(stays, 2)

            async def gone() -> bool:
                return subscribed(own_redis) == [3]

            await eventually(gone, within_s=30)

            third = start("third")
            async with viewer(third) as comes:
                assert await sees(comes, 2) == [(job_id, 2) for job_id in JOBS], "the present state, from the store"
                await report(third, 3)
                assert await sees(comes, 3) == await sees(stays, 3) == [(job_id, 3) for job_id in JOBS]
                assert subscribed(own_redis) == [3, 3]
