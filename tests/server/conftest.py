"""A Jupyter server with the extension, as pytest-jupyter makes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from pytest_jupyter.jupyter_core import *  # noqa: F403
from pytest_jupyter.jupyter_server import *  # noqa: F403
from pytest_jupyter.pytest_tornasync import *  # noqa: F403
from tornado.websocket import WebSocketClientConnection

from jupyter_jobprogress.server.service import Service

# The hooks run coroutine tests in a loop of their own; here pytest-asyncio does.
del pytest_pycollect_makeitem, pytest_pyfunc_call  # noqa: F821


@pytest.fixture
async def jp_asyncio_loop() -> asyncio.AbstractEventLoop:
    """Give the fixtures of pytest-jupyter the loop that the test runs in."""
    return asyncio.get_running_loop()


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"jupyter_jobprogress": True, "jupyter_server_terminals": False},
            "allow_unauthenticated_access": False,
        },
        "JobProgress": {"database": str(tmp_path / "jobs.sqlite"), "ping_interval_s": 0.2},
    }


async def close(socket: WebSocketClientConnection) -> None:
    """Close a client's socket and wait for the end of the handshake."""
    socket.close()
    while await socket.read_message() is not None:
        pass


@pytest.fixture
async def connect(jp_ws_fetch: Callable[..., Any]) -> AsyncIterator[Callable[..., Any]]:
    """Open sockets like ``jp_ws_fetch``, and close them after the test."""
    sockets: list[WebSocketClientConnection] = []

    async def open_socket(*path: str, **options: Any) -> WebSocketClientConnection:
        sockets.append(await jp_ws_fetch(*path, **options))
        return sockets[-1]

    yield open_socket
    for socket in sockets:
        await close(socket)


@pytest.fixture
def service(jp_serverapp: ServerApp) -> Service:
    service = jp_serverapp.web_app.settings["jobprogress_service"]
    assert isinstance(service, Service)
    return service
