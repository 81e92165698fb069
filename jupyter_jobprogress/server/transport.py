"""From a session to a Tornado socket: sends without waiting, and drops a peer that does not read.

Any ``WebSocketHandler`` takes ``SessionSocket`` as a mixin, before Tornado's class. Its subclass decides in ``get`` who
may come, and says what it may do by ``expect``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.limits import FRAME_BYTES
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.mailbox import Outlet
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.session import Session

DRAIN_S: Final = 15.0
"""A viewer that does not take one write in this time is dropped."""

LAST_WORDS: Final = 100
"""Frames that a client may still send once it was told to go; with more it is not waited for."""

_log = logging.getLogger(__name__)


class Wire(Outlet):
    """Writes whole frames to a socket, at most one write at a time.

    A stream that does not write has an empty buffer, so that a frame may go to the socket itself: ``IOStream.write``
    makes a future and turns of the event loop for each. The stream takes what the socket did not, keeps the order, and
    is where Tornado's own pongs and close frames wait. Frames never mix: no frame starts while the stream writes.
    """

    __slots__ = ("_alive", "_handler", "_late", "_open", "_service", "_socket", "_stream", "_words", "session")

    def __init__(self, handler: WebSocketHandler, stream: IOStream, service: Service) -> None:
        self._handler = handler
        self._stream = stream
        self._service = service
        # Encrypted bytes are made by the stream alone.
        self._socket = None if isinstance(stream, SSLIOStream) else stream.socket
        self._late: asyncio.TimerHandle | None = None
        self._open = True
        self._alive = True
        self._words = 0
        self.session: Session | None = None

    def send(self, frames: bytes) -> bool:
        stream = self._stream
        if stream.writing():
            if self._late is None:
                self._follow(b"")  # what is written is Tornado's own: a pong
            return False
        if self._socket is None:
            if self._open:
                self._follow(frames)
            return True
        try:
            sent = self._socket.send(frames)
        except BlockingIOError:
            sent = 0
        except OSError:
            return True  # the stream, which reads all the time, meets the same end and closes
        if sent < len(frames):
            self._follow(frames[sent:])
        return True

    def probe(self) -> None:
        if not self._alive:
            self._drop("gave no sign of life")
            self._stream.close()
        elif self._open and not self._stream.writing():
            self._alive = False
            self._handler.ping()

    def heard(self) -> None:
        """Note a sign of life."""
        self._alive = True

    def close(self, code: CloseCode, reason: str) -> None:
        if self._open:
            self._open = False
            self._socket = None
            # Tornado gives the closing handshake 5 s, then closes the connection.
            self._handler.close(code, reason)

    def babbles(self) -> None:
        """Count what comes after the end; one who goes on and on is cut off."""
        self._words += 1
        if self._words > LAST_WORDS:
            self._stream.close()

    def gone(self) -> None:
        """Forget the socket."""
        self._open = False
        self._socket = None
        self._done()

    def _follow(self, rest: bytes) -> None:
        """Let the stream write, and watch over it if that takes time."""
        try:
            future = self._stream.write(rest)
        except StreamClosedError:
            return
        if self._stream.writing():
            self._late = asyncio.get_running_loop().call_later(DRAIN_S, self._not_drained)
            future.add_done_callback(self._written)

    def _written(self, future: asyncio.Future[None]) -> None:
        self._done()
        if self.session is not None and not future.cancelled() and future.exception() is None:
            self.session.drained()

    def _done(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _not_drained(self) -> None:
        self._drop(f"did not read for {DRAIN_S:g} s")
        self.close(CloseCode.SLOW_VIEWER, "frames are not read")

    def _drop(self, why: str) -> None:
        self._late = None
        if self._open:
            self._service.metrics.counts.dropped += 1
            _log.info("A viewer %s and is dropped.", why)


class SessionSocket(WebSocketHandler):
    """A socket that is a session of a service. Call ``expect`` in ``get``, before Tornado's ``get``."""

    _service: Service
    _grant: Grant | None = None
    _who = ""
    _job_id: str | None = None
    _wire: Wire | None = None

    def expect(self, grant: Grant, *, who: str, job_id: str | None) -> None:
        """Say what the other end may do, and whose socket it is: the name of a user, or an address."""
        self._grant = grant
        self._who = who
        self._job_id = job_id

    # Tornado would keep a task for each socket; the service has one timer for all.

    @property
    def ping_interval(self) -> float:
        return 0

    @property
    def ping_timeout(self) -> float:
        return 0

    @property
    def max_message_size(self) -> int:
        reports = self._job_id is None and self._grant is not None and "report" in self._grant.actions
        return FRAME_BYTES if reports else self._service.settings.viewer_frame_bytes

    def get_compression_options(self) -> None:
        # Off: 140 KiB a socket, and frames could not be shared between viewers.
        return None

    async def open(self, *_: str, **__: str) -> None:
        assert self._grant is not None, "expect() comes first"
        assert self.ws_connection is not None
        assert self.ws_connection.stream is not None
        self.set_nodelay(True)
        wire = self._wire = Wire(self, self.ws_connection.stream, self._service)
        wire.session = self._service.open_session(grant=self._grant, outlet=wire, who=self._who, job_id=self._job_id)
        if wire.session is not None:
            await wire.session.start()

    async def on_message(self, message: str | bytes) -> None:
        if (wire := self._wire) is None:
            return
        wire.heard()
        if wire.session is None or wire.session.stopped:
            wire.babbles()
        else:
            await wire.session.handle(message)

    def on_ping(self, data: bytes) -> None:
        # Up to Tornado 6.5 every ping is answered at once, whether the answers are read or not.
        if (wire := self._wire) is not None and (wire.session is None or not wire.session.allows()):
            wire.babbles()

    def on_pong(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.heard()

    def on_close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.gone()
            if wire.session is not None:
                self._service.close_session(wire.session)
