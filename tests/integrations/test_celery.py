"""Tasks of real workers on a real Redis, with processes, threads and greenlets."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import group
from celery.exceptions import TaskRevokedError

from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.base import Store
from tests.integrations import celery_app as tasks
from tests.support.celery_workers import workers
from tests.support.jobs import Collector, eventually
from tests.support.redis_server import RedisServer

POOLS = {"prefork": 2, "threads": 2, "gevent": 10}
WITHIN_S = 30.0

pytestmark = [
    pytest.mark.slow,
    # Results of Celery that are collected, at any time, leave sockets of this process open. Jobs are in the workers'.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def celery_redis(redis_server: RedisServer) -> dict[str, str]:
    """Name where broker, results and jobs are: three databases of one server."""
    root = redis_server.url.rpartition("/")[0]
    return {"TEST_BROKER_URL": f"{root}/7", "TEST_RESULTS_URL": f"{root}/8", "REDIS_URL": f"{root}/9"}


@pytest.fixture(scope="module", autouse=True)
def running(celery_redis: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    conf = tasks.celery_app.conf
    before = conf.broker_url, conf.result_backend
    conf.broker_url, conf.result_backend = celery_redis["TEST_BROKER_URL"], celery_redis["TEST_RESULTS_URL"]
    conf.jobprogress_url = celery_redis["REDIS_URL"]
    with workers(
        "tests.integrations.celery_app", POOLS, folder=tmp_path_factory.mktemp("celery"), environment=celery_redis
    ):
        yield
        # Celery closes no connections of threads, and its results say goodbye to Redis when they are collected.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    conf.broker_url, conf.result_backend = before
    conf.jobprogress_url = None


@pytest.fixture
async def store(celery_redis: dict[str, str]) -> AsyncIterator[Store]:
    store = connect(Settings(url=celery_redis["REDIS_URL"]))
    yield store
    await store.close()


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def send(task: Any, *arguments: object, pool: str, **options: Any) -> Any:
    """Send a task as a program would, and not from the event loop."""
    return await asyncio.to_thread(task.apply_async, arguments, queue=pool, **options)


async def result(sent: Any) -> Any:
    """Return what a task returned, or raise what it raised.

    It is asked for until it is there. Celery 5.7 waits for pushes instead, and under load its wait for a group ran into
    the timeout within some tens of groups, with all results in Redis.
    """

    async def ready() -> bool:
        return bool(await asyncio.to_thread(sent.ready))

    await eventually(ready, within_s=WITHIN_S)
    return await asyncio.to_thread(sent.get, timeout=WITHIN_S)


async def state_of(store: Store, job_id: str) -> dict[str, Any]:
    stored = (await store.read([job_id])).get(job_id)
    return {} if stored is None else json.loads(stored.data)


async def ended(store: Store, job_id: str) -> dict[str, Any]:
    """Wait for the end of a job: what Celery stores and what the job says arrive in no order."""

    async def over() -> bool:
        return (await state_of(store, job_id)).get("status") in ("completed", "failed", "cancelled")

    await eventually(over, within_s=WITHIN_S)
    return await state_of(store, job_id)


async def watching(store: Store, job_id: str) -> Collector:
    """Follow a job from before its task is sent."""
    collector = Collector()
    await store.subscribe(collector).add(job_id)
    return collector


def said(pushes: list[Stored]) -> list[tuple[str, str]]:
    """Return what changed from push to push."""
    states = [json.loads(stored.data) for stored in pushes]
    words = [(state["status"], state["message"]) for state in states]
    return [word for before, word in zip([None, *words], words, strict=False) if word != before]


def is_end(pushes: list[Stored]) -> bool:
    return bool(pushes) and json.loads(pushes[-1].data)["status"] in ("completed", "failed", "cancelled")


async def test_a_task_is_a_job_from_the_queue_to_its_end(pool: str, store: Store) -> None:
    task_id = f"steps-{pool}-{time.time_ns()}"
    seen = await watching(store, task_id)

    sent = await send(tasks.steps, 3, pool=pool, task_id=task_id)
    assert await result(sent) == {"steps": 3}
    await seen.until(lambda: is_end(seen.pushes), within_s=WITHIN_S)

    heard = said(seen.pushes)
    assert heard[0] == ("queued", "")
    assert [word for word in heard if word[1].startswith("Step")] == [("processing", f"Step {n}") for n in range(3)]
    assert heard[-1] == ("completed", "Job completed")
    last = json.loads(seen.pushes[-1].data)
    assert (last["progress"], last["result"], last["title"]) == (1.0, {"steps": 3}, tasks.steps.name)


async def test_the_sample_of_the_original_service_runs_unchanged(pool: str, store: Store) -> None:
    sent = await send(tasks.render_video, "a.mp4", pool=pool)

    expected = {"video_url": "https://cdn.example.com/a.mp4"}
    assert await result(sent) == expected
    state = await ended(store, sent.id)
    assert (state["status"], state["result"]) == ("completed", expected)


async def test_a_task_that_fails_says_why(pool: str, store: Store) -> None:
    sent = await send(tasks.fails, pool=pool)

    state = await ended(store, sent.id)
    assert (state["status"], state["error"]) == ("failed", "ValueError: the disk is full")
    assert "raise ValueError" in state["metadata"]["traceback"]


async def test_a_task_that_is_tried_again_waits_as_queued(pool: str, store: Store) -> None:
    task_id = f"again-{pool}-{time.time_ns()}"
    seen = await watching(store, task_id)

    sent = await send(tasks.comes_again, 1, pool=pool, task_id=task_id)
    assert await result(sent) == 1
    await seen.until(lambda: is_end(seen.pushes), within_s=WITHIN_S)

    waiting = ("queued", "Retry 1 of 2 after ConnectionError: nobody answers")
    heard = said(seen.pushes)
    assert heard.count(waiting) == 1
    assert heard.index(waiting) < len(heard) - 1
    states = [json.loads(stored.data) for stored in seen.pushes]
    (left,) = [state for state in states if state["message"] == waiting[1]]
    assert (left["progress"], left.get("heartbeat_s")) == (0.25, None)
    assert states[-1]["run"] > left["run"]


async def test_a_task_that_is_tried_too_often_has_failed(store: Store) -> None:
    sent = await send(tasks.comes_again, 9, pool="threads")

    with pytest.raises(ConnectionError):
        await result(sent)
    async with asyncio.timeout(WITHIN_S):
        while (state := await ended(store, sent.id))["status"] != "failed":
            await asyncio.sleep(0.02)
    assert state["error"] == "ConnectionError: nobody answers"


async def test_cancelling_a_running_job_revokes_its_task(pool: str, store: Store) -> None:
    sent = await send(tasks.goes_on, pool=pool)

    async def runs() -> bool:
        return (await state_of(store, sent.id)).get("status") == "processing"

    await eventually(runs, within_s=WITHIN_S)
    assert await store.request_cancel(sent.id)

    with pytest.raises(TaskRevokedError):
        await result(sent)
    assert sent.status == "REVOKED"
    state = await ended(store, sent.id)
    assert (state["status"], state["message"]) == ("cancelled", "Cancelled on request")


async def test_a_job_that_is_cancelled_in_the_queue_never_starts(pool: str, store: Store) -> None:
    task_id = f"early-{pool}-{time.time_ns()}"
    seen = await watching(store, task_id)
    # The worker takes it and keeps it until its time comes.
    sent = await send(tasks.steps, 3, pool=pool, task_id=task_id, countdown=0.7)
    assert await store.request_cancel(task_id)

    with pytest.raises(TaskRevokedError):
        await result(sent)
    await seen.until(lambda: is_end(seen.pushes), within_s=WITHIN_S)
    assert said(seen.pushes) == [("queued", ""), ("cancelled", "Cancelled on request")]


async def test_a_task_that_celery_revokes_is_a_cancelled_job(pool: str, store: Store) -> None:
    sent = await send(tasks.steps, 3, pool=pool, countdown=1)
    await asyncio.to_thread(sent.revoke)

    state = await ended(store, sent.id)
    assert (state["status"], state["message"]) == ("cancelled", "Revoked")


async def test_a_task_that_celery_terminates_is_a_cancelled_job(store: Store) -> None:
    sent = await send(tasks.goes_on, pool="prefork")

    async def runs() -> bool:
        return (await state_of(store, sent.id)).get("status") == "processing"

    await eventually(runs, within_s=WITHIN_S)
    await asyncio.to_thread(sent.revoke, terminate=True)

    assert (await ended(store, sent.id))["status"] == "cancelled"


async def test_a_result_that_cannot_be_stored_fails_the_job_as_it_fails_the_task(store: Store) -> None:
    sent = await send(tasks.returns_what_json_is_not, pool="threads")

    state = await ended(store, sent.id)
    assert (state["status"], state["error"]) == (
        "failed",
        "EncodeError: Object of type object is not JSON serializable",
    )


async def test_a_process_that_is_killed_fails_its_job(store: Store) -> None:
    sent = await send(tasks.killed, pool="prefork")

    state = await ended(store, sent.id)
    assert state["status"] == "failed"
    assert "WorkerLostError" in state["error"]


async def test_a_task_that_takes_too_long_fails_its_job(store: Store) -> None:
    sent = await send(tasks.too_long, pool="prefork")

    state = await ended(store, sent.id)
    assert state["status"] == "failed"
    assert state["error"].startswith("TimeLimitExceeded")


async def test_a_task_that_is_delivered_again_gets_a_new_run(store: Store) -> None:
    task_id = f"late-{time.time_ns()}"
    seen = await watching(store, task_id)

    sent = await send(tasks.killed_late, pool="prefork", task_id=task_id)
    assert await result(sent) == "done"
    await seen.until(lambda: is_end(seen.pushes), within_s=WITHIN_S)

    states = [json.loads(stored.data) for stored in seen.pushes]
    runs = list(dict.fromkeys(state["run"] for state in states if "run" in state))
    assert len(runs) == 2
    assert runs == sorted(runs)
    assert states[-1]["status"] == "completed"
    assert "failed" not in {state["status"] for state in states}


async def test_what_a_task_sends_is_a_part_of_it(store: Store) -> None:
    sent = await send(tasks.sends, "threads", pool="threads")

    for part_id in await result(sent):
        assert (await ended(store, part_id))["parent_id"] == sent.id


async def test_tasks_of_a_group_are_parts_of_it(store: Store) -> None:
    members = group(tasks.add.s(n, n).set(queue="threads") for n in range(3))
    sent = await asyncio.to_thread(members.apply_async)

    assert await result(sent) == [0, 2, 4]
    for part in sent.results:
        assert (await ended(store, part.id))["parent_id"] == sent.id


async def test_a_task_id_that_is_no_job_id_gets_one(store: Store) -> None:
    sent = await send(tasks.add, 1, 2, pool="threads", task_id="réport/7")

    assert await result(sent) == 3
    page = await store.list(limit=1000)
    assert [stored.job_id for stored in page.jobs if stored.job_id.startswith("task.r-port-7-")]


def test_a_task_that_is_called_as_a_function_is_one() -> None:
    assert tasks.steps(1) == {"steps": 1}


def test_a_store_that_is_away_costs_a_task_half_a_second_and_no_more(celery_redis: dict[str, str]) -> None:
    script = """
import time
from tests.integrations.celery_app import add
begun = time.monotonic()
sent = [add.apply_async((n, n), queue="threads") for n in range(5)]
print(time.monotonic() - begun, [one.get(timeout=30) for one in sent])
"""
    away = celery_redis | {"REDIS_URL": "redis://127.0.0.1:9/0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=away | {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    took_s, _, results = done.stdout.partition(" ")
    assert results.strip() == "[0, 2, 4, 6, 8]"
    assert float(took_s) < 3
