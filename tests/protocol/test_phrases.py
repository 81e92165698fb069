from __future__ import annotations

import pytest

from jupyter_jobprogress.protocol.phrases import count, duration, percent, seconds_between, took


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0:00"), (7.9, "0:07"), (754, "12:34"), (11045, "3:04:05"), (2 * 86400 + 3 * 3600 + 4 * 60, "2d 03:04")],
)
def test_durations_are_cut(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_short_times_have_a_decimal() -> None:
    assert (took(0.04), took(9.96), took(10)) == ("<0.1 s", "10.0 s", "0:10")


def test_a_hundred_percent_is_said_when_it_is_reached() -> None:
    assert [percent(fraction) for fraction in (0, 0.29, 0.999, 1)] == ["0%", "29%", "99%", "100%"]


def test_counts_have_what_is_known_and_group_their_digits() -> None:
    assert (count(3, 10, "files"), count(3.5, None, None)) == ("3 / 10 files", "3.5")
    assert (count(1234567, 2e7, "rows"), count(1000, 1000, "rows")) == ("1,234,567 / 20,000,000 rows", "1,000 rows")
    assert count(3, 3, None) == "3 / 3"  # a bare 3 would be a riddle
    assert (count(1234567, 2e9, "B"), count(999, None, "bytes"), count(5e18, 0, "B")) == (
        "1.2 MB / 2.0 GB",
        "999 B",
        "5,000.0 PB",
    )


def test_times_that_cannot_be_compared_have_no_distance() -> None:
    assert seconds_between("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.500000Z") == 1.5
    assert seconds_between("", "2026-01-01T00:00:00Z") is None
    assert seconds_between("2026-01-01T00:00:00", "2026-01-01T00:00:00Z") is None
