"""A job that runs keeps a Jupyter server from being idle, where it is told to, and nothing else of ours does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from jupyter_jobprogress.protocol.state import Origin
from jupyter_jobprogress.server.activity import Activity
from jupyter_jobprogress.server.service import Service
from tests.support.jobs import eventually, make_state
from tests.support.jupyter import jupyter_server

Fetch = Callable[..., Any]


async def last_activity(fetch: Fetch) -> str:
    answer = json.loads((await fetch("api", "status", params={"no_track_activity": 1})).body)
    return str(answer["last_activity"])


def activity(service: Service, **options: Any) -> tuple[Activity, list[int]]:
    marks: list[int] = []
    return Activity(service, lambda: marks.append(1), look_s=30, **({"longest_s": 60} | options)), marks


async def test_a_running_job_counts_until_it_ends_or_is_too_old(service: Service) -> None:
    now_s = 0.0
    looking, marks = activity(service, clock=lambda: now_s)
    await service.store.publish(make_state("queued", "queued"))
    await service.store.publish(make_state("ended", "completed"))
    await looking.look()
    assert (looking.running, marks) == (False, [])

    run = (await service.store.publish(make_state("runs", heartbeat_s=30), start=True)).run
    await looking.look()
    now_s = 60.0
    await looking.look()
    assert (looking.running, marks) == (True, [1, 1])
    now_s = 60.1
    await looking.look()
    assert (looking.running, marks) == (False, [1, 1])

    # Another run of it is another matter.
    assert (await service.store.publish(make_state("runs", heartbeat_s=30), start=True)).run != run
    await looking.look()
    assert looking.running
    await service.store.publish(make_state("runs", "completed"))
    await looking.look()
    assert not looking.running


async def test_a_job_elsewhere_counts_only_while_it_is_watched_where_another_keeps_the_states(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, marks = activity(service)
    await service.store.publish(make_state("far", heartbeat_s=30, origin=Origin(host="gpu-7")))
    await looking.look()
    assert len(marks) == 1  # it reports to this server, and could not without

    object.__setattr__(service.settings, "url", "redis://elsewhere/0")
    await looking.look()
    assert len(marks) == 1
    await service.fanout.open(["far"])
    await looking.look()
    assert len(marks) == 2
    service.fanout.release(["far"])
    await service.store.publish(make_state("near", heartbeat_s=30, origin=Origin(host=looking._host)))
    await looking.look()
    assert len(marks) == 3


async def test_nothing_of_ours_is_activity_by_default(
    jp_fetch: Fetch, connect: Callable[..., Any], service: Service, jp_serverapp: ServerApp
) -> None:
    before = await last_activity(jp_fetch)

    socket = await connect("jobprogress", "ws", "jobs")
    await socket.write_message('{"type":"subscribe","id":1,"job_ids":["a"]}')
    while json.loads(await socket.read_message()).get("type") != "ping":
        pass
    await jp_fetch("jobprogress", "api", "jobs", "a", "updates", method="POST", body='{"progress": 0.5}')
    await jp_fetch("jobprogress", "health")
    await jp_fetch("jobprogress", "metrics")

    assert await last_activity(jp_fetch) == before
    assert not jp_serverapp.extension_manager.any_activity()


async def test_a_running_job_is_the_activity_of_a_server_that_is_told_so(tmp_path: Path) -> None:
    options = [f"--JobProgress.{option}" for option in ("keep_alive_while_running=True", "keep_alive_look_s=0.05")]
    async with jupyter_server(tmp_path, *options) as server:

        async def activity() -> str:
            answer = await server.fetch("api/status?no_track_activity=1")
            return str(json.loads(answer.body)["last_activity"])

        async def grows() -> bool:
            before = await activity()
            await asyncio.sleep(0.2)  # four looks
            return await activity() > before

        async def report(**fields: Any) -> None:
            path, body = "jobprogress/api/jobs/runs/updates", json.dumps(fields)
            assert (await server.fetch(path, method="POST", body=body)).code == 200

        assert not await grows()
        await report(progress=0.5, heartbeat_s=30)
        await eventually(grows, within_s=30)

        await report(status="completed")

        async def rests() -> bool:
            return not await grows()

        await eventually(rests, within_s=30)
