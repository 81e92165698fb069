"""How often a sender looks at its jobs: ten times a second, or less where that would cost more than its share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.pace import POLL_S, SHARE, SLOWEST_S, Pace
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore


class Machine:
    """A clock that a test moves, and a thread whose looks at its jobs take what the test says, in seconds."""

    def __init__(self, look_s: float) -> None:
        self.now_s = 1000.0
        self.spent_s = 5.0
        self.looks = 0
        self.look_s = look_s
        self.pace = Pace(clock=lambda: self.now_s, spent=lambda: self.spent_s)

    def run(self, for_s: float) -> float:
        """Look as often as the pace says, and return the share of the time that this took."""
        end_s, began_s, spent_s = self.now_s + for_s, self.now_s, self.spent_s
        while self.now_s < end_s:
            self.spent_s += self.look_s
            self.now_s += self.look_s
            self.now_s += self.pace.until_next_s()
            self.looks += 1
        return (self.spent_s - spent_s) / (self.now_s - began_s)


def test_what_costs_little_is_looked_at_ten_times_a_second() -> None:
    machine = Machine(look_s=0.0002)

    machine.run(20)

    assert machine.looks in (199, 200, 201)


@pytest.mark.parametrize("look_s", [0.0008, 0.001, 0.002])
def test_what_costs_more_is_looked_at_less_often(look_s: float) -> None:
    machine = Machine(look_s)
    machine.run(10)

    assert machine.run(20) == pytest.approx(SHARE, rel=0.05)
    machine.look_s = 0.0001
    machine.run(10)
    assert machine.pace.interval_s == POLL_S


def test_no_cost_makes_a_bar_stand_still() -> None:
    machine = Machine(look_s=0.05)

    machine.run(20)

    assert machine.pace.interval_s == SLOWEST_S


def test_a_late_look_does_not_delay_the_next_one() -> None:
    machine = Machine(look_s=0.0)
    machine.run(0.45)

    machine.now_s += 0.02

    assert machine.pace.until_next_s() == pytest.approx(POLL_S - 0.02)


@pytest.mark.usefixtures("sender")
def test_jobs_are_looked_at_together(settings: Settings, store: FaultyStore, until: Callable[..., None]) -> None:
    """Each wakes the sender's thread otherwise, and that is most of what a state costs."""
    jobs = []
    for number in range(3):
        jobs.append(Job(f"job-{number}", settings=settings))
        time.sleep(0.03)

    def updated() -> bool:
        for job in jobs:
            job.update()
        return len(store.published) >= 30

    until(updated, within_s=30)
    for job in jobs:
        job.complete()

    at_s = {job.id: [sent.at_s for sent in store.published if sent.state.job_id == job.id][2:-1] for job in jobs}
    # From each state of the first job to the nearest one of the last, which started 60 ms later.
    apart_s = [min(abs(other_s - one_s) for other_s in at_s["job-2"]) for one_s in at_s["job-0"]]
    assert statistics.median(apart_s) < 0.01
    assert all(job.wait(30) for job in jobs)
