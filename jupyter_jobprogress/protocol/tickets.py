"""Signed, scoped, expiring tokens (rule 24). Pure: the caller brings the key and the clock.

    jp1.<payload, base64url>.<HMAC-SHA256 of "jp1.<payload>", base64url>

One fixed algorithm, so that there is nothing to negotiate and nothing to downgrade.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, Literal

import msgspec
from msgspec import Struct

from jupyter_jobprogress.errors import InvalidArgumentError, InvalidMessageError, TicketError
from jupyter_jobprogress.protocol.names import check_job_id

Action = Literal["report", "watch", "cancel"]

_VERSION: Final = "jp1"

PREFIX: Final = f"{_VERSION}."
"""How every ticket begins, and no token of a server."""

_MAX_LENGTH: Final = 1024

LONGEST_S: Final = 366 * 86400
"""Longest life of a ticket."""


class Ticket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bearer may do.

    ``jobs`` is a job id, or a prefix followed by ``*``; ``expires_s`` is seconds since 1970 by the clock of the server
    that signed it. ``tenant`` is whose jobs these are, on a server with several users; ``id`` is what it is revoked by.
    """

    jobs: str
    actions: tuple[Action, ...]
    expires_s: int
    tenant: str = ""
    id: str = ""

    def allows(self, action: Action, job_id: str) -> bool:
        """Whether this ticket lets its bearer do ``action`` to ``job_id``."""
        if action not in self.actions:
            return False
        if self.jobs.endswith("*"):
            return job_id.startswith(self.jobs[:-1])
        return job_id == self.jobs

    def allows_all(self, action: Action) -> bool:
        """Whether this ticket lets its bearer do ``action`` to every job."""
        return action in self.actions and self.jobs == "*"


class TicketRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``api/tickets`` is asked for: a ticket for ``job_id``, or for every job whose id begins with ``prefix``."""

    job_id: str | None = None
    prefix: str | None = None
    actions: tuple[Action, ...] = ("report",)
    expires_in_s: int = 7 * 86400


class TicketAnswer(Struct, frozen=True, kw_only=True):
    """What it answers: all that a job elsewhere needs. ``expires`` is RFC 3339 in UTC."""

    url: str
    token: str
    expires: str
    jobs: str
    actions: tuple[Action, ...]
    id: str = ""


def decode_request(data: bytes | bytearray | str) -> TicketRequest:
    """Read and check the body of ``api/tickets``.

    Raises:
        InvalidMessageError, InvalidJobIdError, InvalidArgumentError
    """
    try:
        request = msgspec.json.decode(data, type=TicketRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidMessageError(str(exc)) from exc
    if (request.job_id is None) == (request.prefix is None):
        raise InvalidMessageError("a ticket is for one job_id or for one prefix")
    check_job_id(request.job_id or request.prefix)
    if not request.actions:
        raise InvalidArgumentError("actions", request.actions, "one or more of report, watch and cancel")
    if not 1 <= request.expires_in_s <= LONGEST_S:
        raise InvalidArgumentError("expires_in_s", request.expires_in_s, f"seconds from 1 to {LONGEST_S}")
    return request


def make_ticket(request: TicketRequest, *, now_s: float, tenant: str = "", id: str = "") -> Ticket:
    """Return the ticket that was asked for, by whoever may do with the tenant's jobs what it allows."""
    return Ticket(
        jobs=request.job_id or f"{request.prefix}*",
        actions=tuple(dict.fromkeys(request.actions)),
        expires_s=int(now_s) + request.expires_in_s,
        tenant=tenant,
        id=id,
    )


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _sign(body: str, key: bytes) -> str:
    return _b64(hmac.new(key, body.encode(), hashlib.sha256).digest())


def sign_ticket(ticket: Ticket, key: bytes) -> str:
    """Return the text form of a ticket, signed with a key of at least 32 bytes."""
    body = f"{_VERSION}.{_b64(msgspec.json.encode(ticket))}"
    return f"{body}.{_sign(body, key)}"


def read_ticket(text: str, key: bytes, *, now_s: float) -> Ticket:
    """Verify a ticket and return what it allows.

    Raises:
        TicketError: it is malformed, not signed with this key, or expired. The reasons are the same for every
            bearer and quote nothing of the ticket.
    """
    body, _, signature = text.rpartition(".")
    # The comparison comes before anything is decoded: what is not signed is not parsed.
    if len(text) > _MAX_LENGTH or not hmac.compare_digest(_sign(body, key).encode(), signature.encode()):
        raise TicketError("its signature is not of this server")
    version, _, payload = body.partition(".")
    if version != _VERSION:
        raise TicketError("its version is not known here")
    try:
        ticket = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=Ticket)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as exc:
        raise TicketError("its content cannot be read") from exc
    if ticket.expires_s < now_s:
        raise TicketError("it has expired")
    return ticket
