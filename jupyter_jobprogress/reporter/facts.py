"""What a job says of itself at one moment, made fit: the form in which the sender takes it."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cache

from msgspec import Struct

from jupyter_jobprogress.protocol.state import Origin, Status
from jupyter_jobprogress.reporter.stages import Stages

Number = int | float


class Facts(Struct, frozen=True, kw_only=True):
    """The newest words of a job, made fit by ``protocol.payload`` already.

    ``explicit`` is a progress that was given as such, while the count stood at ``explicit_n``: as soon as the count
    moves on, ``n / total`` says more. Where ``stages.share`` is not None, the count is that of the present stage.
    ``ended_s`` is when these were the last words, in seconds since 1970: they may be sent later.
    """

    status: Status = Status.PROCESSING
    stage: str = ""
    message: str = ""
    title: str | None = None
    unit: str | None = None
    total: Number | None = None
    explicit: float | None = None
    explicit_n: Number | None = None
    stages: Stages = Stages()
    metadata: dict[str, object] | None = None
    metrics: dict[str, float | None] | None = None
    result: object | None = None
    error: str | None = None
    ended_s: float | None = None

    @property
    def last(self) -> bool:
        """Whether these are the last words of this run: it has ended, or waits for another to go on."""
        return self.status is not Status.PROCESSING


def counted(facts: Facts, n: Number | None) -> float | None:
    """Return the share of the counted work that is done, 0 to 1, or None where the amount of work is not known."""
    if n is None or facts.total is None or facts.total <= 0:
        return None
    return min(1.0, max(0.0, n / facts.total))


def progress_of(facts: Facts, n: Number | None) -> float | None:
    """Return the share of the whole work done, 0 to 1, or None where the amount of work is not known."""
    part = counted(facts, n)
    stages = facts.stages
    whole = part if stages.share is None else min(1.0, stages.base + stages.share * (part or 0.0))
    if facts.explicit is not None and (whole is None or n == facts.explicit_n or facts.status is Status.COMPLETED):
        return facts.explicit
    return whole


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
