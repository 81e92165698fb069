"""A Redis that loads its file: it subscribes and passes messages on, and answers all other commands by -LOADING."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection

from jupyter_jobprogress.errors import StoreUnavailableError
from tests.server.test_limits import HEADERS, connect
from tests.server.test_metrics import samples
from tests.support.jobs import make_state
from tests.support.redis_server import RedisServer
from tests.support.standalone import fetch, mounted

FILLED = 500
SLOWLY = ("--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024")
"""50 ms a key, between which it answers: 25 s for all, or less where a test lets it go on."""


async def until(viewer: ClientConnection, **fields: object) -> None:
    """Read until a message has these fields."""
    async with asyncio.timeout(30):
        while not fields.items() <= json.loads(await viewer.recv()).items():
            pass


async def test_viewers_are_told_until_it_can_be_read_and_then_get_the_end(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    async with (
        mounted(tmp_path, redis_url=own_redis.url) as server,
        connect(server, "ws/jobs/a") as viewer,
        Redis(host="127.0.0.1", port=own_redis.port, protocol=2) as raw,
    ):
        store = server.service.store
        run = (await store.publish(make_state("a"), start=True)).run
        await until(viewer, status="processing")
        for number in range(FILLED):
            await raw.set(f"filler-{number}", os.urandom(2000))
        await raw.save()

        own_redis.kill()
        await until(viewer, type="store", up=False)
        own_redis.start(*SLOWLY)
        async with asyncio.timeout(30):
            while not store.health.up:  # by its pushes
                await asyncio.sleep(0.02)
        with pytest.raises(StoreUnavailableError, match="LOADING"):
            await store.publish(make_state("a", run=run))
        assert (await fetch(f"{server.url}health", headers=HEADERS)).code == 503
        assert (await samples(server))["jobprogress_store_up"] == 0

        await raw.config_set("key-load-delay", 0)
        await until(viewer, type="store", up=True)
        assert (await samples(server))["jobprogress_store_up"] == 1
        await store.publish(make_state("a", "completed", run=run))
        await until(viewer, status="completed")
