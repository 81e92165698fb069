from __future__ import annotations

from jupyter_jobprogress.store.portions import FIRST, MOST, PORTION_BYTES, Stride


def test_small_states_are_read_by_the_hundred_after_a_few() -> None:
    stride = Stride()
    counts = []
    for _ in range(3):
        counts.append(stride.count)
        stride.learn([500] * stride.count)

    assert counts == [FIRST, 4 * FIRST, MOST]


def test_large_states_are_read_a_portion_at_a_time_and_one_at_the_least() -> None:
    stride = Stride()

    stride.learn([500, PORTION_BYTES // 3])
    assert stride.count == 3
    stride.learn([500] * 3)
    assert stride.count == 3, "the next may be large again"
    stride.learn([2 * PORTION_BYTES])
    assert stride.count == 1


def test_jobs_of_which_nothing_is_left_are_no_reason_to_stop() -> None:
    stride = Stride()

    stride.learn([0] * FIRST)

    assert stride.count == 4 * FIRST
