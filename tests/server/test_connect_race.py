"""Rule 17, made deterministic: the job ends while the subscription of its viewer is on its way to Redis."""

from __future__ import annotations

import asyncio

from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.redis import RedisStore
from tests.support.chaos import ChaosProxy
from tests.support.jobs import Collector, make_state
from tests.support.redis_server import RedisServer
from tests.support.seats import Viewer

ROUNDS = 100


async def test_a_viewer_who_comes_as_the_job_ends_sees_the_end(redis_server: RedisServer, namespace: str) -> None:
    worker = RedisStore(Settings(url=redis_server.url, namespace=namespace))
    async with ChaosProxy(redis_server.port) as proxy:
        held = RedisStore(Settings(url=f"redis://127.0.0.1:{proxy.port}", namespace=namespace))
        fanout = Fanout(held)
        right = 0

        for number in range(ROUNDS):
            job_id, viewer = f"job-{number}", Viewer()
            await worker.publish(make_state(job_id))
            hold = proxy.hold(f"job_progress:{job_id}".encode())
            opening = asyncio.create_task(fanout.open([job_id]))
            async with asyncio.timeout(30):
                await hold.seen.wait()
            await worker.publish(make_state(job_id, "completed"))
            hold.release()
            await opening
            fanout.watch(viewer.mailbox, job_id)
            right += viewer.seen[-1]["status"] == "completed"

        await fanout.close()
        await held.close()
    await worker.close()
    assert right == ROUNDS


async def test_reading_first_and_subscribing_then_misses_the_end(redis_server: RedisServer, namespace: str) -> None:
    worker = RedisStore(Settings(url=redis_server.url, namespace=namespace))
    async with ChaosProxy(redis_server.port) as proxy:
        held = RedisStore(Settings(url=f"redis://127.0.0.1:{proxy.port}", namespace=namespace))
        collector = Collector()
        subscription = held.subscribe(collector)
        missed = 0

        for number in range(ROUNDS):
            job_id = f"job-{number}"
            await worker.publish(make_state(job_id))
            seen = (await held.read([job_id]))[job_id]
            hold = proxy.hold(f"job_progress:{job_id}".encode())
            adding = asyncio.create_task(subscription.add(job_id))
            async with asyncio.timeout(30):
                await hold.seen.wait()
            await worker.publish(make_state(job_id, "completed"))
            hold.release()
            await adding
            missed += seen.status is Status.PROCESSING and collector.of(job_id) == []

        await held.close()
    await worker.close()
    assert missed == ROUNDS
