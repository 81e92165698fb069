"""Real Jupyter servers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.netutil import Resolver

from tests.support.processes import server_process

TOKEN = "0123456789abcdef0123456789abcdef"
START_S = 60.0


class Server(NamedTuple):
    """A running server. ``url`` ends with "/"; ``root`` is the folder of its notebooks."""

    process: asyncio.subprocess.Process
    url: str
    root: Path
    log: Path
    headers: dict[str, str]
    socket: str | None = None

    async def fetch(self, path: str, **options: Any) -> HTTPResponse:
        """Ask the server with its token. An HTTP error is returned, not raised."""
        resolver = {"resolver": _UnixResolver(path=self.socket)} if self.socket else {}
        client = AsyncHTTPClient(force_instance=True, **resolver)
        request = HTTPRequest(
            self.url + path, headers={**self.headers, **options.pop("headers", {})}, validate_cert=False, **options
        )
        try:
            return await client.fetch(request, raise_error=False)
        finally:
            client.close()

    async def job(self, job_id: str, *, within_s: float = 30.0, status: str = "completed") -> dict[str, Any]:
        """Wait until a job has a status, and return its state."""
        async with asyncio.timeout(within_s):
            while True:
                response = await self.fetch(f"jobprogress/api/jobs/{job_id}")
                if response.code == 200:
                    state: dict[str, Any] = json.loads(response.body)
                    if state["status"] == status:
                        return state
                await asyncio.sleep(0.05)


class _UnixResolver(Resolver):
    def initialize(self, path: str) -> None:
        self._path = path

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Any]:
        return [(socket.AF_UNIX, self._path)]


def isolated_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of the user's Jupyter, and no store, is found."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "CI") if name in os.environ}
    folders = {
        "HOME": folder / "home",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "run",
        "IPYTHONDIR": folder / "ipython",
    }
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    return inherited | {name: str(path) for name, path in folders.items()} | more


@asynccontextmanager
async def jupyter_server(
    folder: Path,
    *arguments: str,
    app: str = "server",
    environment: Mapping[str, str] | None = None,
    scheme: str = "http",
    host: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
    python: str | Path = sys.executable,
) -> AsyncIterator[Server]:
    """Run ``jupyter <app>`` on a free port until the block ends.

    It finds its port itself, as it does for users; the file that Jupyter writes for its clients tells which.
    """
    root = folder / "notebooks"
    root.mkdir(parents=True, exist_ok=True)
    environment = environment or isolated_environment(folder)
    log = folder / "server.log"
    command = [str(python), "-m", "jupyter", app, "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}"]
    command += [f"--IdentityProvider.token={TOKEN}", *arguments]
    async with server_process(command, cwd=root, environment=environment, log=log) as process:
        info = await _server_info(Path(environment["JUPYTER_RUNTIME_DIR"]), process, log)
        authority = "localhost" if info.get("sock") else f"{host}:{info['port']}"
        url = f"{scheme}://{authority}{info['base_url']}"
        server = Server(
            process, url, root, log, headers or {"Authorization": f"token {TOKEN}"}, info.get("sock") or None
        )
        await _listening(server)
        yield server


async def _listening(server: Server) -> None:
    # The file is written before the server listens.
    async with asyncio.timeout(START_S):
        while True:
            try:
                await server.fetch("api")
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return


async def _server_info(folder: Path, process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    async with asyncio.timeout(START_S):
        while True:
            for path in folder.glob(f"jpserver-{process.pid}.json"):
                if text := path.read_text():
                    info: dict[str, Any] = json.loads(text)
                    return info
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)
