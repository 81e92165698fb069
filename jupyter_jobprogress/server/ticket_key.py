"""The key that signs tickets, in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from jupyter_jobprogress.protocol.tickets import Ticket, read_ticket, sign_ticket


class TicketKey:
    """Signs and reads tickets.

    The key outlives the server, so that a job on another machine keeps reporting after a restart. Deleting the file
    and restarting revokes every ticket.
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
