"""One timer for everything that is due for a viewer now and then: pings, signs of life, the first message.

A task or timer of each viewer's own would cost more memory than the rest of an idle viewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

TICK_S: Final = 0.5
AT_ONCE: Final = 500
"""Most items of one rota in one tick; those that came together are then called in slices of a few milliseconds."""

T = TypeVar("T")


class Rota(Generic[T]):
    """Calls each item once an interval has passed since it came, and again after each further one if ``repeats``."""

    def __init__(self, interval_s: float, call: Callable[[T], None], *, repeats: bool = True) -> None:
        self.interval_s = interval_s
        self._call = call
        self._repeats = repeats
        # In the order in which they are due: all have the same interval.
        self._due_s: dict[T, float] = {}

    def add(self, item: T, now_s: float) -> None:
        if self.interval_s > 0:
            self._due_s[item] = now_s + self.interval_s

    def discard(self, item: T) -> None:
        self._due_s.pop(item, None)

    def tick(self, now_s: float) -> None:
        """Call what is due."""
        for _ in range(min(AT_ONCE, len(self._due_s))):
            item, due_s = next(iter(self._due_s.items()))
            if due_s > now_s:
                return
            del self._due_s[item]
            if self._repeats:
                self._due_s[item] = now_s + self.interval_s
            self._call(item)


class Keeper:
    """Ticks while it is wanted. ``late`` is told how late each tick was, in seconds."""

    def __init__(
        self, tick: Callable[[float], None], late: Callable[[float], None], *, period_s: float = TICK_S
    ) -> None:
        self._tick = tick
        self._late = late
        self._period_s = period_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick, in the running loop. Idempotent."""
        if self._timer is None:
            self._set(asyncio.get_running_loop())

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + self._period_s
        self._timer = loop.call_at(due_s, self._run, loop, due_s)

    def _run(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self._set(loop)
        self._late(now_s - due_s)
        self._tick(now_s)
