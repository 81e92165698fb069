"""uvicorn: in a process of its own as people run it, and in the loop of a test."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.support.processes import end

START_S = 60.0
ADDRESS = re.compile(rb"running on http://(\S+) ")


@contextmanager
def uvicorn_process(
    app: str, *arguments: str, folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """Run ``uvicorn app`` in a folder on a free port, and give the process, its authority and its log."""
    log = folder.parent / f"{folder.name}.uvicorn.log"
    command = [sys.executable, "-m", "uvicorn", app, "--port", "0", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline_s = time.monotonic() + START_S
        # With --reload the address comes first.
        while not ((found := ADDRESS.search(log.read_bytes())) and b"startup complete" in log.read_bytes()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.02)
        yield process, found[1].decode(), log
    finally:
        end(process)


@asynccontextmanager
async def uvicorn_here(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application in the loop that runs, and give its authority."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(START_S):
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        await serving
