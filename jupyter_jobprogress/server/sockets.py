"""Sockets on which a server listens."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket

from jupyter_jobprogress.errors import SettingsError

BACKLOG = 4096
"""Most connections that wait to be accepted: as many browsers come back at once after a restart. The kernel cuts it
to ``net.core.somaxconn``."""

DEFER_S = 1
"""Longest that Linux keeps a connection to itself on which nothing has come yet. A request is then there when it is
accepted, and the server wakes up once for it and not twice."""


def listen(*, host: str, port: int, path: str, reuse_port: bool) -> list[socket.socket]:
    """Return sockets that listen, on a unix socket if there is a path. Raises OSError."""
    if path:
        return [bind_unix_socket(path, mode=0o600, backlog=BACKLOG)]
    listening = bind_sockets(port, address=host, backlog=BACKLOG, reuse_port=reuse_port)
    if sys.platform == "linux":
        for one in listening:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
    return listening


def lengthen_queue(server: HTTPServer) -> None:
    """Give a server that listens already the queue that ``listen`` makes: Tornado's holds 128, and of viewers who come
    back at once the others try again after a second, which is how TCP hears of it."""
    # A private name of Tornado's, the same from 4 to 6.6; there is no other way to the sockets. Listening again only
    # changes the length.
    for listening in getattr(server, "_sockets", {}).values():
        listening.listen(BACKLOG)


def unlink(path: str) -> None:
    """Remove the file of a unix socket, if there is one."""
    if path:
        Path(path).unlink(missing_ok=True)


def tls(certfile: str, keyfile: str) -> ssl.SSLContext | None:
    """Return the context for a certificate, or None without one. Raises SettingsError."""
    if not certfile:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certfile, keyfile or None)
    except OSError as exc:  # of which ssl.SSLError is one, and neither names the file
        expected = f"a PEM file with a certificate, whose key is in it or in keyfile ({exc})"
        raise SettingsError("certfile", certfile, expected) from exc
    return context
