"""Whether a job is still heard of, judged by the store's clock alone (rule 18)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from jupyter_jobprogress.protocol.limits import LOST_HEARTBEATS, STALLED_HEARTBEATS
from jupyter_jobprogress.protocol.state import State, Status

LONG_S: Final = 3600.0
"""Silence after which a job that promised no heartbeats is not waited for."""


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


def expected(state: State, *, now_us: int) -> bool:
    """Whether there is more to come of a job: it has not ended, and is not lost.

    ``now_us`` is the store's clock. A message of the original form has no ``seq``; while the store keeps it, it counts.
    """
    if state.status.terminal:
        return False
    silence_s = 0.0 if state.seq is None else (now_us - state.seq) / 1e6
    if not state.heartbeat_s:
        return silence_s < LONG_S
    return liveness(state.status, silence_s=silence_s, heartbeat_s=state.heartbeat_s) is not Liveness.LOST
