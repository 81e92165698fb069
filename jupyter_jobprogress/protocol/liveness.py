"""Whether a job is still heard of, judged by the store's clock alone (rule 18)."""

from __future__ import annotations

from enum import StrEnum

from jupyter_jobprogress.protocol.limits import LOST_HEARTBEATS, STALLED_HEARTBEATS
from jupyter_jobprogress.protocol.state import Status


class Liveness(StrEnum):
    """What a viewer shows beside the status. Heals by itself with the next state."""

    LIVE = "live"
    STALLED = "stalled"
    LOST = "lost"


def liveness(status: Status, *, silence_s: float, heartbeat_s: float | None) -> Liveness:
    """Judge a silence.

    ``silence_s`` is the store's time now less ``seq`` of the newest state, in seconds. Without ``heartbeat_s`` the
    reporter never promised to be heard (a plain message of the original form), so that silence proves nothing.
    """
    if status.terminal or heartbeat_s is None or heartbeat_s <= 0:
        return Liveness.LIVE
    if silence_s >= LOST_HEARTBEATS * heartbeat_s:
        return Liveness.LOST
    if silence_s >= STALLED_HEARTBEATS * heartbeat_s:
        return Liveness.STALLED
    return Liveness.LIVE
