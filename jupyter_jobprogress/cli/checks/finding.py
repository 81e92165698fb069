"""What a check found, and the deadline that each has for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from jupyter_jobprogress.errors import JobProgressError

DEADLINE_S: Final = 3.0
"""Longest that one check may take."""


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


class Finding(Struct, frozen=True):
    """One line. ``remedy`` is what to do about it, and never empty where the check failed."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARNING, found, remedy)


def failed(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAILED, found, remedy)


def not_applicable(check: str, why: str) -> Finding:
    return Finding(check, Verdict.NOT_APPLICABLE, why)


async def within_deadline(check: str, looking: Awaitable[Finding]) -> Finding:
    """Wait for a check no longer than its deadline, and let none take the others down."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await looking
    except TimeoutError:
        return failed(
            check,
            f"There was no answer within {DEADLINE_S:g} s.",
            "Look whether what is asked runs, or hangs, and whether a firewall or proxy in between swallows requests.",
        )
    except JobProgressError as exc:
        return failed(check, str(exc), "See docs/cli.md.")
    except Exception as exc:  # noqa: BLE001 — outermost line of a check. Its text is foreign and may hold a secret.
        return failed(check, f"The check itself broke: {type(exc).__name__}.", "Please report this.")
