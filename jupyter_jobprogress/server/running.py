"""Files that tell the programs of one user which servers run and how to get in, as Jupyter's own do.

    what                  name in Jupyter's runtime folder
    standalone server     jobprogress-{pid}.json: url, token, pid, ca_file
    Jupyter server        jpserver-{pid}.json, written by Jupyter

Both are readable by their owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec
from jupyter_core.paths import jupyter_runtime_dir
from msgspec import Struct

from jupyter_jobprogress.protocol.names import URL_PREFIX
from jupyter_jobprogress.settings import is_loopback

_PREFIX: Final = "jobprogress-"


class Running(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server that runs. ``url`` is what a job takes; ``token`` is a user's, not a ticket."""

    url: str
    token: str = ""
    pid: int = 0
    ca_file: str = ""


def announce(server: Running) -> Path:
    """Write the file of this process and return its path; the caller removes it."""
    folder = Path(jupyter_runtime_dir())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{_PREFIX}{server.pid}.json"
    path.unlink(missing_ok=True)  # of a process that had this pid and was killed
    # O_EXCL: the file has these permissions from the start, and is nobody's link.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(server))
    return path


def running_servers() -> list[Running]:
    """Return the servers of this user that are alive: standalone ones, then Jupyter's, each with the newest first."""
    return [*_alive(f"{_PREFIX}*.json", _read), *_alive("jpserver-*.json", _read_jupyter)]


def server_at(url: str) -> Running | None:
    """Return the running server that a URL leads to, or None. The loopback addresses are one host."""
    wanted = place(url)
    return next((server for server in running_servers() if place(server.url) == wanted), None)


def _read(data: bytes) -> Running:
    return msgspec.json.decode(data, type=Running)


class _JupyterServer(Struct, frozen=True):
    url: str
    token: str
    pid: int
    base_url: str = "/"
    sock: str = ""


def _read_jupyter(data: bytes) -> Running:
    found = msgspec.json.decode(data, type=_JupyterServer)
    url = f"http+unix://{quote(found.sock, safe='')}{found.base_url}" if found.sock else found.url
    return Running(url=f"{url}{URL_PREFIX}/", token=found.token, pid=found.pid)


def _alive(pattern: str, read: Callable[[bytes], Running]) -> list[Running]:
    found: list[tuple[float, Running]] = []
    for path in Path(jupyter_runtime_dir()).glob(pattern):
        try:
            server = read(path.read_bytes())
            os.kill(server.pid, 0)
            found.append((path.stat().st_mtime, server))
        except (OSError, msgspec.MsgspecError):
            continue  # it ended without a word, or is not ours
    return [server for _, server in sorted(found, key=lambda item: item[0], reverse=True)]


def place(url: str) -> tuple[str, int | None, str]:
    """Return what two URLs of one server have in common."""
    parts = urlsplit(url)
    host = parts.netloc if parts.scheme.endswith("+unix") else parts.hostname or ""
    return "loopback" if is_loopback(host) else host, parts.port, parts.path.rstrip("/")
