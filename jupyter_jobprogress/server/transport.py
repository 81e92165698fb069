"""From a session to a Tornado socket: sends without waiting, and drops a peer that does not read.

Any ``WebSocketHandler`` takes ``SessionSocket`` as a mixin, before Tornado's class. Its subclass decides in ``get`` who
may come, and says what it may do by ``expect``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, Final, cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import (
    WebSocketClosedError,
    WebSocketHandler,
    WebSocketProtocol,
    WebSocketProtocol13,
    _WebSocketParams,
)

from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.limits import FRAME_BYTES
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.mailbox import Outlet
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.session import Session
from jupyter_jobprogress.server.watchman import Check, still_in

GREETING_S: Final = 0.1
"""Longest that a greeting waits for the state that follows it; a store that is well answers in a fiftieth of it."""

LAST_WORDS: Final = 100
"""Frames that a client may still send once it was told to go; with more it is not waited for."""

_NO_REQUEST: Final = Context()
"""What all wires read in. That of a request would keep it: Jupyter puts the handler into it."""

_log = logging.getLogger(__name__)


class Protocol(WebSocketProtocol13):
    """Tornado's protocol, in which a socket lets go of the request that opened it.

    Tornado reads frames within the request: eight suspended coroutines, the handler, headers and arguments stay as long
    as the socket is open, two thirds of what an idle viewer takes. Here a task of the wire reads, and the request ends
    with its handshake.
    """

    async def _receive_frame_loop(self) -> None:
        assert isinstance(self.handler, Wire)
        self.handler.read(self.frames(self.handler))

    async def frames(self, wire: Wire) -> None:
        """Read until the socket ends."""
        try:
            while not self.client_terminated:
                await self._receive_frame()
                if self._fragmented_message_buffer is not None:
                    wire.on_fragment()
                if wire.idle_talk:
                    # A message is handled in a task, and others have their turn. Of these frames as many as have
                    # come would be read in one go: Tornado's own loop takes 200 since 6.6, and all before.
                    wire.idle_talk = False
                    await asyncio.sleep(0)
        except StreamClosedError:
            self._abort()
        finally:
            wire.on_ws_connection_close(self.close_code, self.close_reason)


class Wire(Outlet):
    """Writes whole frames to a socket, at most one write at a time, and passes on what comes. ``greet`` begins it.

    A stream that does not write has an empty buffer, so that a frame may go to the socket itself: ``IOStream.write``
    makes a future and turns of the event loop for each. The stream takes what the socket did not, keeps the order, and
    is where Tornado's own pongs and close frames wait. Frames never mix: no frame starts while the stream writes.
    """

    __slots__ = (
        "_alive",
        "_held",
        "_late",
        "_open",
        "_protocol",
        "_reading",
        "_service",
        "_socket",
        "_stream",
        "_words",
        "idle_talk",
        "session",
    )

    def __init__(self, protocol: Protocol, service: Service, *, first: bytes = b"") -> None:
        self._protocol = protocol
        self._stream = protocol.stream
        self._service = service
        # Encrypted bytes are made by the stream alone.
        self._socket = None if isinstance(self._stream, SSLIOStream) else self._stream.socket
        self._late: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None
        self._open = True
        self._alive = True
        self._words = 0
        self._held: list[bytes] | None = [first]
        self.idle_talk = False
        self.session: Session | None = None
        service.sockets.add(self)

    def read(self, frames: Coroutine[Any, Any, None]) -> None:
        """Begin to read. The task ends with the socket."""
        self._reading = asyncio.create_task(frames, context=_NO_REQUEST)
        self._reading.add_done_callback(self._read, context=_NO_REQUEST)

    async def greet(self) -> None:
        """Begin the session, if there is one. What is ``first`` to be sent, its greeting and the present state leave
        in one send, which is what costs; for a state that has yet to be read they wait ``GREETING_S``, and no longer.
        """
        asyncio.get_running_loop().call_later(GREETING_S, self._release)
        if self.session is not None:
            try:
                await self.session.start()
            except BaseException:
                self.on_ws_connection_close()  # Tornado only calls it once frames are read
                raise
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None and (frames := b"".join(held)):
            self.send(frames)

    def _read(self, reading: asyncio.Task[None]) -> None:
        # Tornado's request would do this: a message that cannot be is the end of a socket, without a word in the log.
        if reading.cancelled() or (error := reading.exception()) is not None:
            self._protocol.on_connection_close()
            if not reading.cancelled() and not isinstance(error, ValueError):
                _log.error("Reading from a viewer failed", exc_info=error)
        self._let_go()

    def _let_go(self) -> None:
        """Refer to nothing that refers back, since nobody speaks any more.

        A socket would else wait for the garbage collector with all that it had, and a client who comes and goes would
        have that run often: each time for 3 ms in a Jupyter server, which all others wait for.
        """
        self.on_ws_connection_close()  # nobody else has said so where reading was cancelled before it began
        self._reading = self.session = None
        self._protocol = cast("Protocol", None)

    def send(self, frames: bytes) -> bool:
        stream = self._stream
        if self._held is not None:
            self._held.append(frames)
            return True
        if stream.writing():
            if self._late is None:
                # What is written is Tornado's own, a pong. That tries again, and may find room this time: then nobody
                # would ever be told that the stream is free.
                self._follow(b"")
            if stream.writing():
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
            with suppress(WebSocketClosedError):
                self._protocol.write_ping(b"")

    def close(self, code: CloseCode, reason: str) -> None:
        if self._open:
            self._release()
            self._open = False
            self._socket = None
            # Tornado gives the closing handshake 5 s, then closes the connection.
            self._protocol.close(code, reason)

    # What Tornado's protocol tells whom it belongs to.

    async def on_message(self, message: str | bytes) -> None:
        self._alive = True
        if self.session is None or self.session.stopped:
            self._babbles()
        else:
            await self.session.handle(message)

    def on_ping(self, data: bytes) -> None:
        # Up to Tornado 6.5 every ping is answered at once, whether the answers are read or not.
        self._count()

    def on_pong(self, data: bytes) -> None:
        if self._alive:
            self._count()  # nobody asked
        self._alive = True

    def on_fragment(self) -> None:
        # Of empty ones a message never becomes too long, and never comes to its end.
        self._count()

    def on_ws_connection_close(self, close_code: int | None = None, close_reason: str | None = None) -> None:
        self._open = False
        self._socket = None
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._service.sockets.discard(self)
        if self.session is not None:
            self._service.close_session(self.session)

    def log_exception(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        _log.error("A message of a viewer failed", exc_info=error)

    def _count(self) -> None:
        """Count a frame that is no message at the rate of messages."""
        self.idle_talk = True
        if self.session is None or not self.session.allows():
            self._babbles()

    def _babbles(self) -> None:
        """Count what comes after the end; one who goes on and on is cut off."""
        self._words += 1
        if self._words > LAST_WORDS:
            self._protocol.client_terminated = True  # or what has come already would still be read, frame by frame
            self._stream.close()

    def _follow(self, rest: bytes) -> None:
        """Let the stream write, and watch over it if that takes time."""
        try:
            future = self._stream.write(rest)
        except StreamClosedError:
            return
        if self._stream.writing():
            late = asyncio.get_running_loop().call_later(self._service.settings.drain_s, self._not_drained)
            self._late = late
            future.add_done_callback(partial(self._written, late))

    def _written(self, late: asyncio.TimerHandle, future: asyncio.Future[None]) -> None:
        # A turn after the end of this write: the next one may have begun, which has a timer of its own.
        late.cancel()
        if self._late is late:
            self._late = None
        if future.cancelled() or future.exception() is not None:
            # Nobody else would tell the one who reads, and waits for answers to be taken before he goes on.
            self.on_ws_connection_close()
        elif self.session is not None:
            self.session.drained()

    def _not_drained(self) -> None:
        self._drop(f"did not read for {self._service.settings.drain_s:g} s")
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
    _check: Check = still_in
    _who = ""
    _job_id: str | None = None

    def expect(self, grant: Grant, *, who: str, job_id: str | None, check: Check = still_in) -> None:
        """Say what the other end may do, whose socket it is (a user's name, or an address), and how to ask again."""
        self._grant = grant
        self._check = check
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
        assert self._grant is not None, "expect() comes first"
        return _most_bytes(self._service, self._grant, self._job_id)

    def get_compression_options(self) -> None:
        # Off: 140 KiB a socket, and frames could not be shared between viewers.
        return None

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        protocol = super().get_websocket_protocol()
        if isinstance(protocol, WebSocketProtocol13):
            return Protocol(self, mask_outgoing=False, params=protocol.params)
        return protocol

    async def open(self, *_: str, **__: str) -> None:
        assert self._grant is not None, "expect() comes first"
        protocol = self.ws_connection
        assert isinstance(protocol, Protocol)
        self.set_nodelay(True)
        wire = protocol.handler = Wire(protocol, self._service)
        self.ws_connection = None
        self.ui.clear()  # it refers back to the handler, which would wait for the garbage collector
        wire.session = self._service.open_session(
            grant=self._grant, outlet=wire, who=self._who, job_id=self._job_id, check=self._check
        )
        await wire.greet()


def welcome(stream: IOStream, answer: bytes, *, service: Service, grant: Grant, who: str, job_id: str | None) -> None:
    """Begin a session on a stream from which the request was read elsewhere. ``answer`` is the head that accepts it."""
    params = _WebSocketParams(max_message_size=_most_bytes(service, grant, job_id))
    protocol = Protocol(cast("Any", None), mask_outgoing=False, params=params)
    protocol.stream = stream
    stream.set_nodelay(True)
    wire = protocol.handler = Wire(protocol, service, first=answer)
    wire.session = service.open_session(grant=grant, outlet=wire, who=who, job_id=job_id)
    wire.read(_serve(wire, protocol))


async def _serve(wire: Wire, protocol: Protocol) -> None:
    await wire.greet()
    await protocol.frames(wire)


def _most_bytes(service: Service, grant: Grant, job_id: str | None) -> int:
    """Return how long a message of the other end may be."""
    reports = job_id is None and "report" in grant.actions
    return FRAME_BYTES if reports else service.settings.viewer_frame_bytes
