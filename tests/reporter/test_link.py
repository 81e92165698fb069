"""A store that is away is noticed, said once and outlived."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

import pytest

from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


@pytest.mark.parametrize("fault", ["refuses", "hangs", "breaks"])
def test_an_outage_is_said_once_and_outlived(
    fault: str, settings: Settings, store: FaultyStore, read: Read, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store.fault = fault  # type: ignore[assignment]
    jobs = [Job(f"out-{number}", total=1000, settings=settings) for number in range(3)]
    begun_s = time.perf_counter()
    for _ in range(1000):
        for job in jobs:
            job.update()
            job.report(message="working")
    assert time.perf_counter() - begun_s < 1.0
    until(lambda: len(store.published) >= 6, within_s=30)

    store.fault = None
    for job in jobs:
        job.complete()

    assert all(job.wait(8) for job in jobs)
    assert {read(job.id).n for job in jobs} == {1000}
    assert all(published.start for published in store.published)  # none came through before: each asks for a run
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert len([record for record in caplog.records if "answers again" in record.message]) == 1


def test_no_deadline_of_the_store_ends_while_the_job_keeps_the_interpreter(sender: Sender) -> None:
    async def ask() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)

            def keep() -> None:
                theirs.send(b"!")
                time.sleep(1.0)

            loop.call_soon(keep)
            async with asyncio.timeout(0.5):
                answer = await loop.sock_recv(ours, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await loop.sock_recv(ours, 1)
            return answer

    assert sender._run(ask).result(30) == b"!"


def test_a_refused_credential_is_said_once_and_not_tried_at_once(
    settings: Settings, store: FaultyStore, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    store.fault = "denies"
    jobs = [Job(f"denied-{number}", settings=settings) for number in range(3)]
    until(lambda: len(store.published) >= 3)

    for job in jobs:
        job.update()

    assert not jobs[0].wait(0.3)
    assert len(store.published) == 3
    assert len([record for record in caplog.records if "credential" in record.message]) == 1
    store.fault = None
    for job in jobs:
        job.complete()
    assert all(job.wait(30) for job in jobs)
