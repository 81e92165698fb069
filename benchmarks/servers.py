"""Real servers in processes of their own: Redis, Jupyter with the extension, the original design."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.cores import pinned
from benchmarks.worker import ROOT, with_project

START_S: Final = 60.0
STOP_S: Final = 15.0


class StartError(Exception):
    """A server that is needed did not start. Says which, and what it logged."""


class Target(NamedTuple):
    """A server as a viewer sees it. ``prefix`` stands before ``/ws/jobs``. ``pid`` 0: there is none, only Redis."""

    pid: int
    port: int
    prefix: str
    headers: dict[str, str]
    query: str
    """What a page appends to the URL of a socket: it cannot set headers."""
    page: str
    """Path of some document of the server."""


def redis_binary() -> str | None:
    """Return the path of the Redis or Valkey that is used, or None."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run Redis, without a disk, on a free port until the block ends. Yields its URL."""
    binary = redis_binary()
    if binary is None:
        raise StartError("redis-server (or valkey-server) is not on PATH: apt install redis-server")
    port = _free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with _process([*command, "--appendonly", "no"], folder / "redis.log", os.environ) as process:
        _await(lambda: _listens(port), process, folder / "redis.log")
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def product(folder: Path, redis_url: str, *, core: int | None) -> Iterator[Target]:
    """Run a Jupyter server with the extension, as installed, and with nothing of the user's configuration."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        environment[name] = str(folder / name.lower())
        (folder / name.lower()).mkdir()
    port, token = _free_port(), secrets.token_hex(16)
    config = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": port,
            "port_retries": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(folder / "home"),
            "jpserver_extensions": {"jupyter_jobprogress": True},
        },
        "IdentityProvider": {"token": token},
        "JobProgress": {"redis_url": redis_url},
    }
    (folder / "jupyter_config_dir" / "jupyter_server_config.json").write_text(json.dumps(config))
    log = folder / "jupyter.log"
    with _process([sys.executable, "-m", "jupyter_server"], log, with_project(environment), core=core) as process:
        # The file that Jupyter writes for its clients comes before it listens.
        _await(lambda: _listens(port), process, log)
        yield Target(
            process.pid,
            port,
            "/jobprogress",
            {"Authorization": f"token {token}"},
            f"?token={token}",
            "/static/favicon.ico",
        )


@contextlib.contextmanager
def original(folder: Path, redis_url: str, *, core: int | None) -> Iterator[Target]:
    """Run the original design (benchmarks/original.py)."""
    log, port = folder / "original.log", folder / "port"
    command = [sys.executable, "-m", "benchmarks.original", "--redis-url", redis_url, "--port-file", str(port)]
    with _process(command, log, with_project(os.environ), core=core) as process:
        _await(lambda: port.exists() and port.read_text().endswith("\n"), process, log)
        yield Target(process.pid, int(port.read_text()), "", {}, "", "/openapi.json")


@contextlib.contextmanager
def bare_redis(_: Path, redis_url: str, *, core: int | None) -> Iterator[Target]:
    """Put nothing between the publisher and the viewer but the Redis that runs."""
    yield Target(0, urlsplit(redis_url).port or 0, "", {}, "", "")


@contextlib.contextmanager
def _process(
    command: list[str], log: Path, environment: Mapping[str, str], *, core: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, pinned(core):
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline_s:
            what = "ended" if process.poll() is not None else f"did not start within {START_S:.0f} s"
            raise StartError(f"{process.args!r} {what}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
