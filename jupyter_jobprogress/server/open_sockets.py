"""WebSockets that are open, so that a server that stops can wait for their ends."""

from __future__ import annotations

import asyncio


class OpenSockets:
    """Counts them in and out."""

    def __init__(self) -> None:
        self._open: set[object] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, handler: object) -> None:
        self._open.add(handler)
        self._none.clear()

    def discard(self, handler: object) -> None:
        self._open.discard(handler)
        if not self._open:
            self._none.set()

    async def gone(self, *, within_s: float) -> None:
        """Wait until all have said goodbye, or for so long."""
        try:
            async with asyncio.timeout(within_s):
                await self._none.wait()
        except TimeoutError:
            pass
