"""What a bar knows of its jobs, as JSON objects, and what of that may leave the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

import msgspec

from jupyter_jobprogress.errors import InvalidMessageError
from jupyter_jobprogress.protocol.state import State, Status

JsonState = dict[str, Any]

KEPT: Final = frozenset(State.__struct_fields__) - {
    "history",
    "metadata",
    "origin",
    "parent_id",
    "result",
    "stages",
}
"""What may stay in a file: what the line of a bar shows (rule 32). ``kept`` in ``js/src/protocol.ts`` says the same."""

_decoder = msgspec.json.Decoder(dict[str, Any])


def read(data: bytes) -> JsonState:
    """Return a state as it was stored, with fields that this release does not know.

    Raises:
        InvalidMessageError: it is no JSON object with an id and a status.
    """
    try:
        state = _decoder.decode(data)
        Status(state["status"])
        str.__str__(state["job_id"])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError, TypeError) as exc:
        raise InvalidMessageError(f"{type(exc).__name__}: {exc}") from exc
    return state


def as_json(state: State) -> JsonState:
    """Return a state as it is stored."""
    built = msgspec.to_builtins(state)
    assert isinstance(built, dict)
    return built


def kept(states: Mapping[str, JsonState]) -> dict[str, JsonState]:
    """Return what of states may stay in a file."""
    return {
        job_id: {
            name: value for name, value in state.items() if (name in KEPT and value is not None) or name == "progress"
        }
        for job_id, state in states.items()
    }


def terminal(state: JsonState | None) -> bool:
    """Whether a job has ended."""
    return state is not None and Status(state["status"]).terminal


class Summary(TypedDict):
    """The traits of a bar. Of several jobs only ``status`` and ``progress`` say something: that of all together."""

    state: JsonState | None
    stage: str
    message: str
    n: float | None
    total: float | None
    eta_s: float | None
    metrics: dict[str, float | None]
    result: object
    error: str
    progress: float | None
    status: str


def summary(job_ids: Iterable[str], states: Mapping[str, JsonState]) -> Summary:
    """Sum up what is known. ``status`` is empty while nothing is, and ends when the last job does: badly if one did."""
    found = [states.get(job_id) for job_id in job_ids]
    one = found[0] if len(found) == 1 else None
    of: Mapping[str, Any] = one or {}
    metrics = of.get("metrics")
    return Summary(
        state=one,
        stage=_text(of.get("stage")),
        message=_text(of.get("message")),
        n=_number(of.get("n")),
        total=_number(of.get("total")),
        eta_s=_number(of.get("eta_s")),
        metrics=metrics if isinstance(metrics, dict) else {},
        result=of.get("result"),
        error=_text(of.get("error")),
        progress=_progress(found),
        status=_status(found),
    )


def _status(states: list[JsonState | None]) -> str:
    known = [Status(state["status"]) for state in states if state is not None]
    if not known:
        return ""
    going_on = [status for status in known if not status.terminal]
    if going_on or len(known) < len(states):
        return Status.QUEUED if going_on and set(known) == {Status.QUEUED} else Status.PROCESSING
    for worst in (Status.FAILED, Status.CANCELLED):
        if worst in known:
            return worst
    return Status.COMPLETED


def _progress(states: list[JsonState | None]) -> float | None:
    parts = [_number(state.get("progress")) if state is not None else 0.0 for state in states]
    if not any(states) or None in parts:
        return None
    return sum(part for part in parts if part is not None) / len(parts)


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
