"""States to report, and a listener that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.protocol.state import State, Status


def make_state(job_id: str = "job-1", status: str = "processing", **fields: Any) -> State:
    given = {"stage": "work", "progress": 0.5, "message": "half", "timestamp": "2026-01-01T00:00:00.000000Z"} | fields
    return State(job_id=job_id, status=Status(status), **given)


class Collector:
    """A listener. ``pushes`` and ``gaps`` are in the order in which they came."""

    def __init__(self) -> None:
        self.pushes: list[Stored] = []
        self.gaps: list[list[str]] = []
        self._news = asyncio.Event()

    def pushed(self, stored: Stored) -> None:
        self.pushes.append(stored)
        self._news.set()

    def gap(self, job_ids: Iterable[str]) -> None:
        self.gaps.append(list(job_ids))
        self._news.set()

    def of(self, job_id: str) -> list[Stored]:
        return [stored for stored in self.pushes if stored.job_id == job_id]

    @property
    def gapped(self) -> set[str]:
        return {job_id for job_ids in self.gaps for job_id in job_ids}

    async def until(self, condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
        """Wait until what came makes a condition true."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await self._news.wait()


async def eventually(
    condition: Callable[[], Awaitable[bool]], *, within_s: float = 30.0, every_s: float = 0.02
) -> None:
    """Wait for something outside of this process that gives no event."""
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(every_s)
