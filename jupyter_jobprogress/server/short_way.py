"""The short way in: viewers are taken off the socket on which they come, without Tornado's HTTP.

Three quarters of what a handshake costs is HTTP as Tornado does it, and after a restart thousands come at once. Here a
request of the plain form is looked at while it still lies in the socket. Whoever may come in beyond doubt comes in;
everything else (another form, a ticket, a name that is not ours, whoever is to be refused) is left to Tornado, which
finds the connection as if nobody had looked. So this never refuses, but for the rate, and lets nobody in whom the
handlers would not.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.httputil import split_host_and_port
from tornado.iostream import IOStream, SSLIOStream
from tornado.web import Application

from jupyter_jobprogress.server.auth import TOO_MANY_REQUESTS
from jupyter_jobprogress.server.grants import EVERYTHING
from jupyter_jobprogress.server.plain import PlainDoor
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.transport import welcome
from jupyter_jobprogress.server.upgrades import HEAD_BYTES, Reader, Upgrade

_REFUSAL: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(TOO_MANY_REQUESTS), TOO_MANY_REQUESTS)
)

_access = logging.getLogger("jupyter_jobprogress.access")


class ShortWay(HTTPServer):
    """Tornado's server, with a short way for those who show the token or its cookie, or need none."""

    # Tornado's word for a constructor: no two classes have the same.
    def initialize(  # type: ignore[override]
        self, application: Application, *, site: Site, door: PlainDoor, **options: Any
    ) -> None:
        super().initialize(application, **options)
        self._site = site
        self._door = door
        self._reader = Reader(site.root)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        connection = stream.socket
        upgrade = None
        if not isinstance(stream, SSLIOStream):
            try:
                head = connection.recv(HEAD_BYTES, socket.MSG_PEEK)
            except OSError:  # nothing is there yet
                head = b""
            upgrade = self._reader.read(head)
        if upgrade is None or not self._knows(upgrade):
            super().handle_stream(stream, address)
            return
        connection.recv(len(head))
        try:
            self._let_in(upgrade, stream, self._who(connection, address))
        except BaseException:
            stream.close()
            raise

    def _knows(self, upgrade: Upgrade) -> bool:
        """Whether the handlers would let this one in: those of ``plain`` and ``auth``, in other words."""
        door = self._door
        if not door.knows_host(split_host_and_port(upgrade.host.lower())[0]):
            return False
        if upgrade.origin is not None and not door.knows_origin(upgrade.origin, upgrade.host):
            return False
        if upgrade.authorization is not None:
            # Another thing than a token, a ticket for one, is judged by the handlers, even where no token is asked for.
            token = door.token_in(upgrade.authorization)
            return token is not None and door.knows_token(token)
        return door.knows_token(None) or door.knows_cookie(door.cookie_in(upgrade.cookie or ""))

    def _let_in(self, upgrade: Upgrade, stream: IOStream, who: str) -> None:
        service = self._site.service
        if not service.allows_request(who):
            stream.write(_REFUSAL)
            stream.close()
            return
        _access.debug("101 GET %s", upgrade.path)
        welcome(stream, upgrade.answer(), service=service, grant=EVERYTHING, who=who, job_id=upgrade.job_id)

    @staticmethod
    def _who(connection: socket.socket, address: Any) -> str:
        # As Tornado calls them: whoever comes by a unix socket has no address.
        ip = address[0] if connection.family in (socket.AF_INET, socket.AF_INET6) else "0.0.0.0"
        return f"address {ip}"
