"""What all commands share: where the jobs are, and which exit code an error is."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine
from dataclasses import replace

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.errors import (
    JobProgressError,
    NoServerError,
    ProtocolError,
    SettingsError,
    StoreDeniedError,
    UnauthorizedError,
    UnknownJobError,
)
from jupyter_jobprogress.server.running import place, running_servers, server_at
from jupyter_jobprogress.settings import REMOTE_SCHEMES, Settings

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
        return asyncio.run(command(options))
    except JobProgressError as exc:
        complain(str(exc))
        return next(code for kind, code in _EXITS.items() if isinstance(exc, kind))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left, as ``head`` does. Nothing may be flushed into it at exit.
        sys.stdout = None
        return Exit.OK


def complain(text: str) -> None:
    """Say something that is no result."""
    print(f"jupyter jobprogress: {text}", file=sys.stderr)


def find(url: str | None) -> Settings:
    """Resolve where the jobs are: the argument, the environment, or a server of this user that runs here.

    Raises:
        SettingsError, NoServerError
    """
    settings = Settings.from_environment(url)
    inherited = os.environ.get("JOBPROGRESS_URL")
    if url and inherited and place(url) != place(inherited):
        # The token in the environment is for the URL beside it, and no other server may see it.
        settings = replace(settings, token=None, ca_file=None)
    if settings.url is None:
        if not (servers := running_servers()):
            raise NoServerError
        settings = replace(settings, url=servers[0].url, token=None)
    assert settings.url is not None
    if settings.token or settings.url.partition("://")[0] not in REMOTE_SCHEMES:
        return settings
    server = server_at(settings.url)
    if server is None:
        return settings
    return replace(settings, token=server.token or None, ca_file=settings.ca_file or server.ca_file or None)
