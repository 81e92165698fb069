"""The whole moves steadily through stages, and never back."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter.facts import Facts, progress_of
from jupyter_jobprogress.reporter.job import Job
from jupyter_jobprogress.reporter.stages import Stages, announced
from jupyter_jobprogress.settings import Settings
from tests.support.faulty_store import FaultyStore

Read = Callable[[str], State]
Until = Callable[..., None]

pytestmark = pytest.mark.usefixtures("sender")


def whole(stages: Stages, n: float | None = None, total: float | None = None) -> float | None:
    return progress_of(Facts(stages=stages, total=total), n)


def test_announced_weights_are_shares_of_the_whole() -> None:
    stages = announced({"load": 1, "train": 8, "test": 1})
    assert whole(stages) == 0.0

    stages = stages.enter("load", weight=None, progress=None, now_s=0)
    assert whole(stages, 1, 2) == pytest.approx(0.05)
    stages = stages.enter("train", weight=None, progress=1.0, now_s=10)
    assert whole(stages, 0, 4) == pytest.approx(0.1)
    assert whole(stages, 3, 4) == pytest.approx(0.7)
    assert whole(stages) == pytest.approx(0.1)  # nobody knows how far: not less than what is behind
    stages = stages.enter("test", weight=None, progress=1.0, now_s=110)
    assert whole(stages, 1, 1) == pytest.approx(1.0)

    shown = stages.shown(progress=0.5, now_s=115)
    assert shown is not None
    assert [(stage.name, stage.share, stage.progress, stage.elapsed_s) for stage in shown] == [
        ("load", 0.1, 1.0, 10),
        ("train", 0.8, 1.0, 100),
        ("test", 0.1, 0.5, 5),
    ]


def test_names_alone_weigh_the_same() -> None:
    stages = announced(["a", "b", "c", "d"]).enter("b", weight=None, progress=None, now_s=0)

    assert whole(stages, 1, 2) == pytest.approx(0.125)


def test_a_weight_may_be_given_when_the_stage_begins() -> None:
    stages = Stages().enter("load", weight=0.25, progress=None, now_s=0)
    assert whole(stages, 1, 2) == pytest.approx(0.125)
    stages = stages.enter("train", weight=2, progress=1.0, now_s=1)  # more than there is left

    assert whole(stages, 1, 2) == pytest.approx(0.625)


def test_a_stage_that_comes_again_counts_once_and_its_time_adds_up() -> None:
    stages, reached = announced({"train": 1, "test": 1}), []
    for epoch in range(3):
        for name in ("train", "test"):
            stages = stages.enter(name, weight=None, progress=1.0, now_s=epoch * 20 + (name == "test") * 10)
            reached.append(whole(stages, 1, 1))

    assert reached == sorted(reached)  # type: ignore[type-var]
    assert reached[-1] == 1.0
    shown = stages.shown(progress=1.0, now_s=60)
    assert shown is not None
    assert [(stage.name, stage.elapsed_s) for stage in shown] == [("train", 30), ("test", 30)]


def test_a_stage_that_nobody_announced_moves_nothing() -> None:
    stages = announced(["a", "b"]).enter("a", weight=None, progress=None, now_s=0)
    stages = stages.enter("extra", weight=None, progress=1.0, now_s=1)

    assert whole(stages, 1, 1) == pytest.approx(0.5)


@pytest.mark.parametrize("plan", [{}, {"a": -1}, {"a": float("nan")}, {"a": "much"}, 5, object(), None])
def test_a_plan_without_sense_costs_the_plan_and_nothing_else(plan: object) -> None:
    assert announced(plan) == Stages()  # type: ignore[arg-type]


def test_more_stages_than_are_shown_do_no_harm() -> None:
    stages = Stages()
    for number in range(limits.STAGES + 5):
        stages = stages.enter(f"s{number}", weight=None, progress=None, now_s=number)

    assert len(stages.visits) == limits.STAGES


def test_a_job_counts_each_stage_anew(settings: Settings, store: FaultyStore, read: Read, until: Until) -> None:
    with Job("staged", stages={"load": 1, "train": 3}, settings=settings) as job:
        with job.stage("load", total=2, unit="files"):
            job.update()
            until(lambda: store.stored and store.stored[-1].progress == pytest.approx(0.125))
            assert (store.stored[-1].n, store.stored[-1].total, store.stored[-1].unit) == (1, 2, "files")
        until(lambda: store.stored[-1].progress == pytest.approx(0.25))
        job.stage("train", total=4, unit="epochs")
        job.update(2)
        until(lambda: store.stored[-1].progress == pytest.approx(0.625))
        state = store.stored[-1]
        assert (state.stage, state.n, state.total, state.unit) == ("train", 2, 4, "epochs")
        assert state.stages is not None
        assert [(stage.name, stage.share, stage.progress) for stage in state.stages] == [
            ("load", 0.25, 1.0),
            ("train", 0.75, 0.5),
        ]

    assert job.wait(30)
    state = read("staged")
    assert (state.status, state.progress) == (Status.COMPLETED, 1.0)
    assert state.stages is not None
    assert state.stages[-1].progress == 1.0


def test_a_stage_that_begins_while_a_state_is_made_does_not_throw_the_whole_back(
    settings: Settings, store: FaultyStore, until: Until
) -> None:
    class Loss:
        """A scalar on a device that has not computed it yet."""

        def __init__(self) -> None:
            self.asked, self.computed = threading.Event(), threading.Event()

        def item(self) -> float:
            self.asked.set()
            assert self.computed.wait(30)
            return 0.5

    first, second = Loss(), Loss()
    with Job("torn", stages=["a", "b"], settings=settings) as job:
        job.stage("a", total=10)
        job.update(10)
        until(lambda: store.stored and store.stored[-1].progress == 0.5)
        job.log(loss=first)
        assert first.asked.wait(30)  # whether there is news
        job.log(loss=second)
        first.computed.set()
        assert second.asked.wait(30)  # what the news is
        job.stage("b", total=10)
        second.computed.set()
        until(lambda: store.stored[-1].stage == "b")

    assert job.wait(30)
    whole = [state.progress or 0.0 for state in store.stored]
    assert whole == sorted(whole)


def test_stages_that_are_only_named_are_listed_by_their_time(
    settings: Settings, store: FaultyStore, read: Read, until: Until
) -> None:
    with Job("named", total=10, settings=settings) as job:
        for name in ("fetch", "parse"):
            job.report(stage=name)
            job.update()
            until(lambda name=name: store.stored and store.stored[-1].stage == name)
        assert store.stored[-1].progress == 0.2

    assert job.wait(30)
    stages = read("named").stages
    assert stages is not None
    assert [stage.name for stage in stages] == ["fetch", "parse"]
    assert stages[0].elapsed_s > 0
