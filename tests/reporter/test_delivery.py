"""When states leave: paced, the last at once, repeated in silence, and no more once the store wants none."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import pytest

from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.sender import Sender
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


def test_the_last_word_does_not_wait_for_its_turn(settings: Settings, store: FaultyStore, until: Until) -> None:
    delays_s = []
    for number in range(9):
        job = Job(f"quick-{number}", settings=settings)
        until(lambda job=job: job.run is not None)

        begun_s = time.monotonic()
        job.complete()

        assert job.wait(30)
        delays_s.append(time.monotonic() - begun_s)
    # Ten states a second would make it wait for 100 ms.
    assert statistics.median(delays_s) < 0.05


def test_no_last_word_of_fifty_quick_jobs_is_lost(settings: Settings, read: Read) -> None:
    jobs = []
    for number in range(50):
        with Job(f"many-{number}", settings=settings) as job:
            jobs.append(job)

    assert all(job.wait(30) for job in jobs)
    assert {read(job.id).status for job in jobs} == {Status.COMPLETED}


def test_a_busy_job_sends_ten_states_a_second_at_most(settings: Settings, store: FaultyStore) -> None:
    begun_s = time.monotonic()
    with Job("busy", settings=settings) as job:
        while time.monotonic() - begun_s < 0.55:
            job.update()
            time.sleep(0.0005)

    assert job.wait(30)
    took_s = store.published[-1].at_s - store.published[0].at_s
    assert 3 <= len(store.published) <= 2 + took_s / 0.1
    assert store.stored[-1].n == job.n


def test_a_silent_job_repeats_its_state_and_keeps_its_timestamp(
    settings: Settings, store: FaultyStore, until: Until
) -> None:
    job = Job("silent", heartbeat_s=0.15, settings=settings)

    until(lambda: len(store.published) >= 3)

    first, second, third = (published for published in store.published[:3])
    assert first.state.timestamp == second.state.timestamp == third.state.timestamp
    assert [first.start, second.start, third.start] == [True, False, False]
    assert second.at_s - first.at_s >= 0.15
    job.complete()
    assert job.wait(30)


def test_a_heartbeat_restores_what_the_store_lost(
    settings: Settings, store: FaultyStore, sender: Sender, until: Until
) -> None:
    job = Job("lost", heartbeat_s=0.1, settings=settings)
    until(lambda: job.run is not None)

    asyncio.run_coroutine_threadsafe(store.delete("lost"), sender._started()).result(30)

    until(lambda: sender.read(["lost"]).result(30))
    job.complete()
    assert job.wait(30)


def test_a_job_that_was_started_again_goes_quiet_and_works_on(
    settings: Settings, read: Read, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    first = Job("twice", settings=settings, total=10)
    until(lambda: first.run is not None)
    second = Job("twice", settings=settings, total=5)
    until(lambda: second.run is not None)

    first.update()
    first.report(message="old")
    assert not first.wait(30)
    first.update()
    first.complete()
    second.complete(message="new")

    assert second.wait(30)
    assert first.n == 2
    assert read("twice").message == "new"
    assert len([record for record in caplog.records if "started again" in record.message]) == 1


def test_a_run_that_could_not_be_told_before_the_next_one_began_does_not_replace_it(
    settings: Settings,
    store: FaultyStore,
    sender: Sender,
    read: Read,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.fault = "refuses"
    former = Job("again", settings=settings)
    former.fail("no luck")
    until(lambda: len(store.published) >= 3)
    store.fault = None

    newest = Job("again", total=2, settings=settings)
    until(lambda: newest.run is not None)
    assert former.wait(30)
    newest.complete(message="more luck")

    assert newest.wait(30)
    assert read("again").message == "more luck"
    assert not [record for record in caplog.records if "started again" in record.message]
    until(lambda: not sender._runs)


def test_a_wish_to_cancel_reaches_the_job_with_a_receipt(
    settings: Settings, store: FaultyStore, sender: Sender, until: Until
) -> None:
    job = Job("wish", settings=settings)
    until(lambda: job.run is not None)
    assert not job.cancel_requested

    asyncio.run_coroutine_threadsafe(store.request_cancel("wish"), sender._started()).result(30)
    job.update()

    until(lambda: job.cancel_requested)
    job.cancel()
    assert job.wait(30)


def test_a_finished_job_is_let_go(settings: Settings, sender: Sender, until: Until) -> None:
    with Job("gone", settings=settings) as job:
        assert job in process.open_jobs()

    assert job.wait(30)
    until(lambda: sender.busy == 0)
    assert job not in process.open_jobs()


def test_who_debugs_asyncio_hears_nothing_of_the_sender(
    settings: Settings, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    sender = Sender(settings, connect=lambda _: store)

    assert not sender._started().get_debug()

    sender.close()
