"""The tasks of the tests, in their workers and in the test that sends them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from celery import Celery, chain

from jupyter_jobprogress import ProgressReporter
from jupyter_jobprogress.integrations.celery import ProgressTask

celery_app = Celery("tests", task_cls=ProgressTask)
celery_app.conf.update(
    broker_url=os.environ.get("TEST_BROKER_URL"),
    result_backend=os.environ.get("TEST_RESULTS_URL"),
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"polling_interval": 0.1},
    task_create_missing_queues=True,
    timezone="UTC",
)


def process_video(video_path: str) -> dict[str, str]:
    return {"video_url": f"https://cdn.example.com/{video_path}"}


# The sample of the original service, with nothing changed but the import.
@celery_app.task(base=ProgressTask, bind=True)
def render_video(self, video_path):  # type: ignore[no-untyped-def]
    # Report progress
    asyncio.run(self.report_progress("rendering", 0.5, "Rendering..."))

    # Do work
    result = process_video(video_path)

    # Complete
    reporter = ProgressReporter()
    asyncio.run(reporter.initialize())
    asyncio.run(reporter.report_complete(self.request.id, result))
    asyncio.run(reporter.close())

    return result


@celery_app.task(bind=True)
def steps(self: ProgressTask, count: int) -> dict[str, int]:
    for done in range(count):
        self.report_progress("counting", done / count, f"Step {done}", {"step": done})
        time.sleep(0.12)  # longer than the reporter waits between two states
    return {"steps": count}


@celery_app.task
def fails() -> None:
    raise ValueError("the disk is full")


@celery_app.task
def returns_what_json_is_not() -> object:
    return object()


@celery_app.task(bind=True, max_retries=2)
def comes_again(self: ProgressTask, times: int) -> int:
    self.report_progress("trying", 0.25, "Trying")
    if self.request.retries < times:
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError as exc:
            raise self.retry(exc=exc, countdown=0.2) from exc
    return int(self.request.retries)


@celery_app.task(bind=True)
def goes_on(self: ProgressTask) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        self.job.update()
        time.sleep(0.02)


def _killed(self: ProgressTask) -> str:
    self.job.report(stage="working", message=f"delivered again: {bool(self.request.delivery_info['redelivered'])}")
    if not self.request.delivery_info["redelivered"]:
        self.job._run_known.wait(30)
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


killed = celery_app.task(name="killed", bind=True)(_killed)
killed_late = celery_app.task(name="killed_late", bind=True, acks_late=True, reject_on_worker_lost=True)(_killed)


@celery_app.task(time_limit=1)
def too_long() -> None:
    time.sleep(60)


@celery_app.task(bind=True)
def sends(self: ProgressTask, queue: str) -> list[Any]:
    """Send a task from inside a task, and a chain of two."""
    chained = chain(add.s(1, 2).set(queue=queue), add.s(3).set(queue=queue)).apply_async()
    return [steps.apply_async((1,), queue=queue).id, chained.parent.id, chained.id]


@celery_app.task
def add(left: int, right: int) -> int:
    return left + right
