"""Numbers of a job in words, for text without a locale. ``js/src/format.ts`` writes those of pages."""

from __future__ import annotations

from datetime import datetime
from typing import Final

_DAY_S: Final = 86_400
_BYTE_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")

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
    """Return how much is done, as ``420 / 1,000 batches`` or ``1.2 MB / 3.4 GB``; once, where all of a unit is."""
    one = size if is_bytes(unit) else amount
    counted = one(n) if not total or (unit and n == total) else f"{one(n)} / {one(total)}"
    return counted if one is size or not unit else f"{counted} {unit}"


def is_bytes(unit: str | None) -> bool:
    """Whether what is counted are bytes, which are scaled."""
    return unit in ("B", "bytes")


def size(n_bytes: float) -> str:
    """Return bytes as ``999 B`` or ``1.2 MB``."""
    power = 0
    while abs(n_bytes) >= 1000 and power < len(_BYTE_UNITS) - 1:
        n_bytes, power = n_bytes / 1000, power + 1
    return f"{n_bytes:,.1f} {_BYTE_UNITS[power]}" if power else f"{n_bytes:.0f} B"


def amount(value: float) -> str:
    """Return a number of things, as ``1,234,567`` or ``0.5``."""
    return f"{value:,.1f}".removesuffix(".0")


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
    if seconds < 0.1:
        return "<0.1 s"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds between two times of RFC 3339, or None where one cannot be read."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):  # TypeError: only one of them has a time zone
        return None
