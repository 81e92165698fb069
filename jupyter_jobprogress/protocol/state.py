"""The one wire type: what a job says of itself (docs/protocol.md, section 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct


class Status(StrEnum):
    """Where a job stands. Closed: an unknown status is an error (rule 8)."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether no further state of the same run may follow."""
        return self in TERMINAL


TERMINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

LEGAL_MOVES: Final[dict[Status, frozenset[Status]]] = {
    Status.QUEUED: frozenset(Status),
    Status.PROCESSING: frozenset(Status),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""Within one run. A new run may start from anywhere (rule 15)."""


Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer of a message. JSON has no limit, but SQLite has, and a larger one is no float any more."""

Run = Annotated[int, Meta(ge=0, le=2**53)]
"""Exact in a double, in which Lua and JavaScript count: until the year 2255."""


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the reporter runs."""

    host: str | None = None
    pid: int | None = None
    user: str | None = None


class History(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Thinned series over the whole run, all of the same length, at most 128 points.

    ``t_s`` counts seconds since the start of the run; ``progress`` is 0 to 1; each of ``metrics`` holds one
    value a point. None marks a point at which nothing was known.
    """

    t_s: list[float] = []
    progress: list[float | None] = []
    metrics: dict[str, list[float | None]] = {}


class Stage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage that a run has been in.

    ``share`` is its part of the whole work, None where nobody said; ``progress`` that of the stage itself; both 0 to 1.
    ``elapsed_s`` is the time that the run has spent in it.
    """

    name: str
    share: float | None = None
    progress: float | None = None
    elapsed_s: float = 0.0


class State(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One whole state of a job: stored, pushed and shown as one flat JSON object.

    The first six fields and ``metadata``, ``result``, ``error`` are those of the original service and keep their
    names and meaning; the others are additive. ``progress`` is 0 to 1 or None, ``n`` and ``total`` count ``unit``,
    ``eta_s`` and ``heartbeat_s`` are seconds, ``rate_per_s`` is ``unit`` per second, ``seq`` and ``run`` are
    microseconds of the store's clock and given by the store.
    """

    job_id: str
    status: Status
    stage: str
    progress: float | None
    message: str
    timestamp: str
    metadata: dict[str, object] | None = None
    result: object | None = None
    error: str | None = None

    seq: int | None = None
    run: Run | None = None
    title: str | None = None
    unit: str | None = None
    n: float | Int64 | None = None
    total: float | Int64 | None = None
    rate_per_s: float | None = None
    eta_s: float | None = None
    started_at: str | None = None
    heartbeat_s: float | None = None
    metrics: dict[str, float | None] | None = None
    stages: tuple[Stage, ...] | None = None
    history: History | None = None
    parent_id: str | None = None
    origin: Origin | None = None
