"""What a server tells of itself."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jupyter_jobprogress.settings import Settings
from tests.server.test_limits import HEADERS, connect
from tests.support.jobs import make_state
from tests.support.redis_server import RedisServer
from tests.support.standalone import Mounted, fetch, mounted


async def samples(server: Mounted) -> dict[str, float]:
    """Ask as Prometheus does, and return every sample without labels."""
    answer = await fetch(f"{server.url}metrics", headers=HEADERS)
    assert answer.code == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {one.name: one.value for family in families for one in family.samples if not one.labels}


async def test_every_series_follows_what_happens(tmp_path: Path) -> None:
    async with mounted(tmp_path) as server:
        await server.service.store.publish(make_state("a"))
        async with connect(server) as viewer:
            await viewer.send('{"type":"subscribe","job_ids":["a","b"],"interval_ms":1000}')
            while "seq" not in json.loads(await viewer.recv()):
                pass
            for step in range(10):
                await server.service.store.publish(make_state("a", n=step))
            await server.service.store.publish(make_state("a", "completed"))
            async with asyncio.timeout(30):
                while json.loads(await viewer.recv()).get("status") != "completed":
                    pass
                while not (found := await samples(server))["jobprogress_loop_lag_seconds_count"]:
                    await asyncio.sleep(0.1)

    assert found["jobprogress_viewers"] == 1
    assert found["jobprogress_subscriptions"] == 2
    assert found["jobprogress_jobs_watched"] == 2
    assert found["jobprogress_store_up"] == 1
    assert found["jobprogress_updates_in_total"] == 12
    assert found["jobprogress_frames_out_total"] >= 2
    assert found["jobprogress_coalesced_total"] >= 9
    assert found["jobprogress_dropped_total"] == 0
    assert found["jobprogress_refused_total"] == 0
    assert found["jobprogress_store_round_trip_seconds_count"] >= 1


async def test_health_tells_of_a_silent_store(tmp_path: Path, own_redis: RedisServer) -> None:
    async with mounted(tmp_path, redis_url=own_redis.url) as server:
        assert (await fetch(f"{server.url}health", headers=HEADERS)).code == 200
        own_redis.freeze()
        begin_s = time.monotonic()
        while (answer := await fetch(f"{server.url}health", headers=HEADERS)).code == 200:
            pass
        took_s = time.monotonic() - begin_s
        own_redis.thaw()

    assert answer.code == 503
    assert json.loads(answer.body)["status"] == "degraded"
    assert took_s < 11


def test_silence_of_the_push_connection_is_noticed_in_time() -> None:
    settings = Settings()

    assert settings.probe_idle_s + settings.probe_deadline_s + settings.deadline_s <= 11


@pytest.mark.slow
async def test_viewers_of_a_silent_store_are_told_in_time(tmp_path: Path, own_redis: RedisServer) -> None:
    async with mounted(tmp_path, redis_url=own_redis.url) as server, connect(server, "ws/jobs/a") as viewer:
        await server.service.store.publish(make_state("a"))
        # With the state nothing is under way: only the silence itself tells.
        while "seq" not in json.loads(await viewer.recv()):
            pass
        own_redis.freeze()
        begin_s = time.monotonic()
        async with asyncio.timeout(30):
            while json.loads(await viewer.recv()) != {"type": "store", "up": False}:
                pass
        took_s = time.monotonic() - begin_s
        assert (await samples(server))["jobprogress_store_up"] == 0
        own_redis.thaw()
        async with asyncio.timeout(30):
            while json.loads(await viewer.recv()) != {"type": "store", "up": True}:
                pass
        assert (await samples(server))["jobprogress_store_up"] == 1
    assert took_s < 12  # 11, and what a busy machine takes
