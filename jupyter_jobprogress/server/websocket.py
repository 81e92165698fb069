"""The two sockets: Tornado on one side, a ``Session`` on the other."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import Final

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import SSLIOStream, StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from jupyter_jobprogress.errors import InvalidJobIdError
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.limits import FRAME_BYTES
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.server.auth import RESOURCE, TicketKey, socket_grant
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.session import Session

DRAIN_S: Final = 15.0
"""A viewer that does not take one frame in this time is dropped."""

PROTOCOL_PING_S: Final = 30.0

_log = logging.getLogger(__name__)


def text_frame(message: bytes) -> bytes:
    """Return a whole, unmasked text frame of RFC 6455, section 5.2."""
    length = len(message)
    if length < 126:
        return struct.pack(">BB", 0x81, length) + message
    if length < 65536:
        return struct.pack(">BBH", 0x81, 126, length) + message
    return struct.pack(">BBQ", 0x81, 127, length) + message


class _Socket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """What both sockets share. From the mixin it takes the origin check and ``prepare``; its pings are not used."""

    auth_resource = RESOURCE
    ticket_welcome = False

    def initialize(self, *, service: Service, ticket_key: TicketKey) -> None:
        self._service = service
        self._ticket_key = ticket_key
        self._grant: Grant | None = None
        self._session: Session | None = None
        self._job_id: str | None = None

    # The mixin's properties of these names are milliseconds over Tornado's seconds.

    @property
    def ping_interval(self) -> float:
        return PROTOCOL_PING_S

    @property
    def ping_timeout(self) -> float:
        return PROTOCOL_PING_S

    @property
    def max_message_size(self) -> int:
        return FRAME_BYTES

    def get_compression_options(self) -> None:
        # Off: 140 KiB a socket, and frames could not be shared between viewers.
        return None

    def set_default_headers(self) -> None:
        """Leave headers alone: they mean nothing on an upgrade."""

    # Decorated, and authenticated in the first line: ``ws_authenticated`` knows no tickets.
    @allow_unauthenticated
    async def get(self, job_id: str | None = None) -> None:
        self._grant = await socket_grant(self, self._ticket_key, ticket_welcome=self.ticket_welcome)
        if job_id is not None:
            try:
                self._job_id = check_job_id(job_id)
            except InvalidJobIdError as exc:
                raise HTTPError(400, reason="Invalid job id") from exc
            if not self._grant.allows("watch", job_id):
                raise HTTPError(403)
        await super().get()

    async def open(self, *_: str, **__: str) -> None:
        assert self._grant is not None
        self.set_nodelay(True)
        self._session = self._service.open_session(
            grant=self._grant, send=self._send, try_send=self._try_send, close=self.close, job_id=self._job_id
        )
        await self._session.start()

    async def on_message(self, message: str | bytes) -> None:
        if self._session is not None and self._job_id is None:
            await self._session.handle(message)

    def on_close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._service.close_session(session)

    def _try_send(self, message: bytes) -> bool:
        """Send a message on the socket itself, unless the stream is writing or encrypts.

        A stream that does not write has an empty buffer, so that the order is kept; it takes the unsent rest.
        ``write_message`` makes a Task and two Futures for each.
        """
        stream = None if self.ws_connection is None else self.ws_connection.stream
        if stream is None or stream.closed() or stream.writing() or isinstance(stream, SSLIOStream):
            return False
        frame = text_frame(message)
        try:
            sent = stream.socket.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False  # the stream meets the same end and closes the socket
        if sent < len(frame):
            stream.write(frame[sent:])
        return True

    async def _send(self, frame: bytes) -> None:
        """Write one frame and wait until the socket has taken it."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.write_message(frame)
        except TimeoutError:
            _log.info("A viewer did not read for %.0f s and is dropped.", DRAIN_S)
            # Tornado gives the closing handshake 5 s, then closes the connection.
            self.close(CloseCode.SLOW_VIEWER, "frames are not read")
            raise asyncio.CancelledError from None
        except (WebSocketClosedError, StreamClosedError):
            raise asyncio.CancelledError from None


class JobSocket(_Socket):
    """``ws/jobs/{job_id}``: one job, every update. Rule 26."""


class JobsSocket(_Socket):
    """``ws/jobs``: many jobs, and the only path that a ticket opens. Rules 24 and 27."""

    ticket_welcome = True
