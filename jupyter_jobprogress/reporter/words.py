"""Warnings that are said once, and the reading of a progress that a user gave."""

from __future__ import annotations

import logging

from jupyter_jobprogress.protocol.payload import number, shown

_log = logging.getLogger(__name__)

_ROUNDING = 1e-6
"""A sum of floats may end this far outside 0 to 1; nobody passed a percentage then."""


class Once:
    """Logs each kind of warning once: a loop that does something odd does it a million times."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Log a warning unless one of this kind was logged before."""
        if kind not in self._said:
            self._said.add(kind)
            # A record is formatted later, where an object whose repr raises would lose it.
            _log.warning(message, *(arg if isinstance(arg, (int, float)) else _Text(arg) for arg in args))

    def skip(self, kind: str) -> None:
        """Take a warning for logged."""
        self._said.add(kind)


class _Text:
    """Shows a value in a record: text as it is, anything else by a safe repr."""

    def __init__(self, value: object) -> None:
        self._repr = shown(value[:80] if isinstance(value, str) else value)
        self._str = value if isinstance(value, str) else self._repr

    def __str__(self) -> str:
        return self._str

    def __repr__(self) -> str:
        return self._repr


def fit_progress(value: object, *, previous: float | None, job_id: str, once: Once) -> float | None:
    """Return a progress as a number of 0 to 1 (rule 9), or the previous one where it is no finite number."""
    found = number(value)
    if found is None:
        once.warn(
            "nan", "Job %s reported a progress of %.40r, which is no finite number; it is ignored.", job_id, value
        )
        return previous
    if not -_ROUNDING <= found <= 1 + _ROUNDING:
        once.warn(
            "clamp",
            "Job %s reported a progress of %.6g, which is outside 0 to 1 and is clamped. Was a percentage passed?",
            job_id,
            found,
        )
    return min(1.0, max(0.0, float(found)))
