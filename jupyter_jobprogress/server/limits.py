"""How much one viewer, one user and all viewers together may take of a server. Pure, but for the clock that is given.

The limits themselves are fields of ``Settings``; docs/settings.md names them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from jupyter_jobprogress.errors import TooManySubscriptionsError
from jupyter_jobprogress.settings import Settings

BURST_S: Final = 20.0
"""A rate may be exceeded in a burst as large as what it allows in this time: people reload pages, servers restart."""

REMEMBERED: Final = 4096
"""Most users and addresses whose rate is remembered. Beyond it those with a full allowance are forgotten."""


class Allowance:
    """A token bucket: ``rate_per_s`` on the average, ``burst`` at once."""

    __slots__ = ("_at_s", "_burst", "_left", "_rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left = burst
        self._at_s = now_s

    def take(self, now_s: float, amount: float = 1.0) -> bool:
        """Take from what is left, or take nothing and answer False."""
        self._refill(now_s)
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def full(self, now_s: float) -> bool:
        self._refill(now_s)
        return self._left >= self._burst

    def _refill(self, now_s: float) -> None:
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s


class Guest:
    """What all sockets of one user or address take together: how many they are, and how many jobs they watch."""

    __slots__ = ("_most", "_of", "_watched", "sockets")

    def __init__(self, settings: Settings) -> None:
        self.sockets = 0
        self._most = settings.max_subscriptions_per_user
        self._watched = 0
        self._of = Counter[object]()

    def take(self, socket: object, jobs: int) -> None:
        """Count jobs that a socket is to watch. Raises TooManySubscriptionsError, and then counts none."""
        if (wanted := self._watched + jobs) > self._most:
            raise TooManySubscriptionsError(wanted, self._most, "all sockets of one user")
        self._watched = wanted
        self._of[socket] += jobs

    def give(self, socket: object, jobs: int) -> None:
        """Count out jobs that a socket does not watch after all; nothing of one that was forgotten."""
        if socket in self._of:
            self._watched -= jobs
            self._of[socket] -= jobs

    def forget(self, socket: object) -> None:
        """Count out all jobs of a socket. Idempotent."""
        self._watched -= self._of.pop(socket, 0)


class Door:
    """Counts viewers in and out, and requests by who makes them.

    ``who`` is the name of a user, or an address where nobody is named. It is compared and never shown.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._inside: dict[str, Guest] = {}
        self._total = 0
        self._rates: dict[str, Allowance] = {}

    def allows_request(self, who: str) -> bool:
        """Whether one more REST request or handshake is within ``requests_per_s``; it counts if it is."""
        now_s = self._clock()
        allowance = self._rates.get(who)
        if allowance is None:
            if len(self._rates) >= REMEMBERED:
                self._rates = {name: kept for name, kept in self._rates.items() if not kept.full(now_s)}
            rate = self._settings.requests_per_s
            allowance = self._rates[who] = Allowance(rate, rate * BURST_S, now_s)
        return allowance.take(now_s)

    def enter(self, who: str) -> Guest | str:
        """Count a viewer in and return whose it is, or the reason why it may not enter."""
        if self._total >= self._settings.max_viewers:
            return f"this server shows progress to at most {self._settings.max_viewers} viewers"
        guest = self._inside.get(who) or Guest(self._settings)
        if guest.sockets >= self._settings.max_viewers_per_user:
            return f"one user may open at most {self._settings.max_viewers_per_user} sockets"
        self._total += 1
        guest.sockets += 1
        self._inside[who] = guest
        return guest

    def leave(self, who: str) -> None:
        """Count out a viewer that ``enter`` counted in."""
        self._total -= 1
        guest = self._inside[who]
        guest.sockets -= 1
        if not guest.sockets:
            del self._inside[who]
