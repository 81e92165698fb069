"""The program runs, whole and small; what it finds depends on the machine and is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import percentile
from benchmarks.surroundings import missing_original
from benchmarks.viewer import PING, TEXT, Frames

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("redis_server")
def test_prints_a_table_and_writes_every_delay(tmp_path: Path) -> None:
    file = tmp_path / "latency.json"
    names = ["original", "product-many"]
    tiny = ["--repetitions", "1", "--updates-per-s", "50", "--seconds", "0.2", "--warm-up-s", "0.1"]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "latency", *tiny, "--rows", *names, "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    if missing_original():  # it is then left out, and said to be
        names.remove("original")
        assert "not run: the original design needs" in done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("| ")][2:] == names
    assert sum("p99 below" in line for line in lines) == 1
    rows = json.loads(file.read_text())["results"]["socket"]
    assert list(rows) == names
    for row in rows.values():
        (repetition,) = row["repetitions"]
        assert len(repetition["delays_us"]) == repetition["delivered"] == repetition["offered"] == 10
        assert repetition["p50_ms"] > 0


def test_an_unknown_row_is_refused_with_the_names_that_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "latency", "--rows", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "product-many" in done.stderr


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile([1, 2, 3, 4], share) == expected


def test_frames_are_read_however_they_are_cut() -> None:
    sent = [(TEXT, b"x" * 10), (PING, b""), (TEXT, b"y" * 200), (TEXT, b"z" * 70_000)]
    wire = b"\x81\x0a" + sent[0][1] + b"\x89\x00" + b"\x81\x7e\x00\xc8" + sent[2][1]
    wire += b"\x81\x7f" + (70_000).to_bytes(8) + sent[3][1]

    for size in (1, 7, len(wire)):
        frames = Frames()
        read = [frame for start in range(0, len(wire), size) for frame in frames.feed(wire[start : start + size])]

        assert read == sent
