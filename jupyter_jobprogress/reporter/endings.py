"""How a job may end, as changes of its facts."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Final

from jupyter_jobprogress.errors import JobCancelled
from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.payload import jsonable, text
from jupyter_jobprogress.protocol.phrases import amount
from jupyter_jobprogress.protocol.state import Status

TRACEBACK_BYTES: Final = 8 * 1024

Changes = dict[str, object]


def completed(result: object, message: object) -> Changes:
    """End well, as the original service says it: stage "complete", progress 1."""
    return {
        "status": Status.COMPLETED,
        "stage": "complete",
        "explicit": 1.0,
        "result": None if result is None else jsonable(result),
        "message": text(message, limits.TEXT_BYTES),
    }


def stopped(n: float, total: float | None) -> Changes:
    """End on purpose before the total is reached, as a ``break`` does. Progress stays what it was."""
    of_total = "" if total is None else f" of {amount(total)}"
    return {"status": Status.COMPLETED, "explicit": None, "message": f"Stopped at {amount(n)}{of_total}"}


def cancelled(message: object) -> Changes:
    """End before the work is done."""
    return {"status": Status.CANCELLED, "message": text(message, limits.TEXT_BYTES)}


def requeued(message: object) -> Changes:
    """Leave the work to another run. Nothing ends."""
    return {"status": Status.QUEUED, "message": text(message, limits.TEXT_BYTES)}


def failed(error: BaseException | str, metadata: Mapping[str, object] | None) -> Changes:
    """End by an error. An exception leaves its traceback in the metadata, beside what is there."""
    if not isinstance(error, BaseException):
        return _failed(text(error, limits.TEXT_BYTES))
    name, said = type(error).__name__, text(error, limits.TEXT_BYTES)
    changes = _failed(text(f"{name}: {said}" if said else name, limits.TEXT_BYTES))
    if error.__traceback__ is not None:
        changes["metadata"] = {**(metadata or {}), "traceback": _traceback(error)}
    return changes


def ended_by(exc: BaseException, metadata: Mapping[str, object] | None) -> Changes:
    """End by an exception that leaves the work: an error fails it; an interrupt or a cancellation cancels it."""
    if isinstance(exc, JobCancelled):
        return cancelled("Cancelled on request")
    if isinstance(exc, Exception) or (isinstance(exc, SystemExit) and exc.code not in (None, 0)):
        return failed(exc, metadata)
    if isinstance(exc, KeyboardInterrupt):
        return cancelled("Interrupted")
    return cancelled(f"Stopped by {type(exc).__name__}")


def _failed(error: str) -> Changes:
    return {"status": Status.FAILED, "error": error, "message": text(f"Error: {error}", limits.TEXT_BYTES)}


def _traceback(exc: BaseException) -> str:
    """Format a traceback and keep its end, where the error is."""
    try:
        lines = "".join(traceback.format_exception(exc))
    except Exception:  # noqa: BLE001 — it prints values of the user's frames, whose __str__ may raise
        return ""
    return text(lines if len(lines) <= TRACEBACK_BYTES // 2 else "…" + lines[-TRACEBACK_BYTES // 2 :], TRACEBACK_BYTES)
