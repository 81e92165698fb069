"""The count of a tracked loop is exact, however the loop is left."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.pace import SLOWEST_S
from jupyter_jobprogress.reporter.reported import GRACE_S
from jupyter_jobprogress.reporter.track import track
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


def test_a_loop_to_the_end_completes_the_job(settings: Settings, read: Read) -> None:
    items = track(["a", "b", "c"], "whole", unit="letter", settings=settings)

    assert len(items) == 3
    assert list(items) == ["a", "b", "c"]

    assert items.job.wait(30)
    state = read("whole")
    assert (state.status, state.n, state.total, state.progress) == (Status.COMPLETED, 3, 3, 1.0)


def test_an_item_counts_when_its_body_came_back(settings: Settings) -> None:
    items = track(range(3), settings=settings)

    seen = [items.job.n for _ in items]

    assert seen == [0, 1, 2]
    assert items.job.n == 3
    assert items.job.wait(30)


@pytest.mark.parametrize("source", [range(4), iter(range(4))], ids=["list", "generator"])
def test_a_progress_that_is_given_within_an_item_holds_until_the_next(
    source: Iterable[int], settings: Settings, store: FaultyStore, until: Until
) -> None:
    items = track(source, total=4, settings=settings)
    for item in items:
        if item == 2:
            items.job.report(progress=0.6)
            until(lambda: store.stored and store.stored[-1].progress == 0.6)
        if item == 3:
            until(lambda: store.stored[-1].progress == 0.75)

    assert items.job.wait(30)


def test_a_loop_left_by_break_stopped_on_purpose(settings: Settings, read: Read, until: Until) -> None:
    for item in track(range(10), "broken", settings=settings):
        if item == 4:
            break
    left = timestamp(time.time())

    until(lambda: read("broken").status.terminal)
    state = read("broken")
    assert state.timestamp <= left  # and not when nobody had come back to it for a while
    assert (state.status, state.n, state.progress) == (Status.COMPLETED, 4, 0.4)
    assert state.message == "Stopped at 4 of 10"


def test_a_loop_left_by_break_has_stopped_when_it_begins_again(
    settings: Settings, read: Read, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    jobs: list[Job] = []
    for _ in range(3):
        for item in track(range(10), "inner", settings=settings):
            jobs.extend(job for job in process.open_jobs() if isinstance(job, Job) and job not in jobs)
            if item == 4:
                until(lambda: jobs[-1].run is not None)
                break

    assert [job.wait(30) for job in jobs] == [True, True, True]
    assert read("inner").message == "Stopped at 4 of 10"
    assert not [record for record in caplog.records if "started again" in record.message]


def test_a_loop_left_by_an_error_is_not_taken_for_stopped_while_that_is_on_its_way(
    settings: Settings, read: Read
) -> None:
    jobs: list[Job] = []

    def items() -> Iterator[int]:
        tracked = track(range(10), settings=settings)
        jobs.append(tracked.job)
        return iter(tracked)

    def work() -> None:
        try:
            for item in items():
                if item == 3:
                    raise ValueError("bad")
        finally:
            time.sleep(GRACE_S + 2 * SLOWEST_S)  # in which a checkpoint is saved

    with pytest.raises(ValueError, match="bad") as caught:
        work()
    (job,) = jobs
    assert not job.closed
    job._end_with(caught.value)  # the end of the cell or process

    assert job.wait(30)
    assert (read(job.id).status, read(job.id).error) == (Status.FAILED, "ValueError: bad")


def test_a_loop_left_by_close_stopped_on_purpose(settings: Settings, read: Read) -> None:
    items = track(iter(range(10)), "closed", settings=settings)
    assert [next(items), next(items)] == [0, 1]

    items.close()
    items.close()

    assert list(items) == []
    assert items.job.wait(30)
    state = read("closed")
    assert (state.status, state.n, state.total) == (Status.COMPLETED, 1, 10)


def test_an_iterator_that_is_never_used_and_collected_stopped_at_zero(
    settings: Settings, read: Read, until: Until
) -> None:
    def forget() -> None:
        items = track(range(2), "garbage", settings=settings)
        cycle: list[object] = [items]
        cycle.append(cycle)

    forget()
    (job,) = (job for job in process.open_jobs() if isinstance(job, Job))
    gc.collect()
    job._end_with(None)  # the end of the cell or process, or a minute

    until(lambda: read("garbage").status.terminal)
    assert read("garbage").message == "Stopped at 0 of 2"


def test_an_error_of_the_iterable_fails_the_job(settings: Settings, read: Read) -> None:
    def two() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk")

    items = track(two(), "source", settings=settings)
    with pytest.raises(OSError, match="disk"):
        list(items)

    assert items.job.wait(30)
    state = read("source")
    assert (state.status, state.n, state.total, state.error) == (Status.FAILED, 2, None, "OSError: disk")


def test_an_interrupt_of_the_iterable_cancels_the_job(settings: Settings) -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    items = track(interrupted(), settings=settings)
    with pytest.raises(KeyboardInterrupt):
        list(items)

    assert items.job.status is Status.CANCELLED
    assert items.job.wait(30)


def test_a_with_block_sees_an_error_of_the_body(settings: Settings, read: Read) -> None:
    items = track(range(3), "body", settings=settings)

    def work() -> None:
        with items:
            for item in items:
                1 / (1 - item)

    with pytest.raises(ZeroDivisionError):
        work()

    assert items.job.wait(30)
    state = read("body")
    assert (state.status, state.n) == (Status.FAILED, 1)


def test_a_job_that_somebody_ended_keeps_handing_out_items(settings: Settings) -> None:
    items = track(range(4), settings=settings)
    next(items)

    items.job.fail("elsewhere")

    assert list(items) == [1, 2, 3]
    assert items.job.status is Status.FAILED
    assert items.job.wait(30)


def test_a_total_may_be_given_hinted_or_unknown(settings: Settings) -> None:
    for iterable, total, expected in ((iter([1, 2]), None, 3), ((n for n in (1, 2)), None, None), ([1, 2], 5, 5)):
        items = track(iterable, total=total, initial=1, settings=settings)

        assert items.job.total == expected
        assert sum(items) == 3
        assert items.job.n == 3
        assert items.job.wait(30)

    with pytest.raises(TypeError), track(iter([1]), settings=settings) as unsized:
        len(unsized)
