"""When a rush begins, and when it is over."""

from __future__ import annotations

from jupyter_jobprogress.store.rush import RUSH_PER_S, WINDOW_S, Rush


def rushed(rush: Rush, *, begin_s: float, per_s: float, seconds: float = 4 * WINDOW_S) -> bool:
    """Let messages come one by one, and return what the last one found."""
    found = False
    for number in range(int(per_s * seconds)):
        found = rush.count(1, begin_s + number / per_s)
    return found


def test_only_what_is_quick_is_a_rush() -> None:
    assert not rushed(Rush(0.0), begin_s=0.0, per_s=RUSH_PER_S / 2)
    assert rushed(Rush(0.0), begin_s=0.0, per_s=RUSH_PER_S * 2)


def test_what_comes_after_a_silence_is_none() -> None:
    rush = Rush(0.0)
    assert rushed(rush, begin_s=0.0, per_s=RUSH_PER_S * 2)

    assert not rush.count(1, 10.0)


def test_a_read_of_many_counts_as_many() -> None:
    rush = Rush(0.0)
    assert rush.count(int(RUSH_PER_S), WINDOW_S)
    assert not rush.count(1, 3 * WINDOW_S)
