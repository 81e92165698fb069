"""Make what a job hands in fit for a message (rules 9 and 10). Pure, and never raises: a report must not fail its job.

What cannot be said in JSON is replaced by something that can, not refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import PurePath
from typing import Final
from uuid import UUID

import msgspec

from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.state import History, State

REPR_CHARACTERS: Final = 200
"""Longest ``repr`` that stands for an object."""

_MARK: Final = "…"
_NEWLINE: Final = re.compile("\r\n?")
# Lone surrogates have no UTF-8; other control characters reorder or blank what a terminal shows.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_VALUES: Final = limits.STATE_BYTES
"""Most values read from one payload: each takes two bytes or more, so that beyond it the payload is dropped anyway."""

_STRING_BYTES: Final = limits.STATE_BYTES + 1
"""Where a text within a payload is cut: it is too large by then, and is dropped with its payload."""

_NAMED_BY_STR: Final = (PurePath, UUID, Decimal)
_DROPPABLE: Final = ("metadata", "result", "metrics")
_encoder = msgspec.json.Encoder()


def timestamp(now_s: float) -> str:
    """Format seconds since 1970 as RFC 3339 in UTC, with microseconds and ``Z``."""
    return datetime.fromtimestamp(now_s, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def text(value: object, limit_bytes: int) -> str:
    """Return a value as text of at most ``limit_bytes`` of UTF-8. A cut falls between characters and is marked.

    Lone surrogates and control characters other than newline and tab are replaced.
    """
    whole = value if type(value) is str else _string(value)
    # A character has one byte or more. Cut first, so that a text of megabytes costs no more than a long one.
    clean = _FORBIDDEN.sub("\ufffd", _NEWLINE.sub("\n", whole[: limit_bytes + 1]))
    encoded = clean.encode()
    if len(encoded) <= limit_bytes and len(whole) <= limit_bytes:
        return clean
    return encoded[: limit_bytes - len(_MARK.encode())].decode(errors="ignore") + _MARK


def _string(value: object) -> str:
    try:
        # str.__str__ for a subclass of str (an enum, numpy.str_), whose own may say something else.
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 — somebody else's __str__ must not fail a report
        return shown(value)


def shown(value: object) -> str:
    """Return the ``repr`` of anything, cut, without what harms a terminal. Never raises."""
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001 — somebody else's __repr__ must not fail a report
        shown = f"<{type(value).__name__} without a repr>"
    if len(shown) > REPR_CHARACTERS:
        shown = shown[: REPR_CHARACTERS - 1] + _MARK
    return _FORBIDDEN.sub("\ufffd", shown)


def _scalar_of(value: object) -> object:
    """Unwrap a scalar of NumPy, PyTorch or JAX; return anything else as it is."""
    item = getattr(type(value), "item", None)
    if item is None or isinstance(value, type):
        return value
    try:
        scalar = item(value)
    except Exception:  # noqa: BLE001 — an array of several values raises, each library its own error
        return value
    return scalar if isinstance(scalar, (bool, int, float, str)) else value


def number(value: object) -> int | float | None:
    """Return a value as a finite number, or None where it is not one. Integers beyond 64 bits become floats."""
    try:
        if not isinstance(value, (int, float)):
            value = _scalar_of(value)
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**63 else float(value)
        if isinstance(value, (str, bytes, bytearray)) or not hasattr(type(value), "__float__"):
            return None
        found = float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 — a number of another library, or an integer beyond any float
        return None
    return found if math.isfinite(found) else None


def is_device_array(value: object) -> bool:
    """Whether reading a value may have to wait until a device has computed it, as PyTorch and JAX do."""
    kind = type(value)
    return hasattr(kind, "item") and not kind.__module__.startswith("numpy")


def metrics(values: Mapping[str, object]) -> dict[str, float | None]:
    """Return named scalars with names cut and values that are finite numbers or None."""
    return {text(name, limits.LABEL_BYTES): number(value) for name, value in values.items()}


def jsonable(value: object) -> object:
    """Return a copy of a value that JSON can say.

    Scalars of array libraries are unwrapped, sets and tuples become lists, keys become text, NaN and infinities become
    None, integers beyond 64 bits, dates, paths, UUIDs and decimals become text, and any other object its ``repr``, cut.
    Cycles and what is nested deeper than ``limits.NESTING`` are replaced by an ellipsis.
    """
    return _Copy().of(value)


def mapping(value: object) -> dict[str, object]:
    """Return a value as ``jsonable`` does, in a dict: ``metadata`` is an object. Another value goes under ``value``."""
    copied = jsonable(value)
    return copied if isinstance(copied, dict) else {"value": copied}


class _Copy:
    """One walk through a payload: the containers on the way here, and how many values it may still read."""

    def __init__(self) -> None:
        self._path: set[int] = set()
        self._left = _VALUES

    def of(self, value: object) -> object:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return text(value, _STRING_BYTES)
        if isinstance(value, (int, float)):
            return self._number(value)
        if isinstance(value, (Mapping, list, tuple, Set, range)):
            return self._container(value)
        if isinstance(value, (datetime, date, time)):
            return value.isoformat()
        if isinstance(value, _NAMED_BY_STR):
            return text(value, limits.TEXT_BYTES)
        scalar = _scalar_of(value)
        return shown(value) if scalar is value else self.of(scalar)

    @staticmethod
    def _number(value: int | float) -> object:
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return int(value) if -(2**63) <= value < 2**63 else shown(value)

    def _container(self, value: Mapping[object, object] | Iterable[object]) -> object:
        if id(value) in self._path or len(self._path) >= limits.NESTING:
            return _MARK
        self._path.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._dict(value)
            return self._list(value)
        except Exception:  # noqa: BLE001 — another thread changed it, or its class iterates in its own way
            return shown(value)
        finally:
            self._path.discard(id(value))

    def _dict(self, value: Mapping[object, object]) -> dict[str, object]:
        found = {}
        for key, item in value.items():
            if self._left <= 0:
                break
            found[text(key, limits.LABEL_BYTES)] = self.of(item)
        return found

    def _list(self, value: Iterable[object]) -> list[object]:
        found = []
        for item in value:
            if self._left <= 0:
                break
            found.append(self.of(item))
        return found


def fit_state(state: State) -> tuple[State, tuple[str, ...]]:
    """Return a state that keeps the limit of bytes, and the names of the fields that were dropped for it.

    The largest goes first, and a note takes its place, except that of ``metrics``, which are numbers.
    """
    dropped: list[str] = []
    while _size(msgspec.structs.replace(state, history=None)) > limits.STATE_BYTES:
        sizes = {name: _size(getattr(state, name)) for name in _DROPPABLE if name not in dropped}
        if not sizes:
            break
        name = max(sizes, key=sizes.__getitem__)
        note = f"{name} of {sizes[name]} bytes is over the limit of {limits.STATE_BYTES} for a state"
        state = msgspec.structs.replace(state, **{name: None if name == "metrics" else {"dropped": note}})
        dropped.append(name)
    return state, tuple(dropped)


def _size(value: object) -> int:
    return len(_encoder.encode(value))


def fit_history(history: History) -> History:
    """Return a history that keeps the limit of bytes, without its longest metrics where it has to be."""
    if _size(history) <= limits.HISTORY_BYTES:
        return history
    kept = dict(sorted(history.metrics.items(), key=lambda pair: _size(pair)))
    while kept:
        kept.popitem()
        history = msgspec.structs.replace(history, metrics=kept)
        if _size(history) <= limits.HISTORY_BYTES:
            break
    return history
