"""The figures of the reporter add up, and a goal that is missed is said so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import reporter, training

REPOSITORY = Path(__file__).parents[2]


MOST = {
    ("job.update(1)", "tqdm.update(1)"): 0.75,
    ("job.report(progress=, message=)", "set_postfix_str + update"): 0.9,
    ("track(list), an item", "tqdm(list)"): 1.0,
    ("track(list), an item", "rich.track(list)"): 1.0,
}
"""What ours may take of theirs on a busy machine. The goals are stricter, for a quiet one and longer loops: the start
of a job is in the figures of loops, and is most of what a short one takes beyond a bare generator."""


def test_what_is_reported_costs_less_than_with_others_whatever_the_store_is_like() -> None:
    # In a process of its own: jobs of the benchmark go on trying to reach their store until it ends.
    command = [sys.executable, "-m", "benchmarks", "reporter", "--calls", "20000", "--timed-calls", "5000"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    ratios = {(row[0], row[2]): float(row[4]) for row in cells if len(row) == 6 and row[1].endswith(" ns")}
    assert len(ratios) == 5
    for pair, most in MOST.items():
        assert ratios[pair] <= most, pair
    for store in (
        *("refused", "unresolvable", "silent"),
        *("up", "stopped", "wrong password", "out of memory", "read-only"),
    ):
        assert f"| {store} " in printed
    assert printed.count("met") + printed.count("missed") == 5


def test_a_missed_goal_is_said() -> None:
    slow = reporter.Cost("ours", 200.0, "theirs", 100.0, "<= 0.5 x tqdm", False)

    printed = reporter.reporter_text([slow])

    assert "2.00" in printed
    assert "missed" in printed


def test_the_training_is_judged_by_the_median_of_its_pairs() -> None:
    def pair(plain_s: float, reported_s: float) -> training.Pair:
        return training.Pair(plain_s, reported_s, plain_s, 1.03 * plain_s, 5)

    printed = training.training_text([pair(10.0, 10.05), pair(10.0, 12.0), pair(20.0, 20.1)])

    assert "wall time, median of the pairs: +0.50%" in printed
    assert "CPU time, median of the pairs: +3.00%" in printed
    assert "+1% of wall time: met" in printed
    assert "missed" in training.training_text([pair(10.0, 10.3)])


def test_the_interval_of_a_median_is_that_of_the_binomial_tables() -> None:
    assert training.certain([float(rank) for rank in range(1, 101)]) == (40.0, 61.0)
    assert training.certain([2.0, 1.0, 3.0]) == (1.0, 3.0)
