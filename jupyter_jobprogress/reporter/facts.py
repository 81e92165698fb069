"""What a job has said of itself, frozen: one assignment replaces all of it, and no reader sees half of a report."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cache

from msgspec import Struct

from jupyter_jobprogress.protocol.state import Origin, Status

Number = int | float


class Facts(Struct, frozen=True, kw_only=True):
    """The newest words of a job, made fit by ``protocol.payload`` already.

    ``explicit`` is a progress that was given as such, while the count stood at ``explicit_n``: as soon as the count
    moves on, ``n / total`` says more.
    """

    status: Status = Status.PROCESSING
    stage: str = ""
    message: str = ""
    title: str | None = None
    unit: str | None = None
    total: Number | None = None
    explicit: float | None = None
    explicit_n: Number | None = None
    metadata: dict[str, object] | None = None
    metrics: dict[str, float | None] | None = None
    result: object | None = None
    error: str | None = None


def progress_of(facts: Facts, n: Number | None) -> float | None:
    """Return the share of work done, 0 to 1, or None where the amount of work is not known."""
    counted = None
    if n is not None and facts.total is not None and facts.total > 0:
        counted = min(1.0, max(0.0, n / facts.total))
    if facts.explicit is not None and (counted is None or n == facts.explicit_n or facts.status is Status.COMPLETED):
        return facts.explicit
    return counted


def own_origin() -> Origin:
    """Say where this process runs."""
    return _origin(os.getpid())


@cache
def _origin(pid: int) -> Origin:
    try:
        user: str | None = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = None  # a user id without a name, as containers have
    return Origin(host=socket.gethostname(), pid=pid, user=user)
