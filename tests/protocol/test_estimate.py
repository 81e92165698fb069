"""Rate and remaining time: honest at the start, steady through pauses, awake to a change of speed."""

from __future__ import annotations

import pytest

from jupyter_jobprogress.protocol.estimate import SMOOTHING_S, Estimator


def run(estimator: Estimator, *, begin_s: float, seconds: float, rate: float, n: float, step_s: float = 0.1) -> float:
    """Feed a constant speed, and return the count at its end."""
    for step in range(1, round(seconds / step_s) + 1):
        estimator.sample(now_s=begin_s + step * step_s, n=n + rate * step * step_s)
    return n + rate * seconds


def test_nothing_is_said_before_anything_was_done() -> None:
    estimator = Estimator(now_s=100.0)
    assert estimator.rate_per_s is None
    assert estimator.eta_s(10) is None

    estimator.sample(now_s=101.0, n=0)

    assert estimator.rate_per_s is None


def test_nothing_is_said_of_a_moment() -> None:
    estimator = Estimator(now_s=100.0)
    estimator.sample(now_s=100.002, n=1_500_000)
    assert estimator.rate_per_s is None

    estimator.sample(now_s=110.0, n=1_500_000)

    assert estimator.rate_per_s is not None
    assert estimator.rate_per_s < 300_000


def test_a_constant_speed_is_told_as_it_is() -> None:
    estimator = Estimator(now_s=0.0, n=50)

    run(estimator, begin_s=0.0, seconds=5, rate=20, n=50)

    assert estimator.rate_per_s == pytest.approx(20)
    assert estimator.eta_s(250) == pytest.approx(5)
    assert estimator.eta_s(None) is None


def test_what_is_past_its_total_has_no_time_left() -> None:
    estimator = Estimator(now_s=0.0)
    run(estimator, begin_s=0.0, seconds=5, rate=20, n=0)

    assert estimator.eta_s(50) == 0.0


def test_a_change_of_speed_shows_within_two_time_constants() -> None:
    estimator = Estimator(now_s=0.0)
    n = run(estimator, begin_s=0.0, seconds=600, rate=100, n=0)

    run(estimator, begin_s=600.0, seconds=2 * SMOOTHING_S, rate=10, n=n)

    # The overall mean would still say 96.
    assert estimator.rate_per_s is not None
    assert 10 < estimator.rate_per_s < 30


def test_a_short_pause_does_not_shake_the_estimate() -> None:
    estimator = Estimator(now_s=0.0)
    n = run(estimator, begin_s=0.0, seconds=60, rate=100, n=0)

    estimator.sample(now_s=62.0, n=n)

    assert estimator.rate_per_s is not None
    assert 80 < estimator.rate_per_s < 100


def test_a_step_back_starts_again() -> None:
    estimator = Estimator(now_s=0.0)
    run(estimator, begin_s=0.0, seconds=10, rate=100, n=0)

    estimator.sample(now_s=11.0, n=5)
    assert estimator.rate_per_s is None
    run(estimator, begin_s=11.0, seconds=5, rate=2, n=5)

    assert estimator.rate_per_s == pytest.approx(2)


def test_two_samples_at_one_moment_do_no_harm() -> None:
    estimator = Estimator(now_s=0.0)

    estimator.sample(now_s=1.0, n=10)
    estimator.sample(now_s=1.0, n=20)
    estimator.sample(now_s=2.0, n=20)

    assert estimator.rate_per_s == pytest.approx(10)
