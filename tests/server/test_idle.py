"""Sockets on whose end nothing runs are let go of, so that they keep no server from being idle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection

from jupyter_jobprogress.protocol.liveness import expected
from tests.server.test_limits import answers, connect, ending
from tests.support.jobs import make_state
from tests.support.standalone import mounted

IDLE_S = 0.4
LET_GO = (4410, "no job runs that it watches")


async def ask(socket: ClientConnection, **command: Any) -> None:
    """Send a command, and wait for its answer."""
    await socket.send(json.dumps(command | {"id": 1}))
    while json.loads(await socket.recv()).get("id") != 1:
        pass


async def test_a_page_of_ended_and_missing_jobs_is_let_go_of_and_one_of_a_running_job_is_not(tmp_path: Path) -> None:
    async with mounted(tmp_path, idle_socket_s=IDLE_S) as server, connect(server) as busy:
        await server.service.store.publish(make_state("runs", heartbeat_s=30))
        await server.service.store.publish(make_state("ended", "completed"))
        await ask(busy, type="subscribe", job_ids=["runs", "ended"])
        async with connect(server) as idle, connect(server, "ws/jobs/ended") as single:
            await ask(idle, type="subscribe", job_ids=["ended", "missing"])

            assert await ending(idle) == LET_GO
            assert await ending(single) == LET_GO
        assert await answers(busy)

        await server.service.store.publish(make_state("runs", "completed"))
        assert await ending(busy) == LET_GO


async def test_who_reports_a_job_is_kept_until_it_ends(tmp_path: Path) -> None:
    state = {"job_id": "mine", "stage": "", "progress": 0.5, "message": "", "timestamp": "2026-01-01T00:00:00Z"}
    async with mounted(tmp_path, idle_socket_s=IDLE_S) as server, connect(server) as reporter:
        await ask(reporter, type="report", state=state | {"status": "processing"})
        async with connect(server) as idle:
            await ask(idle, type="subscribe", job_ids=["missing"])
            assert await ending(idle) == LET_GO
        assert await answers(reporter)

        await ask(reporter, type="report", state=state | {"status": "completed"})
        assert await ending(reporter) == LET_GO


def test_a_job_that_is_lost_is_not_waited_for() -> None:
    def after(silence_s: float, **fields: Any) -> bool:
        return expected(make_state("j", **({"seq": 1_000_000} | fields)), now_us=1_000_000 + int(silence_s * 1e6))

    assert after(100, heartbeat_s=10)
    assert not after(120, heartbeat_s=10)
    assert after(3599)
    assert not after(3600)
    assert after(1e6, seq=None)
    assert not after(1, status="failed", heartbeat_s=10)
