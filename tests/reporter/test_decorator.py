"""Jobs that nobody passes around."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.decorator import track_job
from jupyter_jobprogress.reporter.job import Job, current_job
from jupyter_jobprogress.settings import Settings

Read = Callable[[str], State]

pytestmark = pytest.mark.usefixtures("sender")


def test_code_within_a_block_finds_its_job(settings: Settings) -> None:
    assert current_job() is None
    with Job("outer", settings=settings) as outer:
        assert current_job() is outer
        with Job("inner", settings=settings) as inner:
            assert current_job() is inner
        assert current_job() is outer
    assert current_job() is None
    assert outer.wait(30)
    assert inner.wait(30)


def test_each_call_of_a_function_is_a_job(settings: Settings, read: Read) -> None:
    jobs = []

    @track_job(total=2, settings=settings)
    def embed(text: str) -> str:
        """Embeds."""
        job = current_job()
        assert job is not None
        jobs.append(job)
        job.update(2)
        return text.upper()

    assert embed("a") == "A"
    assert embed("b") == "B"

    assert embed.__doc__ == "Embeds."
    assert all(job.wait(30) for job in jobs)
    assert jobs[0].id != jobs[1].id
    state = read(jobs[0].id)
    assert (state.title, state.n, state.status) == ("embed", 2, Status.COMPLETED)


def test_a_call_that_fails_fails_its_job(settings: Settings, read: Read) -> None:
    jobs = []

    @track_job(title="Breaks", settings=settings)
    def breaks() -> None:
        jobs.append(current_job())
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        breaks()

    (job,) = jobs
    assert job is not None
    assert job.wait(30)
    assert (read(job.id).title, read(job.id).error) == ("Breaks", "ValueError: no")


async def test_calls_at_the_same_time_have_jobs_of_their_own(settings: Settings) -> None:
    async def work(number: int) -> Job | None:
        job = current_job()
        await asyncio.sleep(0.01 * (3 - number))
        assert current_job() is job
        return job

    tracked = track_job(work) if settings.url else track_job(settings=settings)(work)
    jobs = await asyncio.gather(*(tracked(number) for number in range(3)))

    assert len({job.id for job in jobs if job is not None}) == 3
    assert current_job() is None
    for job in jobs:
        assert job is not None
        assert await asyncio.to_thread(job.wait, 5)
