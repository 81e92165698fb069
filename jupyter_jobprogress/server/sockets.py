"""Sockets that listen, and WebSockets that are open, of the standalone server."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.websocket import WebSocketHandler

BACKLOG = 4096
"""Most connections that wait to be accepted: as many browsers come back at once after a restart. The kernel cuts it
to ``net.core.somaxconn``."""


def listen(*, host: str, port: int, path: str, reuse_port: bool) -> list[socket.socket]:
    """Return sockets that listen, on a unix socket if there is a path. Raises OSError."""
    if path:
        return [bind_unix_socket(path, mode=0o600, backlog=BACKLOG)]
    return bind_sockets(port, address=host, backlog=BACKLOG, reuse_port=reuse_port)


def unlink(path: str) -> None:
    """Remove the file of a unix socket, if there is one."""
    if path:
        Path(path).unlink(missing_ok=True)


def tls(certfile: str, keyfile: str) -> ssl.SSLContext | None:
    """Return the context for a certificate, or None without one. Raises OSError (of which ssl.SSLError is one)."""
    if not certfile:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certfile, keyfile or None)
    return context


class OpenSockets:
    """Those that are open, so that a server that stops can wait for their ends."""

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


class Counted(WebSocketHandler):
    """Counts a socket in ``settings["open_sockets"]`` while it is open. Comes before the class that serves it."""

    def open(self, *args: str, **kwargs: str) -> Any:
        self.settings["open_sockets"].add(self)
        return super().open(*args, **kwargs)

    def on_close(self) -> None:
        self.settings["open_sockets"].discard(self)
        super().on_close()
