"""The handlers without Jupyter: one token for everything, told by header, cookie or (sockets and pages) in the URL."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import ClassVar, cast
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.errors import ForeignHostError, ForeignOriginError, UnauthorizedError
from jupyter_jobprogress.server.api import HealthHandler
from jupyter_jobprogress.server.auth import Actions, Guarded
from jupyter_jobprogress.server.grants import EVERYTHING, UserGrant
from jupyter_jobprogress.server.page import PageHandler


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a server is called. ``origins`` are those of other sites whose pages may ask; ``hosts`` are names by which
    this server is known, besides localhost and addresses."""

    origins: frozenset[str]
    hosts: frozenset[str]

    def knows_host(self, name: str) -> bool:
        """Whether a Host header names this server. A name of somebody else that leads here is DNS rebinding; with an
        address there is no name to rebind."""
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts or "*" in self.hosts:
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may send anything but GET to ``host``, or open a socket there. Exact strings,
        no patterns."""
        if origin in self.origins:
            return True
        try:
            return urlsplit(origin).netloc == host
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class PlainDoor(Names):
    """``token`` is empty where everybody may come in."""

    token: str = field(repr=False)

    @cached_property
    def cookie_name(self) -> str:
        # Cookies of one host are shared by its ports, so that two servers need two names.
        return f"jobprogress-{hashlib.sha256(self.token.encode()).hexdigest()[:8]}"

    @cached_property
    def cookie_value(self) -> str:
        # Not the token, which a script could use elsewhere; and the same in each of several processes.
        return hmac.digest(self.token.encode(), b"cookie", "sha256").hex()

    async def user(self, handler: RequestHandler, *, again: bool = False) -> UserGrant | None:
        assert isinstance(handler, PlainHandler)
        if self.knows_token(self._token_of(handler)):
            return EVERYTHING
        if not self.knows_cookie(handler.get_cookie(self.cookie_name)):
            return None
        # SameSite keeps the cookie from pages of other sites, but another port of this host is the same site.
        if handler.request.method not in ("GET", "HEAD") and "Origin" not in handler.request.headers:
            return None
        return EVERYTHING

    def who(self, handler: RequestHandler) -> str:
        return f"address {handler.request.remote_ip}"

    def knows_token(self, given: str | None) -> bool:
        """Whether whoever gives this token, or none, may do everything."""
        return not self.token or self._same(given, self.token)

    def knows_cookie(self, given: str | None) -> bool:
        return self._same(given, self.cookie_value)

    @staticmethod
    def token_in(authorization: str) -> str | None:
        """Return the token in a header, or None where it holds something else."""
        scheme, _, text = authorization.partition(" ")
        return text.strip() if scheme.lower() in ("token", "bearer") else None

    def cookie_in(self, cookies: str) -> str | None:
        """Return the value of the cookie in a header, where it is written as this server sets it."""
        prefix = f"{self.cookie_name}="
        values = (one.removeprefix(prefix) for one in cookies.split("; ") if one.startswith(prefix))
        return next(values, None)

    def _token_of(self, handler: PlainHandler) -> str | None:
        if (token := self.token_in(handler.request.headers.get("Authorization", ""))) is not None:
            return token
        # Of the query or of the form that asks for it.
        return handler.get_argument("token", None) if handler.token_in_query else None

    @staticmethod
    def _same(given: str | None, expected: str) -> bool:
        return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


class PlainHandler(RequestHandler):
    """What stands in front of every handler: the checks of host and origin, and headers for browsers."""

    token_in_query: ClassVar[bool] = False

    @property
    def door(self) -> Names:
        return cast("Names", self.settings["door"])

    def prepare(self) -> None:
        if not self.door.knows_host(self.request.host_name):
            raise ForeignHostError(self.request.host_name)
        origin = self.request.headers.get("Origin")
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        if origin is not None and not reads and not self.check_origin(origin):
            raise ForeignOriginError(origin)

    def check_origin(self, origin: str) -> bool:
        return self.door.knows_origin(origin, self.request.host)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin in self.door.origins:
            self.set_header("Access-Control-Allow-Origin", origin)

    def options(self, *_: str, **__: str) -> None:
        """Answer a preflight. Without the header of ``set_default_headers`` the browser reads no more of it."""
        self.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        self.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-XSRFToken")
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)
        self.finish()


class NotFound(Guarded):
    """Every path that is not a route."""

    async def prepare(self) -> None:
        raise HTTPError(404)


class OpenHealthHandler(HealthHandler):
    """``health`` for load balancers, which have no credential: without one, whether, and not why."""

    async def prepare(self) -> None:
        try:
            await super().prepare()
        except UnauthorizedError:
            if "Authorization" in self.request.headers:
                raise

    def reason(self) -> str:
        return "" if self.user is None else super().reason()


class PlainPageHandler(PageHandler):
    """The page where the token is exchanged for a cookie: from the URL that the server prints, or from the form."""

    actions: ClassVar[Actions] = {"GET": "watch", "POST": "watch"}
    token_in_query = True

    async def post(self, job_id: str | None = None) -> None:
        self.enter()

    def enter(self) -> None:
        door: PlainDoor = self.settings["door"]
        if door.token:
            self.set_cookie(
                door.cookie_name,
                door.cookie_value,
                path=self.site.root,
                httponly=True,
                samesite="Strict",
                secure=self.site.url(self.request).startswith("https:"),
                expires_days=None,
            )
        super().enter()


def alone(core: type[Guarded]) -> type[RequestHandler]:
    """Return a handler class with all that ``core`` does, for the standalone server."""
    if issubclass(core, WebSocketHandler):
        added = {"check_origin": PlainHandler.check_origin, "token_in_query": True}
        return type(f"Plain{core.__name__}", (core, PlainHandler), added)
    core = {HealthHandler: OpenHealthHandler, PageHandler: PlainPageHandler}.get(core, core)
    return type(f"Plain{core.__name__}", (core, PlainHandler), {})
