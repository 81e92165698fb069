"""When a job leaves a line in a log. The clock is the test's, so that a day passes at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jupyter_jobprogress import Job
from jupyter_jobprogress.terminal.log import FIRST_S, MOST, SILENCE_S, STEP_S, Log
from jupyter_jobprogress.terminal.row import Row


class Scene:
    """A log, and jobs in it."""

    def __init__(self, *, asked: bool = False) -> None:
        self.now_s = 1000.0
        self.lines: list[str] = []
        self.log = Log(asked=asked, write=self.lines.append, clock=lambda: self.now_s)
        self.jobs: list[Job] = []

    def start(self, title: str = "Train", total: int | None = 1000) -> Job:
        job = Job(title=title, total=total, unit="steps", display=False)
        self.jobs.append(job)
        self.log.add(Row(job, clock=lambda: self.now_s, wall=lambda: self.now_s))
        return job

    def run(self, job: Job, *, for_s: float, per_s: float) -> list[str]:
        """Let a job work, and return the lines that came of it."""
        before = len(self.lines)
        for _ in range(round(for_s)):
            self.now_s += 1
            job.update(per_s)
            self.log.tick()
        return self.lines[before:]


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    for job in scene.jobs:
        job.complete()


def test_what_is_over_soon_leaves_no_line(scene: Scene) -> None:
    job = scene.start()

    assert scene.run(job, for_s=FIRST_S - 1, per_s=1) == []
    job.complete()
    scene.log.tick()

    assert scene.lines == []
    assert not scene.log.busy


def test_a_long_job_is_told_when_it_is_known_to_be_one_by_tenths_and_at_the_end(scene: Scene) -> None:
    job = scene.start()
    assert scene.run(job, for_s=FIRST_S, per_s=4)[0].startswith("Train: Running, 4 %, ")

    lines = scene.run(job, for_s=225, per_s=4)

    assert [line.split(", ")[1] for line in lines] == [f"{percent} %" for percent in range(10, 91, 10)]
    assert all("/ 1,000 steps" in line and "left" in line for line in lines)
    job.log(loss=0.25)
    job.complete()
    scene.log.tick()
    assert scene.lines[-1].startswith("Train: Completed, 100 %, ")
    assert scene.lines[-1].endswith("loss 0.25")


def test_tenths_that_follow_at_once_are_one_line(scene: Scene) -> None:
    job = scene.start()
    scene.run(job, for_s=FIRST_S, per_s=0)

    assert len(scene.run(job, for_s=3 * STEP_S, per_s=30)) == 3


def test_a_long_day_says_some_dozens_of_lines_and_a_job_that_stands_still_none(scene: Scene) -> None:
    job = scene.start(total=None)

    lines = scene.run(job, for_s=6 * 3600, per_s=1)

    assert 20 < len(lines) < 120
    assert len(scene.run(job, for_s=100 * SILENCE_S, per_s=0)) <= 1  # of what it had done last


def test_many_jobs_at_once_are_no_flood(scene: Scene) -> None:
    jobs = [scene.start(f"Job {n}") for n in range(200)]
    for _ in range(30):
        scene.now_s += 1
        for job in jobs:
            job.update(20)
        scene.log.tick()

    assert MOST <= len(scene.lines) <= MOST + 10


def test_lines_that_were_asked_for_begin_with_the_job_and_tell_every_end() -> None:
    scene = Scene(asked=True)
    job = scene.start()
    job.fail("no more disk")
    scene.log.tick()

    first, last = scene.lines
    assert first.startswith("Train: Running, 0 %, 0 / 1,000 steps")
    assert last.startswith("Train: Failed, 0 %")
    assert last.endswith("no more disk")
