"""A jobprogress server without Jupyter: the real service, its sessions and its transport in a bare Tornado server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from jupyter_jobprogress.protocol.names import JOB_PATH
from jupyter_jobprogress.server.grants import Grant, UserGrant
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.transport import SessionSocket
from jupyter_jobprogress.settings import Settings

EVERYTHING = UserGrant(frozenset({"watch", "report", "cancel"}))


class OpenSocket(SessionSocket):
    """Lets everybody in, with one grant for all."""

    def initialize(self, *, service: Service, grant: Grant) -> None:
        self._service = service
        self._given = grant

    async def get(self, job_id: str | None = None) -> None:
        self.expect(self._given, who="anybody", job_id=job_id)
        await super().get()


class RemoteServer(NamedTuple):
    """A listening server. ``url`` is what a ``RemoteStore`` takes."""

    url: str
    port: int
    service: Service


@asynccontextmanager
async def remote_server(settings: Settings, *, grant: Grant = EVERYTHING, port: int = 0) -> AsyncIterator[RemoteServer]:
    """Serve ``ws/jobs`` and ``ws/jobs/{job_id}`` on a free port until the block ends."""
    service = Service(settings)
    options = {"service": service, "grant": grant}
    server = HTTPServer(
        Application([(r"/ws/jobs", OpenSocket, options), (rf"/ws/jobs/{JOB_PATH}", OpenSocket, options)])
    )
    sockets = bind_sockets(port, "127.0.0.1", backlog=1024)
    server.add_sockets(sockets)
    found = sockets[0].getsockname()[1]
    try:
        yield RemoteServer(f"http://127.0.0.1:{found}/", found, service)
    finally:
        server.stop()
        await service.close()
        await server.close_all_connections()
