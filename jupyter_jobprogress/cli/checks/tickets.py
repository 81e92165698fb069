"""What a ticket says of itself. Only its server can tell whether that is true."""

from __future__ import annotations

import base64
import binascii
import time
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from jupyter_jobprogress.protocol.tickets import Action, Ticket


class Said(Struct, frozen=True):
    """``scope`` in words; ``until`` as RFC 3339 in UTC."""

    ticket: Ticket
    scope: str
    until: str
    expired: bool

    def may(self, action: Action) -> bool:
        return action in self.ticket.actions


def read_unverified(text: str) -> Said | None:
    """Return what stands in a ticket, or None where nothing can be read."""
    try:
        _, payload, _ = text.split(".")
        ticket = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=Ticket)
        until = datetime.fromtimestamp(ticket.expires_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError, binascii.Error, msgspec.MsgspecError):
        return None
    jobs = ticket.jobs.removesuffix("*")
    what = f"job {jobs:.80}" if jobs == ticket.jobs else f"jobs {jobs:.80}…" if jobs else "all jobs"
    scope = f"to {' and '.join(ticket.actions)} {what}"
    return Said(ticket, scope, until, ticket.expires_s < time.time())
