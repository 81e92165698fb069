"""Close codes and error codes of the WebSocket: one table, the same in ``js/src/codes.ts``.

``tests/wire/codes.json`` is read by the tests of both languages. docs/protocol.md, section 7.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """Why the server closes a socket. Below 4400 and in ``RETRY`` a client comes back, with backoff."""

    GOING_AWAY = 1001
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SLOW_VIEWER = 4408
    IDLE = 4410
    TOO_MANY = 4429


RETRY: Final = frozenset(
    {
        CloseCode.GOING_AWAY,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.SLOW_VIEWER,
        CloseCode.TOO_MANY,
    }
)

ERROR_CODES: Final = frozenset(
    {
        "invalid_message",
        "invalid_job_id",
        "invalid_progress",
        "state_too_large",
        "history_too_large",
        "nesting_too_deep",
        "too_many_ids",
        "too_many_metrics",
        "too_many_subscriptions",
        "unauthorized",
        "forbidden",
        "store_unavailable",
        "internal",
    }
)
"""``code`` of an ``error`` message."""
