"""The program runs, whole and small, and its numbers add up; how fast anybody is, is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fanout_report import goals
from benchmarks.stand import LOAD, Figures
from benchmarks.surroundings import missing_original

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "fanout", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.usefixtures("compiled", "redis_server")
def test_prints_a_table_whose_numbers_add_up(tmp_path: Path) -> None:
    file = tmp_path / "fanout.json"

    done = run("--quick", "--peers", "original", "--rows", "fanout", "--json", str(file))

    assert done.returncode == 0, done.stderr
    peers = ["product", "c"] if missing_original() else ["product", "original", "c"]
    found = json.loads(file.read_text())
    measured = found["results"]["fanout"]
    assert set(measured) >= set(peers), done.stdout
    for peer, (one,) in measured.items():
        values = one["values"]
        assert values["offered"] == 1000 * (50 * 3 * 0.3 + 1), peer
        assert values["delivered"] + values["lost"] == values["offered"], peer
        assert values["wrong"] == values["failed"] == 0, one["notes"]
        assert 0 < values["p50_ms"] <= values["p99_ms"], peer
        assert values["cpu_us"] > 0, peer
        assert one["limit"], peer
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert lines[0][2:] == list(measured)
    ratios = dict(zip(lines[0][2:], next(line for line in lines if line[1] == ": c")[2:], strict=True))
    expected = measured["product"][0]["values"]["cpu_us"] / measured["c"][0]["values"]["cpu_us"]
    assert float(ratios["product"]) == pytest.approx(expected, rel=0.01)
    assert sum(line.startswith("goal: fanout, product") for line in done.stdout.splitlines()) == 2
    if missing_original():
        assert "not run: original" in done.stdout


def test_says_what_it_needs_where_nothing_can_be_compiled(tmp_path: Path) -> None:
    done = run("--quick", PATH=str(tmp_path), CC="")

    assert done.returncode == 2
    assert "needs a C compiler" in done.stderr


def test_an_unknown_peer_is_refused_with_the_names_that_exist() -> None:
    done = run("--peers", "original,nothing")

    assert done.returncode == 2
    assert "nchan" in done.stderr


def test_what_takes_long_is_measured_only_where_it_is_asked_for() -> None:
    help_text = " ".join(run("--help", COLUMNS="1000").stdout.split())

    assert "default: all but ladder" in help_text
    assert "out of original,c-joined,tornado,socketio,nchan; default: original" in help_text


def _figures(cpu_us: float, neighbours: float = 0.0, limit: str = LOAD) -> Figures:
    return Figures({"cpu_us": cpu_us, "sustained_per_s": 1000 / cpu_us}, limit, neighbours)


def test_a_goal_is_judged_by_the_median_of_the_ratios_within_repetitions() -> None:
    # The second repetition was twice as slow for both: of the medians, the ratio would be 0.3.
    product, original = [_figures(3), _figures(20), _figures(3)], [_figures(10), _figures(40), _figures(9)]

    said = goals({"fanout": {"product": product, "original": original, "c": [_figures(2)] * 3}})

    assert said[0].endswith("at most 0.35 x original: met, 0.333 (0.3..0.5)")
    assert "at most 1.7 x c: met, 1.5" in said[1]


def test_a_goal_is_not_judged_beside_neighbours_or_at_the_end_of_the_load() -> None:
    busy, quiet = [_figures(2, neighbours=0.3)], [_figures(10)]

    (disturbed, *_) = goals({"fanout": {"product": busy, "original": quiet}})
    (unknown, *_) = goals({"fanout": {"product": quiet}})
    (all_taken, *_) = goals({"ladder": {"product": [_figures(2)], "original": [_figures(10)]}})
    (too_few, *_) = goals({"ladder": {"product": [_figures(2, limit="its core")], "original": [_figures(10)]}})

    assert "not judged (neighbours took 30% of the server's core)" in disturbed
    assert "not judged (not measured)" in unknown
    assert "not judged (it delivered all that was offered)" in all_taken
    assert "missed, 5" in too_few
