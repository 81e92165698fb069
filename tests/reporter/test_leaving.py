"""A job that its own code leaves to others: to a later run, or to whoever knows its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.job import Job, current_job, within
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

pytestmark = pytest.mark.usefixtures("sender")


def test_a_job_that_is_left_to_a_later_run_waits_as_queued_and_promises_no_heartbeats(
    settings: Settings, store: FaultyStore, read: Callable[[str], State]
) -> None:
    job = Job("again", total=4, heartbeat_s=0.05, settings=settings)
    job.update()
    job.requeue("Retry 1 of 3")
    job.complete("too late")

    assert job.wait(30)
    state = read("again")
    assert (state.status, state.progress, state.message) == ("queued", 0.25, "Retry 1 of 3")
    assert state.heartbeat_s is None
    assert job not in process.open_jobs()

    with Job("again", settings=settings) as later:
        pass
    assert later.wait(30)
    assert read("again").status == "completed"
    assert later.run is not None
    assert job.run is not None
    assert later.run > job.run


def test_a_job_that_is_dropped_says_nothing_more(
    settings: Settings, store: FaultyStore, until: Callable[..., None]
) -> None:
    job = Job("dropped", heartbeat_s=0.02, settings=settings)
    until(lambda: store.stored)

    job._drop()
    assert not job.wait(30)
    told = len(store.stored)
    with Job("next", settings=settings) as after:
        pass
    assert after.wait(30)

    assert [state.job_id for state in store.stored[told:]].count("dropped") == 0
    assert [state.status for state in store.stored if state.job_id == "dropped"] == ["processing"] * told


def test_a_block_within_a_job_finds_it_and_does_not_end_it(settings: Settings) -> None:
    job = Job("around", settings=settings)

    with within(job):
        found = current_job()

    assert found is job
    assert current_job() is None
    assert not job.closed
    job.complete()
    assert job.wait(30)
