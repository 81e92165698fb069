"""Keeps a Jupyter server from being called idle while a job runs, where it is told to.

Jupyter Server ends itself after ``shutdown_no_activity_timeout``, and a JupyterHub culls servers, by the newest of what
``web_app.last_activity`` finds. A kernel that computes without a word is none of that.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from jupyter_jobprogress.errors import ProtocolError, StoreError
from jupyter_jobprogress.protocol.liveness import expected
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.server.service import Service

PAGE: Final = 200
MOST: Final = 1000
"""Most running jobs that are looked at; the newest come first."""

_log = logging.getLogger(__name__)


class Activity:
    """Calls ``mark`` every ``look_s`` seconds while a job runs for which the server is needed.

    That is a job that reports to this server, or runs on its machine, or is watched on a page of it. Each run counts
    for ``longest_s`` after it was first seen. ``running`` says what the last look found. Start it in the loop that the
    service lives in; ``close`` ends its task.
    """

    def __init__(
        self,
        service: Service,
        mark: Callable[[], None],
        *,
        look_s: float,
        longest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.running = False
        self._service = service
        self._mark = mark
        self._look_s = look_s
        self._longest_s = longest_s
        self._clock = clock
        self._host = socket.gethostname()
        self._seen_s: dict[tuple[str, int | None], float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> None:
        """Look once. Raises StoreError."""
        now_s, seen_s = self._clock(), self._seen_s
        self._seen_s = {}
        async for state in self._jobs():
            if self._needs(state):
                run = (state.job_id, state.run)
                self._seen_s[run] = seen_s.get(run, now_s)
        self.running = any(now_s - since_s <= self._longest_s for since_s in self._seen_s.values())
        if self.running:
            self._mark()

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as exc:
                _log.info("Whether a job runs, and the server is to be kept, is asked again later: %s", exc)
            await asyncio.sleep(self._look_s)

    async def _jobs(self) -> AsyncIterator[State]:
        after, found = None, 0
        while found < MOST:
            page = await self._service.store.list(status=Status.PROCESSING, limit=PAGE, after=after)
            for stored in page.jobs:
                try:
                    yield decode_state(stored.data)
                except ProtocolError:
                    continue  # of another program; the page shows what it can of it
            found += len(page.jobs)
            if (after := page.next) is None:
                return

    def _needs(self, state: State) -> bool:
        here = self._service.settings.url is None or (state.origin is not None and state.origin.host == self._host)
        if not here and not self._service.fanout.watches(state.job_id):
            return False
        return expected(state, now_us=self._service.store.now_us())
