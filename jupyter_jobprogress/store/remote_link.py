"""One connection of a ``RemoteStore``: URL, TLS, credential, and what a refused handshake means."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from jupyter_jobprogress.errors import StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.limits import UPDATE_BYTES
from jupyter_jobprogress.settings import Settings, is_loopback, mask_url

HANDSHAKE_S: Final = 10.0
SILENCE_S: Final = 10.0
"""A protocol ping every so often, and as long again for its answer: a silent server is found within twice this."""

QUEUE_MESSAGES: Final = 1024

BATCH: Final = 64
"""Most jobs in one command: with the longest ids it stays below what a server takes from a viewer, 16 KiB."""

MESSAGE_BYTES: Final = (BATCH + 1) * (UPDATE_BYTES + 1024)
"""Largest message of a server that is taken: the largest states of a whole batch."""

_REASONS: Final = {
    404: "it answers 404: jupyter_jobprogress is not enabled there, or the path is wrong",
    302: "it answers with a redirect, as a login page or a stopped server does",
}


def tls_context(ca_file: str | None, host: str) -> ssl.SSLContext:
    """Return what a connection to a host trusts: the system's authorities, or one file."""
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is not None:
        # The file may hold the server's own certificate and not its authority: trust exactly that one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # Its certificate names the host that people type, while a kernel beside it connects to the loopback address.
        context.check_hostname = not is_loopback(host)
    return context


class Link:
    """An open WebSocket. ``async with`` connects and closes; iteration yields messages and ends with the connection.

    Raises:
        StoreDeniedError, StoreUnavailableError: on entry.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.url is not None
        self._label = mask_url(settings.url)
        self._settings = settings
        self._out: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_MESSAGES)
        self._socket: ClientConnection | None = None
        self._writer: asyncio.Task[None] | None = None
        self.let_go = False
        """Whether the server has let go of this end, since nothing runs on it."""

    def put(self, data: bytes) -> None:
        """Put a message in line.

        Raises:
            StoreUnavailableError: so many wait that the server must have stopped reading.
        """
        try:
            self._out.put_nowait(data)
        except asyncio.QueueFull:
            raise StoreUnavailableError(self._label, "the server does not read") from None

    async def __aenter__(self) -> Self:
        try:
            self._socket = await self._connect()
        except InvalidStatus as exc:
            status = exc.response.status_code
            if status in (401, 403):
                raise StoreDeniedError(self._label, f"it answers {status}") from exc
            reason = _REASONS.get(302 if 300 <= status < 400 else status, f"it answers {status}")
            raise StoreUnavailableError(self._label, reason) from exc
        except (OSError, WebSocketException, TimeoutError, ValueError) as exc:
            raise StoreUnavailableError(self._label, f"{type(exc).__name__}: {exc}") from exc
        self._writer = asyncio.create_task(self._write(self._socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._socket is not None
        try:
            while True:
                yield await self._socket.recv(decode=False)
        except WebSocketException as exc:
            self.let_go = isinstance(exc, ConnectionClosed) and exc.rcvd is not None and exc.rcvd.code == CloseCode.IDLE

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while True:
                await socket.send(await self._out.get(), text=True)
        except WebSocketException:
            return  # the reader meets the same end and reports it

    async def _connect(self) -> ClientConnection:
        assert self._settings.url is not None
        parts = urlsplit(self._settings.url)
        path = parts.path.rstrip("/") + "/ws/jobs"
        options: dict[str, Any] = {
            "additional_headers": self._headers(),
            "compression": None,
            "open_timeout": HANDSHAKE_S,
            "ping_interval": SILENCE_S,
            "ping_timeout": SILENCE_S,
            "close_timeout": 1.0,
            "max_size": MESSAGE_BYTES,
        }
        if parts.scheme.endswith("+unix"):
            return await _Connect(f"ws://localhost{path}", unix=True, path=unquote(parts.netloc), proxy=None, **options)
        host = parts.hostname or ""
        if parts.scheme == "https":
            options["ssl"] = tls_context(self._settings.ca_file, host)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return await _Connect(
            f"{scheme}://{parts.netloc.rpartition('@')[2]}{path}", proxy=None if is_loopback(host) else True, **options
        )

    def _headers(self) -> dict[str, str]:
        token = self._settings.token
        if not token:
            return {}
        return {"Authorization": f"{'JobProgress' if token.startswith('jp1.') else 'token'} {token}"}


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        # A credential goes to the server that it was given for, and to no other.
        return exc
