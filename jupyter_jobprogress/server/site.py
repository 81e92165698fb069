"""What every handler of a server shares, in a Jupyter server or alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from jupyter_jobprogress.server.grants import UserGrant
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.ticket_key import TicketKey


class Door(Protocol):
    """How a server knows its users. There is one for Jupyter, one for the standalone server, one for a JupyterHub."""

    async def user(self, handler: RequestHandler, *, again: bool = False) -> UserGrant | None:
        """Return what the user who sent the request may do, or None if nobody is signed in.

        ``again`` asks of a socket that is open for long: what was found out at its handshake counts for nothing.
        Raises ForbiddenError for a user who may not be here, and whatever keeps the question from being answered.
        """

    def who(self, handler: RequestHandler) -> str:
        """Return by whose name requests and sockets are counted: the user's, or the address where none has one."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """``root`` is the path that all routes share, with a slash at both ends; ``public_url`` overrides the address by
    which a request came."""

    service: Service
    key: TicketKey
    door: Door
    root: str
    public_url: str = ""

    def url(self, request: HTTPServerRequest) -> str:
        """Return the URL of this server as the sender of a request sees it, for jobs that run elsewhere."""
        if self.public_url:
            return self.public_url.rstrip("/") + "/"
        # Of a proxy in front. Whoever sends it himself gets a wrong address for himself.
        proto = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
        scheme = proto if proto in ("http", "https") else request.protocol
        return f"{scheme}://{request.host}{self.root}"
