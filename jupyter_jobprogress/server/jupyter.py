"""The handlers in a Jupyter server: its identity provider, authorizer, host, origin and XSRF checks stand in front."""

from __future__ import annotations

from asyncio import Future
from typing import Any, Final, cast

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.httputil import url_concat
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from jupyter_jobprogress.protocol.tickets import Action
from jupyter_jobprogress.server.auth import Guarded
from jupyter_jobprogress.server.grants import UserGrant
from jupyter_jobprogress.server.page import PageHandler

RESOURCE: Final = "jobprogress"

METHODS: Final = ("get", "head", "post", "put", "patch", "delete")

JUPYTER_ACTION: Final[dict[Action, str]] = {"watch": "read", "report": "write", "cancel": "execute"}


class JupyterDoor:
    """Users are those of the server, and may do what its authorizer says."""

    async def user(self, handler: RequestHandler, *, again: bool = False) -> UserGrant | None:
        assert isinstance(handler, JupyterHandler)
        user = await _ask_again(handler) if again else handler.current_user
        if user is None:
            return None
        if again:
            handler.current_user = user  # an authorizer may look at it
        allowed: set[Action] = set()
        for action, jupyter_action in JUPYTER_ACTION.items():
            answer = handler.authorizer.is_authorized(handler, user, jupyter_action, RESOURCE)
            if await ensure_async(answer):
                allowed.add(action)
        return UserGrant(frozenset(allowed))

    def who(self, handler: RequestHandler) -> str:
        # Whoever shows the server's token, or a ticket, has no name; Jupyter invents another one with each request.
        assert isinstance(handler, JupyterHandler)
        user = handler.current_user
        if user is None or handler.identity_provider.is_token_authenticated(handler):
            return f"address {handler.request.remote_ip}"
        return f"user {user.username}"


async def _ask_again(handler: JupyterHandler) -> Any:
    """Let the identity provider look at the request of an open socket once more.

    By another handler: the first keeps the answer, and a socket raises where a provider clears a cookie.
    """
    fresh = JupyterHandler(handler.application, handler.request)
    return await ensure_async(handler.identity_provider.get_user(fresh))


class _Rest(APIHandler):
    # Jobs that report, probes and pages that look are no work of a person, for which a server counts as in use.
    _track_activity = False

    def finish(self, *args: Any, **kwargs: Any) -> Future[None]:
        """Finish with the Content-Type that the handler set: ``APIHandler`` writes its own over it."""
        return super().finish(*args, set_content_type=self._headers["Content-Type"], **kwargs)


class _Upgrade(WebSocketMixin, JupyterHandler):
    def set_secure_cookie(self, *args: Any, **options: Any) -> None:
        """Set none for whoever shows a token, who shows it again the next time.

        Jupyter would sign a cookie, which takes a fifth of a handshake.
        """
        if self.identity_provider.get_token(self) is None:
            super().set_secure_cookie(*args, **options)


class JupyterPageHandler(PageHandler):
    """The page, whose users sign in where they do for every other page of the server."""

    def login_url(self) -> str:
        url = self.get_login_url()
        # A Hub puts a method of its own onto each handler. Its URL has a state, and with that the way back.
        return url if "state=" in url else url_concat(url, {"next": self.here()})

    def get_login_url(self) -> str:
        """Return the URL, as for every page: those of an API, which this class counts as elsewhere, raise here."""
        return JupyterHandler.get_login_url(cast("JupyterHandler", self))

    def show(self, html: bytes, *, policy: str) -> None:
        # Read for what it does: it sets the cookie whose value the page sends back with a POST.
        _ = self.xsrf_token
        super().show(html, policy=policy)


def in_jupyter(core: type[Guarded]) -> type[JupyterHandler]:
    """Return a handler class with all that ``core`` does, for a Jupyter server.

    Its methods are marked as open to everybody, since Jupyter's own gate knows no tickets; ``Guarded.prepare``, which
    runs after Jupyter's, is the gate.
    """
    added: dict[str, Any] = {name: allow_unauthenticated(getattr(core, name)) for name in METHODS}
    core = JupyterPageHandler if core is PageHandler else core
    bases: tuple[type, ...] = (_Rest,)
    if issubclass(core, WebSocketHandler):
        bases = (_Upgrade,)
        added["check_origin"] = WebSocketMixin.check_origin  # Tornado's would come before it
    return cast("type[JupyterHandler]", type(f"Jupyter{core.__name__}", (core, *bases), added))
