"""What waits for one viewer while its socket is still being written to: bounded, newest state wins.

Knows neither Tornado nor a store, and has no task: an outlet says when it takes frames again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from jupyter_jobprogress.protocol.codes import CloseCode

WRITE_BYTES: Final = 256 * 1024
"""Most bytes of states that are handed to an outlet at once for a viewer that is behind."""

CONTROL_FRAMES: Final = 1024
"""Most answers in line; a client that asks this much and reads nothing is closed."""


class MailboxFullError(Exception):
    """A client asks without reading the answers."""


class Outlet(Protocol):
    """The socket of one viewer. No method blocks, awaits or raises."""

    def send(self, frames: bytes) -> bool:
        """Take whole frames and answer True; or, while earlier ones are still being written, take nothing.

        After a False the outlet calls ``drained`` of the mailbox as soon as it is free. It may also call it at other
        times. A viewer that is gone takes everything.
        """

    def probe(self) -> None:
        """Ask the peer for a sign of life; drop it if it gave none since it was asked last."""

    def close(self, code: CloseCode, reason: str) -> None:
        """End the socket. Later frames go nowhere."""


class Source(Protocol):
    """A job, as somebody who was behind needs it."""

    @property
    def frame(self) -> bytes:
        """The newest state as a frame; the same object for every viewer."""

    @property
    def terminal(self) -> bool:
        """Whether the newest state is a terminal one."""


class Mailbox:
    """Passes frames on while the outlet takes them, and remembers what is owed while it does not.

    Owed states are not copied: a mailbox remembers which jobs changed, and takes their newest frames when the outlet is
    free. Only a terminal state is kept, so that it is not lost where a new run of its job has begun meanwhile.
    """

    __slots__ = ("_closed", "_line", "_outlet", "_owed", "_waiters")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        # Both None while nothing waits: of thousands of viewers hardly one is behind.
        self._line: deque[bytes] | None = None
        self._owed: dict[Source, bytes | None] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._closed = False

    @property
    def waiting(self) -> bool:
        """Whether something waits for the outlet."""
        return self._line is not None or self._owed is not None

    def deliver(self, frames: bytes, source: Source) -> bool:
        """Send states of a job now and answer True; else owe the viewer the newest one and answer False."""
        if self._line is None and self._owed is None and self._outlet.send(frames):
            return True
        self.owe(source)
        return False

    def send(self, frames: bytes) -> bool:
        """Send states of several jobs now and answer True, or do nothing: the caller then owes each of them."""
        return self._line is None and self._owed is None and self._outlet.send(frames)

    def owe(self, source: Source) -> None:
        """Remember that the newest state of a job is to follow."""
        if self._closed:
            return
        if self._owed is None:
            self._owed = {}
        if source.terminal:
            # To the end of the line: where a job ended twice, the first end is overtaken, as every state is.
            self._owed.pop(source, None)
            self._owed[source] = source.frame
        else:
            self._owed.setdefault(source, None)

    def put(self, frame: bytes) -> None:
        """Send an answer or a ping, after what is in line.

        Raises:
            MailboxFullError
        """
        if self._closed or (self._line is None and self._owed is None and self._outlet.send(frame)):
            return
        if self._line is None:
            self._line = deque()
        if len(self._line) >= CONTROL_FRAMES:
            raise MailboxFullError
        self._line.append(frame)

    def forget(self, source: Source) -> None:
        """Owe nothing of a job that is no longer watched."""
        if self._owed is not None and source in self._owed:
            del self._owed[source]
            self._owed = self._owed or None

    async def room(self) -> None:
        """Return once nothing waits, or the mailbox is closed."""
        if self.waiting and not self._closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            await waiter

    def drained(self) -> None:
        """Send what waits, as much as the outlet takes. For the outlet, when it has written all that it took."""
        while self.waiting:
            frames, line, owed = self._take()
            if not self._outlet.send(frames):
                self._line, self._owed = line, owed
                return
        self._wake()

    def close(self) -> None:
        """Drop everything that waits. Idempotent."""
        self._closed = True
        self._line = self._owed = None
        self._wake()

    def _take(self) -> tuple[bytes, deque[bytes] | None, dict[Source, bytes | None] | None]:
        """Return the next write, and what waited before it was taken."""
        line, owed = self._line, self._owed
        parts = list(line or ())
        size = sum(map(len, parts))
        rest = dict(owed or ())
        for source, ended in owed.items() if owed else ():
            if size >= WRITE_BYTES:
                break
            frame = source.frame
            parts += [frame] if ended is None or ended is frame else [ended, frame]
            size += len(frame)
            del rest[source]
        self._line, self._owed = None, rest or None
        return b"".join(parts), line, owed

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
