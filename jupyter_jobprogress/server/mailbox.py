"""What waits for one viewer: bounded, newest state wins, terminal states never wait.

Knows neither Tornado nor a store. Memory is O(jobs watched), never O(updates).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from jupyter_jobprogress.protocol.messages import Stored

QUEUE_FRAMES: Final = 64
"""Most frames in line. Past it the viewer is behind, and each job keeps its newest state alone."""

CONTROL_FRAMES: Final = 1024
"""Most answers in line; a client that asks this much and reads nothing is closed."""


class MailboxFullError(Exception):
    """A client asks without reading the answers."""


class Mailbox:
    """Frames for one viewer, taken out by one writer (``run``).

    ``try_send`` sends a frame without waiting and answers True, or does nothing and answers False. It spares a viewer
    that keeps up the turns of the event loop that waking the writer takes. ``send`` returns once a frame is out.

    A job is in ``_newest`` while its state waits: for its interval to pass, or for the viewer to catch up.
    """

    def __init__(
        self, send: Callable[[bytes], Awaitable[None]], *, try_send: Callable[[bytes], bool] = lambda _: False
    ) -> None:
        self._send = send
        self._try_send = try_send
        self._sending = False
        self._line: deque[bytes] = deque()
        self._newest: dict[str, bytes] = {}
        self._due_s: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def put(self, message: bytes) -> None:
        """Put an answer or a ping in line, after what is there.

        Raises:
            MailboxFullError
        """
        if len(self._line) >= CONTROL_FRAMES:
            raise MailboxFullError
        self._take(message)

    def put_state(self, stored: Stored, *, interval_s: float) -> None:
        """Put a state in line, or let it wait where a newer one may replace it.

        ``interval_s`` is the least time between two states of this job; the first after silence and a terminal one
        leave at once.
        """
        job_id = stored.job_id
        now_s = self._loop.time()
        if len(self._line) >= QUEUE_FRAMES:
            self._newest[job_id] = stored.data
        elif stored.status.terminal or now_s >= self._due_s.get(job_id, 0.0):
            self._enqueue(job_id, stored.data, now_s + interval_s)
        else:
            self._newest[job_id] = stored.data
            if job_id not in self._timers:
                self._timers[job_id] = self._loop.call_at(self._due_s[job_id], self._release, job_id, interval_s)

    def forget(self, job_id: str) -> None:
        """Drop what waits for a job that is no longer watched."""
        self._newest.pop(job_id, None)
        self._due_s.pop(job_id, None)
        if timer := self._timers.pop(job_id, None):
            timer.cancel()

    async def run(self) -> None:
        """Send what comes, one frame in flight, until cancelled or until ``send`` raises."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            self._sending = True
            while self._line or self._catch_up():
                await self._send(self._line.popleft())
            self._sending = False

    def close(self) -> None:
        """Drop everything that waits. Idempotent."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._newest.clear()
        self._line.clear()

    def _enqueue(self, job_id: str, data: bytes, due_s: float) -> None:
        # What waits is older than what is put in line now.
        self._newest.pop(job_id, None)
        self._due_s[job_id] = due_s
        self._take(data)

    def _take(self, data: bytes) -> None:
        # Nothing may overtake what is in line or on its way.
        if self._line or self._sending or not self._try_send(data):
            self._line.append(data)
            self._filled.set()

    def _release(self, job_id: str, interval_s: float) -> None:
        del self._timers[job_id]
        if (data := self._newest.get(job_id)) is not None and len(self._line) < QUEUE_FRAMES:
            self._enqueue(job_id, data, self._loop.time() + interval_s)

    def _catch_up(self) -> bool:
        """Move the states that waited for the viewer, and for no timer, into the line; False if there are none."""
        for job_id in [job_id for job_id in self._newest if job_id not in self._timers]:
            self._enqueue(job_id, self._newest[job_id], self._due_s.get(job_id, 0.0))
        return bool(self._line)
