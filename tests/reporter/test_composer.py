"""States composed over time, with a clock of the test."""

from __future__ import annotations

import msgspec

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.state import Origin, Status
from jupyter_jobprogress.reporter.composer import Composer
from jupyter_jobprogress.reporter.facts import Facts
from jupyter_jobprogress.reporter.history import Series
from jupyter_jobprogress.reporter.stages import announced


def composer() -> Composer:
    return Composer(
        job_id="job",
        started_at="2026-01-01T00:00:00.000000Z",
        heartbeat_s=10.0,
        parent_id=None,
        origin=Origin(host="here", pid=1),
        now_s=1000.0,
        n=0,
    )


def test_a_heartbeat_keeps_the_time_of_the_last_news() -> None:
    composing, facts = composer(), Facts(message="working")
    first = composing.compose(facts, 1, run=5, now_s=1001.0, wall_s=100.0)

    beat = composing.compose(facts, 1, run=5, now_s=1011.0, wall_s=110.0)
    counted = composing.compose(facts, 2, run=5, now_s=1012.0, wall_s=111.0)
    said = composing.compose(Facts(message="working"), 2, run=5, now_s=1013.0, wall_s=112.0)

    assert first.timestamp == beat.timestamp == "1970-01-01T00:01:40.000000Z"
    assert counted.timestamp == "1970-01-01T00:01:51.000000Z"
    assert said.timestamp == "1970-01-01T00:01:52.000000Z"


def test_a_job_that_counts_nothing_has_no_count() -> None:
    def n_of(facts: Facts, n: float) -> float | None:
        return composer().compose(facts, n, run=1, now_s=1001.0, wall_s=0.0).n

    assert n_of(Facts(explicit=0.4), 0) is None
    assert n_of(Facts(), 1) == 1
    assert n_of(Facts(total=10), 0) == 0


def test_a_job_that_went_through_its_stages_does_not_end_with_the_count_of_the_last() -> None:
    stages = announced({"load": 1, "train": 9}).enter("train", weight=None, progress=None, now_s=1000.0)
    facts = Facts(total=5, stages=stages)

    states = [
        composer().compose(msgspec.structs.replace(facts, status=status), 5, run=1, now_s=1001.0, wall_s=0.0)
        for status in (Status.PROCESSING, Status.FAILED, Status.COMPLETED)
    ]

    assert [(state.n, state.total) for state in states] == [(5, 5), (5, 5), (None, None)]


def test_the_time_left_counts_down_calmly_and_follows_a_change_of_speed() -> None:
    composing, facts = composer(), Facts(total=36_000)

    def ends_s(begin_s: float, n: int, per_s: float) -> list[float]:
        """Return when the job says that it will end, ten times a second, while its items come in twos and threes."""
        found = []
        for tenth in range(1, 301):
            done, now_s = n + int(per_s * tenth / 10) + tenth % 2, begin_s + tenth / 10
            state = composing.compose(facts, done, run=1, now_s=now_s, wall_s=0.0)
            found.append(now_s + (state.eta_s or 0.0))
        return found

    calm = ends_s(1000.0, 0, 10)
    slower = ends_s(1030.0, 300, 5)

    assert len({round(end_s, 3) for end_s in calm[50:]}) == 1
    assert abs(calm[-1] - 4600) < 0.05 * 3600
    assert slower[-1] > calm[-1] + 1800


def test_an_end_is_dated_when_it_was_and_not_when_it_is_sent() -> None:
    ended = Facts(status=Status.COMPLETED, ended_s=100.0)

    assert composer().compose(ended, 1, run=1, now_s=1400.0, wall_s=500.0).timestamp == "1970-01-01T00:01:40.000000Z"


def test_a_step_of_the_wall_clock_changes_nothing_but_timestamps() -> None:
    steady, jumping, facts = composer(), composer(), Facts(total=100)

    for step in range(1, 50):
        now_s = 1000.0 + step / 10
        calm = steady.compose(facts, step, run=1, now_s=now_s, wall_s=0.0)
        jumped = jumping.compose(facts, step, run=1, now_s=now_s, wall_s=86_400.0 * (step % 2))

        assert msgspec.structs.replace(calm, timestamp="") == msgspec.structs.replace(jumped, timestamp="")


def test_a_history_is_sent_every_five_seconds_and_at_the_end() -> None:
    composing = composer()
    facts = Facts(total=200, metrics={"loss": 0.1234567891})

    states = [
        composing.compose(facts, step, run=1, now_s=1000.0 + step / 10, wall_s=step / 10) for step in range(1, 121)
    ]
    end = composing.compose(
        msgspec.structs.replace(facts, status=Status.CANCELLED), 121, run=1, now_s=1012.1, wall_s=12.1
    )

    assert len([state for state in states if state.history]) == 2
    assert end.history is not None
    assert end.history.progress[-1] == 0.605
    assert end.history.metrics["loss"][-1] == 0.123457
    assert len(end.history.t_s) == len(end.history.progress) == len(end.history.metrics["loss"])
    assert end.eta_s is None


def test_a_long_series_is_thinned_evenly() -> None:
    series = Series()

    for second in range(36_000):
        series.sample(t_s=float(second), progress=second / 36_000, metrics={"loss": 1.0} if second > 9000 else None)
    series.sample(t_s=36_000.0, progress=1.0, metrics=None, last=True)

    history = series.history()
    assert history is not None
    assert limits.HISTORY_POINTS / 2 <= len(history.t_s) <= limits.HISTORY_POINTS
    assert (history.t_s[0], history.t_s[-1]) == (0.0, 36_000.0)
    gaps = {later - earlier for earlier, later in zip(history.t_s[:-2], history.t_s[1:-1], strict=True)}
    assert len(gaps) == 1
    assert history.metrics["loss"][0] is None


def test_nothing_to_draw_is_no_history() -> None:
    series = Series()
    assert series.history() is None

    for second in range(5):
        series.sample(t_s=float(second), progress=None, metrics=None)

    assert series.history() is None
