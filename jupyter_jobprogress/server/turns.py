"""Lets work that comes in bursts have its turn in slices, so that what is under way goes on between them.

A thousand requests that arrive in one turn of the event loop would else be answered in the next one, and every viewer
would wait for the last of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

AT_ONCE: Final = 1
"""Requests in one turn of the loop. What others wait for one in a Jupyter server is half a millisecond."""


class Turns:
    """Lets ``at_once`` callers of ``take`` go on in one turn of the loop; the others follow in the order they came."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._line: deque[asyncio.Future[None]] = deque()
        self._next: asyncio.Handle | None = None

    async def take(self) -> None:
        """Return at once, or in a later turn."""
        loop = asyncio.get_running_loop()
        if self._next is None:
            self._next = loop.call_soon(self._turn)
        if self._left > 0 and not self._line:
            self._left -= 1
            return
        waiter: asyncio.Future[None] = loop.create_future()
        self._line.append(waiter)
        await waiter

    def _turn(self) -> None:
        self._next = None
        self._left = self._at_once
        while self._left > 0 and self._line:
            waiter = self._line.popleft()
            if not waiter.done():  # or whoever waited was cancelled
                waiter.set_result(None)
                self._left -= 1
        if self._left < self._at_once:
            self._next = asyncio.get_running_loop().call_soon(self._turn)
