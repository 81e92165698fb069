"""The request that opens a WebSocket, in its plain form (RFC 6455, section 4.2). Pure.

It reads less than HTTP allows: whatever has another form is none here, and is for an HTTP server to judge.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from typing import Final, NamedTuple

from jupyter_jobprogress.protocol.limits import JOB_ID_LENGTH

HEAD_BYTES: Final = 8192
"""Most that is looked at."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")

_OTHERWISE: Final = frozenset(
    {"content-length", "expect", "sec-websocket-origin", "sec-websocket-protocol", "te", "transfer-encoding"}
)
"""Fields that change what a request means, or how it is answered."""


class Upgrade(NamedTuple):
    """What one asks who wants a socket. ``job_id`` None: it is ``ws/jobs``. Absent fields are None."""

    job_id: str | None
    path: str
    host: str
    key: str
    origin: str | None
    authorization: str | None
    cookie: str | None

    def answer(self) -> bytes:
        """Return the head that accepts it, without a subprotocol and extensions."""
        accept = b64encode(sha1(self.key.encode() + _GUID, usedforsecurity=False).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )


class Reader:
    """Reads requests for the sockets below ``root``, a path with a slash at both ends."""

    def __init__(self, root: str) -> None:
        # Printable ASCII is all there may be. No class of characters has the one that ends it: the time is linear.
        job_id = rf"[A-Za-z0-9][A-Za-z0-9._:@+=-]{{0,{JOB_ID_LENGTH - 1}}}"
        path = rf"({re.escape(root)}ws/jobs(?:/({job_id}))?)"
        fields = r"((?:[A-Za-z0-9-]+:[ -~]*\r\n)+)"
        self._head = re.compile(rf"GET {path} HTTP/1\.1\r\n{fields}\r\n".encode("ascii"))

    def read(self, head: bytes) -> Upgrade | None:
        """Return what ``head`` asks for, or None where it is anything else, or more, or not all."""
        found = self._head.fullmatch(head)
        if found is None:
            return None
        path, job_id, lines = (part.decode("ascii") if part is not None else None for part in found.groups())
        fields: dict[str, str] = {}
        for line in str(lines).split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            name = name.lower()
            if name in fields or name in _OTHERWISE:
                return None  # of two that differ, others may take the other one
            fields[name] = value.strip(" ")
        if (
            fields.get("upgrade", "").lower() != "websocket"
            or fields.get("connection", "").lower() not in ("upgrade", "keep-alive, upgrade")
            or fields.get("sec-websocket-version") != "13"
            or not _KEY.fullmatch(key := fields.get("sec-websocket-key", ""))
            or not (host := fields.get("host", ""))
        ):
            return None
        return Upgrade(
            job_id=job_id,
            path=str(path),
            host=host,
            key=key,
            origin=fields.get("origin"),
            authorization=fields.get("authorization"),
            cookie=fields.get("cookie"),
        )
