"""Numbers of a job in words, for text without a locale. ``js/src/format.ts`` writes those of pages."""

from __future__ import annotations

from datetime import datetime
from typing import Final

_DAY_S: Final = 86_400

WORDS: Final = {
    "queued": "Queued",
    "processing": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}

ECHOES: Final = frozenset({"complete", "Job completed", "Job cancelled"})
"""What reporters put into stage and message when they have nothing to say beyond the status."""


def percent(fraction: float) -> str:
    """Return a fraction as a whole percentage, cut: 100% is said only when it is reached."""
    return f"{int(fraction * 100 + 1e-9)}%"  # 0.29 * 100 is a little less than 29


def count(n: float, total: float | None, unit: str | None) -> str:
    """Return how much is done, as ``42/100 batches``."""
    of = f"/{total:g}" if total is not None else ""
    return f"{n:g}{of} {unit or ''}".strip()


def duration(seconds: float) -> str:
    """Return seconds as ``0:07``, ``12:34``, ``3:04:05`` or ``2d 03:04``, cut."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, _DAY_S)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def took(seconds: float) -> str:
    """Return how long something took: with a decimal below ten seconds, where ``0:00`` would say nothing."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else duration(seconds)


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds between two times of RFC 3339, or None where one cannot be read."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):  # TypeError: only one of them has a time zone
        return None
