"""``jupyter jobprogress serve`` in a process of its own, and its application in the process of a test."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.web import Application

from jupyter_jobprogress.server.running import Running
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.sockets import listen, tls
from jupyter_jobprogress.server.standalone import JobProgressServer
from jupyter_jobprogress.server.ticket_key import TicketKey
from tests.support.jupyter import isolated_environment
from tests.support.processes import end

START_S = 60.0
TOKEN = "fedcba9876543210fedcba9876543210"


class Serving(NamedTuple):
    """A server process. ``told`` is what it wrote in its file for the programs of its user."""

    process: subprocess.Popen[bytes]
    told: Running
    file: Path
    environment: dict[str, str]
    output: Path
    log: Path

    @property
    def url(self) -> str:
        return self.told.url

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.told.token}"}

    def stop(self, *, within_s: float = 15.0, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(by)
        return self.process.wait(within_s)


@contextmanager
def serving(
    folder: Path, *arguments: str, port: int = 0, environment: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """Run the server, on a free port where none is given, until the block ends."""
    env = dict(environment or isolated_environment(folder))
    output, log = folder / "serve.out", folder / "serve.log"
    command = [sys.executable, "-m", "jupyter_jobprogress", "serve", f"--port={port}", *arguments]
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        file = Path(env["JUPYTER_RUNTIME_DIR"]) / f"jobprogress-{process.pid}.json"
        deadline_s = time.monotonic() + START_S
        # What it prints comes after the file, and after it listens.
        while not output.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, "the server did not start"
            time.sleep(0.02)
        told = msgspec.json.decode(file.read_bytes(), type=Running)
        yield Serving(process, told, file, env, output, log)
    finally:
        end(process)


class Mounted(NamedTuple):
    """The application of the standalone server, served in the loop of a test. ``url`` ends with "/"."""

    url: str
    application: Application
    service: Service
    key: TicketKey


@asynccontextmanager
async def mounted(folder: Path, **traits: Any) -> AsyncIterator[Mounted]:
    """Serve the application with ``TOKEN`` until the block ends; with TLS where there is a ``certfile``."""
    traits = {"token": TOKEN, "database": "", "ticket_key_file": str(folder / "ticket.key")} | traits
    server = JobProgressServer(**traits)
    service = Service(server.service_settings())
    application = server.application(service, server.token)
    http = server.http_server(application, ssl_options=tls(server.certfile, server.keyfile))
    sockets = listen(host="127.0.0.1", port=0, path="", reuse_port=False)
    http.add_sockets(sockets)
    try:
        root = server.local_url(sockets[0].getsockname()[1])
        yield Mounted(root, application, service, server.ticket_key())
    finally:
        http.stop()
        await service.close()
        await http.close_all_connections()


async def fetch(url: str, **options: Any) -> HTTPResponse:
    """Send one request, follow nothing, and return the answer whatever its status."""
    client = AsyncHTTPClient(force_instance=True)
    if options.get("method") in ("POST", "PUT", "PATCH"):
        options.setdefault("body", "")
    try:
        return await client.fetch(HTTPRequest(url, follow_redirects=False, **options), raise_error=False)
    finally:
        client.close()
