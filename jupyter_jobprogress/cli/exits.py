"""What the command says to scripts when it ends (docs/cli.md has the same table; a test compares it)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. 130, an interrupt, is Python's and the shell's own."""

    OK = 0
    JOB_FAILED = 1
    CHECK_FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    DENIED = 4
    UNKNOWN_JOB = 5
    CANCEL_REQUESTED = 6
