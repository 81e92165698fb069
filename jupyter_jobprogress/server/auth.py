"""Who is at the other end: a user of the Jupyter server, or the bearer of a ticket (rules 23 and 24)."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Final

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import HTTPError

from jupyter_jobprogress.errors import TicketError
from jupyter_jobprogress.protocol.tickets import Action, Ticket, read_ticket, sign_ticket
from jupyter_jobprogress.server.grants import Grant, UserGrant

RESOURCE: Final = "jobprogress"
SCHEME: Final = "JobProgress "

_JUPYTER_ACTION: Final[dict[Action, str]] = {"watch": "read", "report": "write", "cancel": "execute"}


class TicketKey:
    """Signs and reads tickets with a key in a file that only its owner can read.

    The key outlives the server, so that a job on another machine keeps reporting after a restart. Deleting the file
    revokes every ticket.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._key: bytes | None = None

    def sign(self, ticket: Ticket) -> str:
        return sign_ticket(ticket, self._load())

    def read(self, text: str) -> Ticket:
        """Raises TicketError."""
        return read_ticket(text, self._load(), now_s=time.time())

    def _load(self) -> bytes:
        if self._key is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Written aside and linked into place: of two servers that start together, both end with one key.
            fresh = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
            descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(fresh, self._path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
            self._key = self._path.read_bytes()
        return self._key


async def user_grant(handler: JupyterHandler) -> UserGrant:
    """Ask the server's authorizer what the signed-in user may do; nobody signed in may do nothing."""
    user = handler.current_user
    if user is None:
        return UserGrant(frozenset())
    allowed: set[Action] = set()
    for action, jupyter_action in _JUPYTER_ACTION.items():
        answer = handler.authorizer.is_authorized(handler, user, jupyter_action, RESOURCE)
        if await ensure_async(answer):
            allowed.add(action)
    return UserGrant(frozenset(allowed))


async def socket_grant(handler: JupyterHandler, key: TicketKey, *, ticket_welcome: bool) -> Grant:
    """Return what the opener of a socket may do.

    Raises:
        HTTPError: 403, without a reason that would help to guess, when it may do nothing.
    """
    header = handler.request.headers.get("Authorization", "")
    if header.startswith(SCHEME):
        if not ticket_welcome:
            raise HTTPError(403)
        try:
            return key.read(header.removeprefix(SCHEME).strip())
        except TicketError as exc:
            raise HTTPError(403, log_message=f"A ticket was refused: {exc.reason}") from exc
    grant = await user_grant(handler)
    if not grant.actions:
        raise HTTPError(403)
    return grant


def who_asks(handler: JupyterHandler) -> str:
    """Return by whose name requests and sockets are counted: the user's, or the address where a name would say nothing.

    Whoever shows the server's token, or a ticket, has no name; Jupyter invents another one with each request.
    """
    user = handler.current_user
    if user is None or handler.identity_provider.is_token_authenticated(handler):
        return f"address {handler.request.remote_ip}"
    return f"user {user.username}"
