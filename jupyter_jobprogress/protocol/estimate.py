"""Rate and remaining time from samples of work done. Pure: the caller brings the clock."""

from __future__ import annotations

import math

SMOOTHING_S = 10.0
"""Shortest time constant of the moving rate: work this long ago weighs 1/e. A change of speed shows within half a
minute."""

SMOOTHING_STEPS = 8.0
"""The time constant spans this many of the intervals at which work gets done, where those are long: epochs, batches
that are counted as one, a quick loop that is evaluated now and then. With fewer the estimate would follow each."""

LEAST_S = 0.1
"""Shortest time of which a rate is told: one large step right at the start would be hundreds of millions a second,
until the next one."""


class Estimator:
    """The mean rate of the recent past, which is as long as the rhythm of the work asks for.

    A moving average of fixed length forgets an epoch before the next one ends, and then says anything; the overall
    mean freezes when the speed changes (tqdm issues 54 and 249). So the length follows the usual interval between two
    samples that brought something. Work is taken as spread evenly over its interval, and what is forgotten of it is
    forgotten of the time, too: at the beginning the rate is the overall mean.
    """

    def __init__(self, *, now_s: float, n: float = 0.0) -> None:
        self._now_s = self._last_s = now_s
        self._told_from_s = now_s + LEAST_S
        self._n = n
        # Work, time, and squares of the intervals, each with what is old weighing less.
        self._work = self._time_s = self._intervals_s2 = 0.0

    def sample(self, *, now_s: float, n: float) -> None:
        """Take the count ``n`` at the monotonic time ``now_s`` (seconds). A step back in either restarts."""
        if n < self._n or now_s < self._now_s:
            self.__init__(now_s=now_s, n=n)  # type: ignore[misc]
            return
        self._now_s = now_s
        interval_s = now_s - self._last_s
        if n == self._n or interval_s <= 0:
            return
        keep, fresh_s = self._weights(interval_s, forgetting_s=interval_s)
        self._work = keep * self._work + fresh_s * (n - self._n) / interval_s
        self._time_s = keep * self._time_s + fresh_s
        self._intervals_s2 = keep * self._intervals_s2 + fresh_s * interval_s
        self._last_s, self._n = now_s, n

    @property
    def rate_per_s(self) -> float | None:
        """Work per second, or None before anything was done. Silence that is longer than usual lowers it."""
        if self._work <= 0 or self._now_s < self._told_from_s:
            return None
        pending_s = self._now_s - self._last_s
        silence_s = max(0.0, pending_s - self._interval_s(0.0))
        keep, fresh_s = self._weights(pending_s, forgetting_s=silence_s)
        return keep * self._work / (keep * self._time_s + fresh_s)

    def eta_s(self, total: float | None) -> float | None:
        """Seconds until ``total`` is reached at the present rate; None if that cannot be said."""
        rate = self.rate_per_s
        if total is None or rate is None or rate <= 0:
            return None
        # What was done since the last step is not counted yet, one step at most.
        uncounted_s = min(self._now_s - self._last_s, self._interval_s(0.0))
        return max(0.0, (total - self._n) / rate - uncounted_s)

    def _interval_s(self, newest_s: float) -> float:
        """Return the interval that a moment falls into on average, with the newest one, in seconds."""
        return (self._intervals_s2 + newest_s * newest_s) / max(self._time_s + newest_s, 1e-9)

    def _weights(self, interval_s: float, *, forgetting_s: float) -> tuple[float, float]:
        """Return what the past weighs after ``forgetting_s``, and that time itself."""
        constant_s = max(SMOOTHING_S, SMOOTHING_STEPS * self._interval_s(interval_s))
        keep = math.exp(-forgetting_s / constant_s)
        return keep, constant_s * (1 - keep)
