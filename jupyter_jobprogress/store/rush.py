"""Whether so much is pushed that it pays to let it gather. Pure."""

from __future__ import annotations

from typing import Final

RUSH_PER_S: Final = 5000.0
"""Messages a second from which reading rests. One that is read by itself costs some 45 us of CPU on its way to its
viewer, 35 where ten are read together: this many take a quarter of a core."""

REST_S: Final = 0.001
"""How long. Timers of epoll have no finer step."""

WINDOW_S: Final = 0.05
"""Time over which messages are counted."""


class Rush:
    """Counts messages; ``on`` while they rushed in at the last count."""

    __slots__ = ("_count", "_since_s", "on")

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._count = 0
        self.on = False

    def count(self, messages: int, now_s: float) -> bool:
        """Count what has come, and return ``on``. The first message after a silence finds it off."""
        self._count += messages
        passed_s = now_s - self._since_s
        if passed_s >= WINDOW_S:
            self.on = self._count > RUSH_PER_S * passed_s
            self._since_s, self._count = now_s, 0
        return self.on
