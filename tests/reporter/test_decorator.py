"""Jobs that nobody passes around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator

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


def test_a_generator_is_a_job_from_its_first_item_to_its_last(settings: Settings, read: Read) -> None:
    jobs = []

    @track_job(settings=settings)
    def rows(count: int) -> Generator[int, str, str]:
        job = current_job()
        assert job is not None
        jobs.append(job)
        said = yield 0
        for row in range(1, count):
            assert current_job() is job
            job.report(message=said)
            yield row
            job.update()
        return "done"

    generator = rows(3)
    assert next(generator) == 0
    assert current_job() is None
    assert generator.send("hello") == 1
    assert jobs[0].status is Status.PROCESSING
    assert next(generator) == 2
    with pytest.raises(StopIteration, match="done"):
        next(generator)

    failed = rows(3)
    next(failed)
    with pytest.raises(ValueError, match="thrown"):
        failed.throw(ValueError("thrown"))
    for _row, _other in zip(rows(5), rows(3), strict=False):
        assert current_job() is None

    assert all(job.wait(30) for job in jobs)
    ends = [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.COMPLETED]
    assert [read(job.id).status for job in jobs] == ends
    assert (read(jobs[0].id).title, read(jobs[0].id).n) == ("rows", 2)


async def test_an_asynchronous_generator_is_a_job_from_its_first_item_to_its_last(settings: Settings) -> None:
    jobs = []

    @track_job(settings=settings)
    async def rows(count: int) -> AsyncGenerator[int, None]:
        job = current_job()
        assert job is not None
        jobs.append(job)
        for row in range(count):
            await asyncio.sleep(0)
            yield row
            job.update()

    assert [(row, current_job()) async for row in rows(2)] == [(0, None), (1, None)]
    left = rows(2)
    assert await anext(left) == 0
    await left.aclose()
    failed = rows(2)
    await anext(failed)
    with pytest.raises(ValueError, match="thrown"):
        await failed.athrow(ValueError("thrown"))

    assert [job.status for job in jobs] == [Status.COMPLETED, Status.CANCELLED, Status.FAILED]
    assert jobs[0].n == 2
    for job in jobs:
        assert await asyncio.to_thread(job.wait, 30)
