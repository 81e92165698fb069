"""What opened a socket, kept for as long as that is open, to be judged again as if it came now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest, RequestStartLine

from jupyter_jobprogress.errors import ForbiddenError, UnauthorizedError
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.grants import Grant


class _Closed(HTTPConnection):
    """Stands where the connection of a request was. ``context`` is what Tornado reads the address from."""

    def __init__(self, remote_ip: str | None, protocol: str) -> None:
        self.context = self
        self.remote_ip = remote_ip
        self.protocol = protocol

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Do nothing: it does not close again."""


class Handshake:
    """The head of a request as text, and where it led to.

    Not the handler and its request, which are 8 KiB, and would be most of what an idle viewer takes.
    """

    __slots__ = ("_head", "_ip", "_kind", "_owner", "_path", "_protocol", "_setting", "_uri")

    def __init__(self, handler: Guarded) -> None:
        request = handler.request
        self._kind = type(handler)
        self._setting = (handler.application, handler.site)
        self._uri = request.uri
        self._head = "\r\n".join(f"{name}: {value}" for name, value in request.headers.get_all())
        self._ip = request.remote_ip
        self._protocol = request.protocol
        self._path = handler.path_kwargs
        self._owner = handler.owner

    async def judge(self, grant: Grant) -> Grant:
        """Return what the other end may do now. For ``Service.open_session``, which says what it raises."""
        handler = self._handler()
        if isinstance(grant, Ticket):
            return handler.site.key.read(str(handler.ticket_text()))
        now = await handler.site.door.user(handler, again=True)
        if now is None:
            raise UnauthorizedError
        handler.grant = now
        if not handler.permits():
            raise ForbiddenError("watch")
        return now

    def _handler(self) -> Guarded:
        application, site = self._setting
        line: Any = RequestStartLine("GET", self._uri, "HTTP/1.1")
        request = HTTPServerRequest(
            start_line=line, headers=HTTPHeaders.parse(self._head), connection=_Closed(self._ip, self._protocol)
        )
        handler = self._kind(application, request, site=site)
        handler.path_kwargs, handler.owner = self._path, self._owner
        return handler
