"""When the jobs of one sender are looked at: together, ten times a second at most, and for a small share of a core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.1
"""Least time between two looks at a job, so that it sends ten states a second at most. An eye follows no more."""

SLOWEST_S: Final = 0.5
"""Longest time between two looks, whatever they cost."""

SHARE: Final = 0.005
"""What the sender may take of one core. It works beside code that would use all cores, and under the same GIL."""

_JUDGED_S: Final = 1.0
"""How often the time between two looks is set anew."""


class Pace:
    """Sets the time between two looks by what they have cost.

    A state takes 0.3 ms of CPU time right after another, and twice to three times that after a rest, since what the job
    does meanwhile has the caches. So all jobs are looked at in one go, and less often where that takes too much: with
    many jobs, on a slow machine, with a store that costs more.

    Used in the sender's thread alone: ``spent`` is the CPU time of the calling thread. Both clocks count seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._spent = spent
        self._judged: tuple[float, float] | None = None
        self._origin_s = 0.0
        self.interval_s = POLL_S

    def until_next_s(self) -> float:
        """Return the time until the next look: half to one and a half intervals from now, the same for every job."""
        now_s = self._clock()
        self._judge(now_s)
        # By deadline and not by sleep: a busy interpreter wakes this thread late, and lateness would add up.
        turn = int((now_s - self._origin_s) / self.interval_s + 1.5)
        return self._origin_s + turn * self.interval_s - now_s

    def _judge(self, now_s: float) -> None:
        if self._judged is None:
            self._judged, self._origin_s = (now_s, self._spent()), now_s
            return
        before_s, spent_before_s = self._judged
        if now_s - before_s < _JUDGED_S:
            return
        spent_s = self._spent()
        share = (spent_s - spent_before_s) / (now_s - before_s)
        # Halved and doubled at most: a connection that was made costs more than a second of states, once.
        factor = min(max(share / SHARE, 0.5), 2.0)
        self.interval_s = min(max(self.interval_s * factor, POLL_S), SLOWEST_S)
        self._judged, self._origin_s = (now_s, spent_s), now_s
