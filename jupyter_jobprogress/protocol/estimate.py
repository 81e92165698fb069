"""Rate and remaining time from samples of work done. Pure: the caller brings the clock."""

from __future__ import annotations

import math

SMOOTHING_S = 15.0
"""Time constant of the moving rate: a sample this old weighs 1/e. Long enough to survive a batch that is
saved to disk, short enough to follow a change of speed within half a minute."""


class Estimator:
    """Blend the recent rate with the overall one.

    A moving average alone jumps with every pause; the overall mean alone freezes when the speed changes
    (tqdm issues 54 and 249). The blend leans on the recent rate as soon as there is enough of it.
    """

    def __init__(self, *, now_s: float, n: float = 0.0) -> None:
        self._start_s = self._last_s = now_s
        self._start_n = self._last_n = n
        self._recent: float | None = None
        self._weight = 0.0

    def sample(self, *, now_s: float, n: float) -> None:
        """Take the count ``n`` at the monotonic time ``now_s`` (seconds). A step back in either restarts."""
        elapsed = now_s - self._last_s
        if n < self._last_n or elapsed < 0:
            self.__init__(now_s=now_s, n=n)  # type: ignore[misc]
            return
        if elapsed == 0:
            return
        rate = (n - self._last_n) / elapsed
        keep = math.exp(-elapsed / SMOOTHING_S)
        self._recent = rate if self._recent is None else keep * self._recent + (1 - keep) * rate
        self._weight = keep * self._weight + (1 - keep)
        self._last_s, self._last_n = now_s, n

    @property
    def rate_per_s(self) -> float | None:
        """Work per second, or None before anything was done."""
        elapsed = self._last_s - self._start_s
        done = self._last_n - self._start_n
        if elapsed <= 0 or done <= 0 or self._recent is None:
            return None
        return self._weight * self._recent + (1 - self._weight) * done / elapsed

    def eta_s(self, total: float | None) -> float | None:
        """Seconds until ``total`` is reached at the present rate; None if that cannot be said."""
        rate = self.rate_per_s
        if total is None or rate is None or rate <= 0:
            return None
        return max(0.0, (total - self._last_n) / rate)
