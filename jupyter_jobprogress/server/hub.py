"""The handlers as a service of a JupyterHub: its users, its sign-in, and one tenant for each of them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, cast
from urllib.parse import quote

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated  # type: ignore[import-untyped]
from msgspec import Struct, json
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.errors import ForbiddenError, TicketError
from jupyter_jobprogress.protocol.tenants import tenant_name
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.grants import EVERYTHING, UserGrant
from jupyter_jobprogress.server.page import PageHandler
from jupyter_jobprogress.server.plain import Names, PlainHandler

WATCH_SCOPE: Final = "custom:jobprogress:watch"
"""Scope of a JupyterHub that lets a user watch another's jobs, with ``!user=name`` or ``!group=name``."""

KNOWN: Final = 4096
"""Most credentials whose user is remembered for counting requests."""

GROUPS_S: Final = 30.0
"""How long the groups of a user whose jobs somebody else watches are taken for known."""

_log = logging.getLogger(__name__)


class _User(Struct):
    groups: list[str] = []


@dataclass(frozen=True, kw_only=True)
class HubDoor(Names):
    """Users are those of the Hub who may access this service, and each may do everything with his own jobs.

    Another's jobs are below ``user/{name}/``, and to be watched alone, by whom a role of the Hub gives ``WATCH_SCOPE``.
    ``key`` makes tenants of users.
    """

    hub: HubOAuth
    key: bytes = field(repr=False)
    _seen: OrderedDict[str, str] = field(default_factory=OrderedDict, repr=False)
    _groups: dict[str, tuple[float, list[str] | None]] = field(default_factory=dict, repr=False)

    async def user(self, handler: RequestHandler, *, again: bool = False) -> UserGrant | None:
        assert isinstance(handler, HubHandler)
        # Of a socket that is open, another handler: the first keeps the answer, and cannot clear a cookie.
        asker = HubHandler(handler.application, handler.request) if again else handler
        model = await self.hub.get_user(asker, sync=False)
        # Or a look at ``current_user``, which the making of XSRF tokens takes, would block.
        asker._hub_auth_user_cache = model
        if model is None:
            return None
        if not self.hub.check_scopes(self.hub.access_scopes, model):
            raise ForbiddenError("watch")
        kind, name = model.get("kind", "user"), model["name"]
        self._remember(handler, f"{kind} {name}")
        if (owner := handler.owner) is not None and (kind, owner) != ("user", name):
            if not await self._may_watch(model, owner):
                raise ForbiddenError("watch")
            return UserGrant(frozenset({"watch"}), tenant_name(owner, self.key), operator=False)
        operator = kind == "service" or bool(model.get("admin"))
        return UserGrant(EVERYTHING.actions, tenant_name(name, self.key, kind=kind), operator)

    def who(self, handler: RequestHandler) -> str:
        # Before the Hub was asked: a credential that it knew before is its user's, any other its address's. Behind an
        # ingress that is the same for all, and who has a ticket must not depend on what others do.
        assert isinstance(handler, HubHandler)
        if (ticket := handler.ticket_text()) is not None:
            with suppress(TicketError):
                return f"tickets of {handler.site.key.read(ticket).tenant}"
        return self._seen.get(_digest(handler)) or f"address {handler.request.remote_ip}"

    def _remember(self, handler: RequestHandler, who: str) -> None:
        self._seen[_digest(handler)] = who
        while len(self._seen) > KNOWN:
            self._seen.popitem(last=False)

    async def _may_watch(self, model: Mapping[str, Any], owner: str) -> bool:
        """Whether a role lets the user watch the jobs of an owner, whom there may not even be."""
        if not any(scope.partition("!")[0] == WATCH_SCOPE for scope in model["scopes"]):
            return False
        groups = await self._groups_of(owner)
        if groups is None:
            return False
        wanted = {f"{WATCH_SCOPE}!user={owner}", *(f"{WATCH_SCOPE}!group={group}" for group in groups)}
        return bool(wanted.union({WATCH_SCOPE}).intersection(model["scopes"]))

    async def _groups_of(self, name: str) -> list[str] | None:
        """Ask the Hub, and return None for a user whom it does not know or show.

        Both answers are kept, or the time of the next one would tell them apart.
        """
        now_s = time.monotonic()
        for old in [other for other, (at_s, _) in self._groups.items() if now_s - at_s >= GROUPS_S]:
            del self._groups[old]
        if name in self._groups:
            return self._groups[name][1]
        request = HTTPRequest(
            f"{self.hub.api_url}/users/{quote(name, safe='')}",
            headers={"Authorization": f"token {self.hub.api_token}"},
            ca_certs=self.hub.client_ca or None,
            client_cert=self.hub.certfile or None,
            client_key=self.hub.keyfile or None,
        )
        groups: list[str] | None = None
        try:
            groups = json.decode((await AsyncHTTPClient().fetch(request)).body, type=_User).groups
        except HTTPClientError as exc:
            if exc.code not in (403, 404):
                raise
        self._groups[name] = (now_s, groups)
        return groups


def _digest(handler: RequestHandler) -> str:
    """Return a mark of what a request shows, which is not kept itself."""
    door = cast("HubDoor", handler.settings["door"])
    # A socket may be opened by a token in its URL. Without that, whoever shows nothing would be counted as its user.
    shown = (
        handler.request.headers.get("Authorization")
        or handler.get_query_argument("token", "")
        or handler.get_cookie(door.hub.cookie_name)
        or ""
    )
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()


class HubHandler(HubOAuthenticated, PlainHandler):  # type: ignore[misc]
    """What stands in front of every handler."""

    @property
    def hub_auth(self) -> HubOAuth:
        return cast("HubDoor", self.settings["door"]).hub

    def prepare(self) -> None:
        super().prepare()
        # No argument of the method, which is the same for all paths.
        self.owner = self.path_kwargs.pop("owner", None)


class HubPageHandler(PageHandler):
    """The page, whose users sign in at the Hub and come back."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 401 and self.request.method in ("GET", "HEAD"):
            self.redirect(cast("HubHandler", self).get_login_url())
        else:
            super().write_error(status_code, **kwargs)

    def show(self, html: bytes, *, policy: str) -> None:
        # Read for what it does: it sets the cookie whose value the page sends back with a POST.
        _ = self.xsrf_token
        super().show(html, policy=policy)


class Callback(HubOAuthCallbackHandler):  # type: ignore[misc]
    """Where the Hub sends a user who has signed in."""

    hub_auth: ClassVar[Any] = HubHandler.hub_auth

    def prepare(self) -> None:
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")


def in_hub(core: type[Guarded]) -> type[RequestHandler]:
    """Return a handler class with all that ``core`` does, for a service of a JupyterHub."""
    if issubclass(core, WebSocketHandler):
        return type(f"Hub{core.__name__}", (core, HubHandler), {"check_origin": PlainHandler.check_origin})
    core = HubPageHandler if core is PageHandler else core
    return type(f"Hub{core.__name__}", (core, HubHandler), {})
