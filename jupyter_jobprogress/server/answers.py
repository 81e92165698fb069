"""What a client is answered on ``ws/jobs``, as JSON (docs/protocol.md, rules 27 and 28). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from jupyter_jobprogress.errors import JobProgressError
from jupyter_jobprogress.protocol.messages import Command, Stored, encode


class _Unread(msgspec.Struct, frozen=True):
    """What a message that cannot be read says for its answer to be found by."""

    id: int | None = None
    job_id: str | None = None


_decoder: Final = msgspec.json.Decoder(_Unread)


def states(kind: str, id: int | None, found: Iterable[Stored], **fields: object) -> bytes:
    """Return a ``states`` or a ``page``. The states are JSON already: spliced, not decoded."""
    head = encode({"type": kind, "id": id, **fields})
    key = b"jobs" if kind == "page" else b"states"
    return head[:-1] + b',"' + key + b'":[' + b",".join(stored.data for stored in found) + b"]}"


def error(exc: JobProgressError, command: Command | _Unread | None = None) -> bytes:
    """Return an ``error``, with what tells which command went wrong."""
    answer: dict[str, object] = {"type": "error", "code": exc.code, "message": str(exc)}
    if (id := getattr(command, "id", None)) is not None:
        answer["id"] = id
    if job_id := getattr(getattr(command, "state", command), "job_id", None):
        answer["job_id"] = job_id
    return encode(answer)


def unread(exc: JobProgressError, data: bytes | str) -> bytes:
    """Return the ``error`` for a message that is no command."""
    try:
        return error(exc, _decoder.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return error(exc)
