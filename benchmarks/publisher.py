"""Reports at a steady pace, stamped: a process of its own, the same one for every server that is measured.

``store``: ``RedisStore.publish``, one script and one round trip. ``plain``: what the original reporter does, ``SET``
with an hour to live and then ``PUBLISH``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import redis.asyncio as redis

from benchmarks import worker
from jupyter_jobprogress.protocol.names import RedisNames
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.redis import RedisStore

How = Literal["store", "plain"]
HOWS: Final[tuple[How, ...]] = get_args(How)

Send = Callable[[dict[str, Any]], Awaitable[None]]


def make_update(job_id: str, index: int, *, count: int) -> dict[str, Any]:
    """Return an update of the size that is usual, stamped now.

    Below 0 it belongs to the warm-up; ``count`` is one past the last, and ends the job. ``sent_ns`` is
    CLOCK_MONOTONIC, which all processes of a Linux machine share; ``sent_wall_us`` is for a browser, which has no
    access to that one.
    """
    metadata = {"sent_ns": time.monotonic_ns(), "sent_wall_us": time.time_ns() // 1000, "index": index}
    return {
        "job_id": job_id,
        "status": "completed" if index == count else "processing",
        "stage": "rendering",
        "progress": min(max(index, 0) / max(count, 1), 1.0),
        "message": f"Rendering frame {index} of {count}",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "metadata": metadata,
    }


async def report(request: dict[str, Any], send: Send) -> None:
    """Send ``warm_up`` and then ``count`` updates at ``updates_per_s``, and the last one that ends the job.

    On an absolute schedule: what takes long delays the next update, but not those after it.
    """
    job_id, count = request["job_id"], request["count"]
    started_s = time.monotonic()
    for number in range(request["warm_up"] + count + 1):
        await asyncio.sleep(started_s + number / request["updates_per_s"] - time.monotonic())
        await send(make_update(job_id, number - request["warm_up"], count=count))


async def _through_store(request: dict[str, Any]) -> None:
    store = RedisStore(Settings(url=request["redis_url"]))
    run: int | None = None

    async def send(update: dict[str, Any]) -> None:
        nonlocal run
        state = State(**{**update, "status": Status(update["status"]), "run": run})
        run = (await store.publish(state, start=run is None)).run

    try:
        await report(request, send)
    finally:
        await store.close()


async def _plainly(request: dict[str, Any]) -> None:
    names, job_id = RedisNames(), request["job_id"]
    async with redis.from_url(request["redis_url"]) as client:

        async def send(update: dict[str, Any]) -> None:
            text = json.dumps(update)
            await client.set(names.state(job_id), text, ex=3600)
            await client.publish(names.channel(job_id), text)

        await report(request, send)


def carry_out(request: dict[str, Any]) -> None:
    """Report one job, and answer when its last update is stored."""
    started_s = time.monotonic()
    asyncio.run(_through_store(request) if request["how"] == "store" else _plainly(request))
    worker.answer({"took_s": time.monotonic() - started_s})


if __name__ == "__main__":
    worker.serve(carry_out)
