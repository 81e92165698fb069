"""Viewers that read slowly, or not at all: what they get, when they are dropped, and that others do not feel it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from benchmarks.hostile import Attacker, Victim, frame
from jupyter_jobprogress.settings import Settings
from tests.server.test_limits import HEADERS, connect
from tests.support.jobs import eventually, make_state
from tests.support.standalone import Mounted, mounted

LARGE = {"x": "y" * 60_000}


async def pausing(server: Mounted) -> ClientConnection:
    """Open a viewer that takes a few frames into its own memory, and then no more from the socket."""
    url = server.url.replace("http", "ws", 1) + "ws/jobs"
    return await websockets.connect(url, additional_headers=HEADERS, compression=None, max_queue=1)


async def fill(server: Mounted, *job_ids: str) -> int:
    """Report on jobs until a viewer of them is behind, and then as much again. Returns how often."""
    counts, behind, count = server.service.metrics.counts, None, 0
    async with asyncio.timeout(30):
        while behind is None or count < 2 * behind:
            count += 1
            for job_id in job_ids:
                await server.service.store.publish(make_state(job_id, n=count, metadata=LARGE))
            await asyncio.sleep(0)
            if behind is None and counts.coalesced:
                behind = count
    return count


async def test_who_does_not_read_is_dropped_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jupyter_jobprogress")
    async with mounted(tmp_path, drain_s=0.5) as server, connect(server, "ws/jobs/small") as healthy:
        stuck = await pausing(server)
        await stuck.send('{"type":"subscribe","job_ids":["large"],"interval_ms":0}')
        await fill(server, "large")

        async def dropped() -> bool:
            return server.service.fanout.viewer_count == 1

        await eventually(dropped, within_s=30)

        assert b"jobprogress_dropped_total 1.0" in server.service.metrics.text()
        await server.service.store.publish(make_state("small", "completed"))
        async with asyncio.timeout(30):
            while json.loads(await healthy.recv()).get("status") != "completed":
                pass
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await stuck.recv()
        assert stuck.close_code in (4408, 1006)  # 1006: it was cut off before it had read as far as the code
    assert [record.getMessage() for record in caplog.records if "viewer" in record.getMessage()] == [
        "A viewer did not read for 0.5 s and is dropped."
    ]


async def test_who_asks_and_does_not_read_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its question waits for room, and so does the task that reads from it."""
    async with mounted(tmp_path, drain_s=0.5) as server:
        address = urlsplit(server.url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        stuck = Attacker(Victim(port=address.port or 0, path=f"{address.path}ws/jobs", headers=lines))
        await stuck.open(small=True)
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        stuck.writer.write(frame(1, b'{"type":"subscribe","job_ids":["large"],"interval_ms":0}'))
        await fill(server, "large")
        stuck.writer.write(frame(1, b'{"type":"read","job_ids":["large"]}') * 3)

        async def gone() -> bool:
            return server.service.fanout.viewer_count == 0

        await eventually(gone, within_s=20)
        stuck.writer.transport.abort()


def test_by_default_that_takes_fifteen_seconds() -> None:
    assert Settings().drain_s == 15


async def test_who_reads_again_gets_the_newest_of_each_job_and_every_end(tmp_path: Path) -> None:
    jobs = ("a", "b", "c")
    async with mounted(tmp_path) as server:
        viewer = await pausing(server)
        await viewer.send(json.dumps({"type": "subscribe", "job_ids": jobs, "interval_ms": 0}))
        count = await fill(server, *jobs)
        for job_id in jobs:
            await server.service.store.publish(make_state(job_id, "completed", n=count + 1))

        seen: dict[str, list[int]] = {job_id: [] for job_id in jobs}
        async with asyncio.timeout(30):
            while any(numbers[-1:] != [count + 1] for numbers in seen.values()):
                message = json.loads(await viewer.recv())
                if "seq" in message:
                    seen[message["job_id"]].append(message["n"])
        await viewer.close()
    for numbers in seen.values():
        assert numbers == sorted(set(numbers)), "in order, and none twice"
        assert len(numbers) < count, "what was overtaken is not sent"
