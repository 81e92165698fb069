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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.cores import pinned
from benchmarks.worker import ROOT, with_project

START_S: Final = 60.0
STOP_S: Final = 15.0

ONE_ADDRESS: Final = {"max_viewers_per_user": 10_000, "requests_per_s": 1000}
"""Settings of the product: all viewers here come from one address, and are no one user. All other limits are left."""


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
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with process_of([*command, "--appendonly", "no"], folder / "redis.log", os.environ) as process:
        wait_until(lambda: listens(port), process, folder / "redis.log")
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def product(
    folder: Path,
    redis_url: str,
    *,
    core: int | None,
    again: Target | None = None,
    settings: Mapping[str, float] = ONE_ADDRESS,
) -> Iterator[Target]:
    """Run a Jupyter server with the extension, as installed, and with nothing of the user's configuration.

    ``again``: the server that was there before and is gone; this one takes its port and its token.
    """
    environment = _own_home(folder)
    port = again.port if again else free_port()
    token = again.headers["Authorization"].removeprefix("token ") if again else secrets.token_hex(16)
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
        "JobProgress": {"redis_url": redis_url, **settings},
    }
    (folder / "jupyter_config_dir" / "jupyter_server_config.json").write_text(json.dumps(config))
    log = folder / "jupyter.log"
    with process_of([sys.executable, "-m", "jupyter_server"], log, environment, core=core) as process:
        # The file that Jupyter writes for its clients comes before it listens.
        wait_until(lambda: listens(port), process, log)
        yield Target(
            process.pid,
            port,
            "/jobprogress",
            {"Authorization": f"token {token}"},
            f"?token={token}",
            "/static/favicon.ico",
        )


def standalone_binary() -> str | None:
    """Return the path of the command that serves without Jupyter, or None in a version that has none."""
    return shutil.which("jupyter-jobprogress", path=str(Path(sys.executable).parent))


@contextlib.contextmanager
def standalone(
    folder: Path,
    redis_url: str,
    *,
    core: int | None,
    again: Target | None = None,
    settings: Mapping[str, float] = ONE_ADDRESS,
) -> Iterator[Target]:
    """Run ``jupyter jobprogress serve``, with nothing of the user's configuration. ``again``: see ``product``."""
    port = again.port if again else free_port()
    token = again.headers["Authorization"].removeprefix("token ") if again else secrets.token_hex(16)
    options = {"host": "127.0.0.1", "port": port, "token": token, "redis-url": redis_url}
    command = [str(standalone_binary()), "serve", *(f"--{name}={value}" for name, value in options.items())]
    command += [f"--JobProgress.{name}={value}" for name, value in settings.items()]
    log = folder / "standalone.log"
    with process_of(command, log, _own_home(folder), core=core) as process:
        wait_until(lambda: listens(port), process, log)
        yield Target(process.pid, port, "", {"Authorization": f"token {token}"}, f"?token={token}", "/")


def _own_home(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's configuration is found."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        environment[name] = str(folder / name.lower())
        (folder / name.lower()).mkdir(exist_ok=True)
    return with_project(environment)


@contextlib.contextmanager
def original(
    folder: Path, redis_url: str, *, core: int | None, again: Target | None = None, arguments: Sequence[str] = ()
) -> Iterator[Target]:
    """Run the original design (benchmarks/original.py)."""
    command = [sys.executable, "-m", "benchmarks.original", "--redis-url", redis_url, *arguments]
    with own_server(command, folder, core=core, again=again) as target:
        yield target


@contextlib.contextmanager
def own_server(command: list[str], folder: Path, *, core: int | None, again: Target | None) -> Iterator[Target]:
    """Run a program that takes ``--port`` and ``--port-file``, and writes the port on which it listens there."""
    log, file = folder / "server.log", folder / "port"
    file.unlink(missing_ok=True)
    port = ["--port", str(again.port if again else 0), "--port-file", str(file)]
    with process_of([*command, *port], log, with_project(os.environ), core=core) as process:
        wait_until(lambda: file.exists() and file.read_text().endswith("\n"), process, log)
        yield Target(process.pid, int(file.read_text()), "", {}, "", "/openapi.json")


@contextlib.contextmanager
def bare_redis(_: Path, redis_url: str, *, core: int | None) -> Iterator[Target]:
    """Put nothing between the publisher and the viewer but the Redis that runs."""
    yield Target(0, urlsplit(redis_url).port or 0, "", {}, "", "")


@contextlib.contextmanager
def process_of(
    command: list[str], log: Path, environment: Mapping[str, str], *, core: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on a core until the block ends; what it prints is appended to a file."""
    with log.open("ab") as output, pinned(core):
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


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Say whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server is ready.

    Raises:
        StartError: it ended, or is not ready after a minute.
    """
    deadline_s = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline_s:
            what = "ended" if process.poll() is not None else f"did not start within {START_S:.0f} s"
            raise StartError(f"{process.args!r} {what}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
