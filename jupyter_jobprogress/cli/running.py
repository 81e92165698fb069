"""What all commands share: how they are run, and which exit code an error is."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.errors import (
    JobProgressError,
    ProtocolError,
    SettingsError,
    StoreDeniedError,
    UnauthorizedError,
    UnknownJobError,
)

Command = Callable[[Namespace], Coroutine[None, None, Exit]]

_EXITS: dict[type[JobProgressError], Exit] = {
    UnknownJobError: Exit.UNKNOWN_JOB,
    StoreDeniedError: Exit.DENIED,
    UnauthorizedError: Exit.DENIED,
    ProtocolError: Exit.USAGE,
    SettingsError: Exit.USAGE,
    JobProgressError: Exit.UNAVAILABLE,
}


def run(command: Command, options: Namespace) -> int:
    """Carry out a command. What goes wrong is one line on stderr and an exit code."""
    try:
        code = asyncio.run(command(options))
        print(end="", flush=True)  # at exit Python would complain of a reader that has left, and change the code
        return code
    except JobProgressError as exc:
        complain(str(exc))
        return next(code for kind, code in _EXITS.items() if isinstance(exc, kind))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left, as ``head`` does. What is flushed at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def complain(text: str) -> None:
    """Say something that is no result."""
    print(f"jupyter jobprogress: {text}", file=sys.stderr)
