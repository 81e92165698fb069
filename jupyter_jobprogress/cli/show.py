"""States as lines of text. What a job says is cut, and stripped of what would move a terminal's cursor."""

from __future__ import annotations

from jupyter_jobprogress.protocol.liveness import Liveness, liveness
from jupyter_jobprogress.protocol.payload import text
from jupyter_jobprogress.protocol.state import State

_TEXT_BYTES = 300


def percent(state: State) -> str:
    """Return the progress as a percentage; empty where the amount of work is unknown."""
    return "" if state.progress is None else f"{int(state.progress * 100)} %"


def words(state: State) -> str:
    """Return what a job says of itself on one line: its error, or its stage and message."""
    parts = [state.error] if state.error else [state.stage, state.message]
    return ": ".join(text(part, _TEXT_BYTES).replace("\n", " ") for part in parts if part)


def condition(state: State, *, now_us: int) -> str:
    """Return the status, or that nothing is heard of the job any more."""
    silence_s = 0.0 if state.seq is None else (now_us - state.seq) / 1e6
    found = liveness(state.status, silence_s=silence_s, heartbeat_s=state.heartbeat_s)
    return str(state.status if found is Liveness.LIVE else found)


def line(state: State, *, now_us: int) -> str:
    """Return one line about a job."""
    parts = (state.job_id, condition(state, now_us=now_us), percent(state), words(state))
    return "  ".join(part for part in parts if part)
