"""The key that signs tickets, in a file that only its owner can read, and the list of tickets that were taken back."""

from __future__ import annotations

import os
import re
import secrets
import time
from pathlib import Path
from typing import Final

from jupyter_jobprogress.errors import InvalidArgumentError, SettingsError, TicketError
from jupyter_jobprogress.protocol.tickets import LONGEST_S, Ticket, read_ticket, sign_ticket

KEY_BYTES: Final = 32

MOST_REVOKED: Final = 10_000
"""Most tickets that stand in the list for one tenant, which is 700 kB."""


_ENTRY: Final = re.compile(r"\S+ [0-9]+")
"""What a line is, but for one that a full disk has left half written."""


def load_key(path: Path) -> bytes:
    """Return the bytes in a file, which is made where it is missing. Raises OSError.

    Raises:
        SettingsError: they are too few, or none, as after a crash or a ``touch``: everybody could guess them.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked into place: of two servers that start together, both end with one key.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        raise SettingsError(
            f"the key in {path}",
            f"{len(key)} bytes",
            f"{KEY_BYTES} random bytes or more; delete the file for a new one",
        )
    return key


def _append(path: Path, lines: list[str]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))


class TicketKey:
    """Signs, reads and revokes tickets.

    The key outlives the server, so that a job on another machine keeps reporting after a restart. Deleting the file
    and restarting revokes every ticket; single ones stand in ``{path}.revoked``, one a line with the time after which
    none of that id can be valid. Servers that share the key share the list.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._list = Path(f"{path}.revoked")
        self._key: bytes | None = None
        self._revoked: set[str] = set()
        self._listed: tuple[int, ...] | None = None

    @property
    def key(self) -> bytes:
        if self._key is None:
            self._key = load_key(self._path)
        return self._key

    def sign(self, ticket: Ticket) -> str:
        return sign_ticket(ticket, self.key)

    def read(self, text: str) -> Ticket:
        """Raises TicketError."""
        ticket = read_ticket(text, self.key, now_s=time.time())
        if ticket.id and f"{ticket.tenant}/{ticket.id}" in self._list_now():
            raise TicketError("it was revoked")
        return ticket

    def revoke(self, id: str, *, tenant: str) -> None:
        """Take a ticket back, at once and for good. Sockets that it opened are closed at their next check.

        Raises:
            InvalidArgumentError: the tenant has taken back ``MOST_REVOKED``. Whether there are tickets of these ids is
                not known, and the list is read by all tenants.
        """
        now_s, name, lines = int(time.time()), f"{tenant}/{id}", self._lines()
        kept = [line for line in lines if _ENTRY.fullmatch(line) and int(line.split()[1]) > now_s]
        own = [line.split()[0] for line in kept if line.startswith(f"{tenant}/")]
        if name in own:
            return
        if len(own) >= MOST_REVOKED:
            raise InvalidArgumentError(
                "tickets that were taken back",
                f"{len(own)} in {LONGEST_S // 86400} days",
                "fewer, of a shorter life each",
            )
        self._list.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if len(kept) < len(lines):
            fresh = self._list.with_name(f"{self._list.name}.{secrets.token_hex(4)}")
            _append(fresh, kept)
            fresh.replace(self._list)
        # Not written anew with each one: of two servers that share it, one would take back what the other has added.
        _append(self._list, [f"{name} {now_s + LONGEST_S}"])

    def _lines(self) -> list[str]:
        try:
            return self._list.read_text().splitlines()
        except FileNotFoundError:
            return []

    def _list_now(self) -> set[str]:
        try:
            stat = self._list.stat()
        except FileNotFoundError:
            return set()
        if (listed := (stat.st_mtime_ns, stat.st_size, stat.st_ino)) != self._listed:
            self._revoked = {line.split()[0] for line in self._lines() if _ENTRY.fullmatch(line)}
            self._listed = listed
        return self._revoked
