"""Estimates on recorded runs: real jobs, sampled by the reporter, whose ends are known (traces.json says what ran)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from tqdm.std import EMA

from jupyter_jobprogress.protocol.estimate import Estimator

TRACES = json.loads(Path(__file__).with_name("traces.json").read_text())


class Told(NamedTuple):
    """What a viewer was told at one sample."""

    at_s: float
    n: float
    rate_per_s: float
    tqdm_per_s: float
    eta_s: float
    left_s: float

    @property
    def off(self) -> float:
        """The factor by which the remaining time was wrong, 1 or more."""
        return math.exp(abs(math.log(max(self.eta_s, 0.1) / max(self.left_s, 0.1))))


def told(name: str, *, begin: float = 0.2, end: float = 0.95) -> list[Told]:
    """Replay a trace, and return what was told between two points of its time, as shares of it."""
    trace = TRACES[name]
    samples, total = trace["samples"], trace["total"]
    first_s, first_n = samples[0]
    last_s = samples[-1][0]
    estimator = Estimator(now_s=first_s, n=first_n)
    tqdm_n, tqdm_s = EMA(0.3), EMA(0.3)
    found, before_s, before_n = [], first_s, first_n
    for at_s, n in samples[1:]:
        estimator.sample(now_s=at_s, n=n)
        if n > before_n:
            tqdm_n(n - before_n)
            tqdm_s(at_s - before_s)
            before_s, before_n = at_s, n
        rate_per_s, eta_s = estimator.rate_per_s, estimator.eta_s(total)
        if begin <= (at_s - first_s) / (last_s - first_s) <= end:
            assert rate_per_s is not None
            assert eta_s is not None
            found.append(Told(at_s, n, rate_per_s, tqdm_n() / tqdm_s(), eta_s, last_s - at_s))
    return found


def spread(values: list[float]) -> float:
    """Return the factor between the greatest and the least."""
    return max(values) / min(values)


def test_a_constant_run_is_told_as_tqdm_tells_it_and_calmer() -> None:
    found = told("constant")

    assert max(one.off for one in found) < 1.2
    assert all(one.rate_per_s == pytest.approx(one.tqdm_per_s, rel=0.2) for one in found)
    assert spread([one.rate_per_s for one in found]) < spread([one.tqdm_per_s for one in found])


def test_a_run_in_bursts_is_told_by_its_mean() -> None:
    found = told("bursty")

    assert median(one.off for one in found) < 1.3
    # Between two epochs nothing is counted for seconds. tqdm follows each such pause.
    assert spread([one.rate_per_s for one in found]) < 3 < 9 < spread([one.tqdm_per_s for one in found])


def test_a_run_that_slows_down_is_not_told_by_its_past() -> None:
    found = told("slowing")
    samples = TRACES["slowing"]["samples"]

    ratios = []
    for one in found:
        then_s, then_n = max((at_s, n) for at_s, n in samples if at_s <= one.at_s - 10)
        ratios.append(one.rate_per_s / ((one.n - then_n) / (one.at_s - then_s)))
        assert one.rate_per_s < 0.75 * one.n / one.at_s
    assert 0.9 < median(ratios) < 1.3
    assert max(ratios) < 2.0
    # It took half its time for its last tenth, and the mean said all the time that it is about to end.
    assert found[len(found) // 2].n > 0.85 * TRACES["slowing"]["total"]
    assert median(one.off for one in found) < 2.2


def test_a_resumed_run_is_told_by_what_it_did_itself() -> None:
    found = told("resumed")
    first_s, first_n = TRACES["resumed"]["samples"][0]

    assert first_n > 0
    for one in found:
        assert one.rate_per_s == pytest.approx((one.n - first_n) / (one.at_s - first_s), rel=0.3)
        assert one.rate_per_s < one.n / (one.at_s - first_s) / 2
        assert one.off < 2.0


def test_what_is_counted_once_a_minute_is_told_steadily() -> None:
    # Heartbeats sample every ten seconds, and find nothing new five times out of six.
    estimator = Estimator(now_s=0.0)
    found = []
    for second in range(10, 1801, 10):
        estimator.sample(now_s=second, n=second // 60)
        if second >= 300:
            found.append((estimator.rate_per_s or 0.0, (estimator.eta_s(60) or 0.0) + second))

    assert spread([rate_per_s for rate_per_s, _ in found]) < 1.01
    # The end that they foresee is always the same: a viewer counts down without a jump.
    assert spread([end_s for _, end_s in found]) < 1.01


def test_a_silence_much_longer_than_usual_is_not_called_work() -> None:
    estimator = Estimator(now_s=0.0)
    for tenth in range(1, 601):
        estimator.sample(now_s=tenth / 10, n=tenth)
    steady_per_s = estimator.rate_per_s or 0.0

    estimator.sample(now_s=62.0, n=600)
    short_per_s = estimator.rate_per_s or 0.0
    estimator.sample(now_s=300.0, n=600)
    long_per_s = estimator.rate_per_s or 0.0

    assert steady_per_s == pytest.approx(10)
    assert 7 < short_per_s < 10
    assert long_per_s < 2
