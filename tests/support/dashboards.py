"""Voilà and marimo as their users start them, each with one notebook that shows bars."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient, HTTPError

from tests.support.processes import server_process
from tests.support.redis_server import free_port

START_S = 60.0

MARIMO = """
import marimo

app = marimo.App()


@app.cell
def _():
{code}
    return


if __name__ == "__main__":
    app.run()
"""


@asynccontextmanager
async def serving(command: list[str], port: int, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a web server until the block ends, and give its URL once it answers."""
    log = folder / "dashboard.log"
    url = f"http://127.0.0.1:{port}/"
    arguments = [sys.executable, "-m", *command]
    async with server_process(arguments, cwd=folder, environment=environment, log=log) as process:
        async with asyncio.timeout(START_S):
            while not await _answers(url):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        yield url


async def _answers(url: str) -> bool:
    try:
        await AsyncHTTPClient().fetch(f"{url}favicon.ico", request_timeout=5)
    except HTTPError:
        return True
    except OSError:
        return False
    return True


@asynccontextmanager
async def voila(notebook: Path, environment: Mapping[str, str], *options: str) -> AsyncIterator[str]:
    """Serve a notebook by Voilà alone."""
    port = free_port()
    command = ["voila", notebook.name, f"--port={port}", "--no-browser", "--Voila.ip=127.0.0.1", *options]
    async with serving(command, port, notebook.parent, environment) as url:
        yield url


@asynccontextmanager
async def marimo(code: str, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[str]:
    """Serve a cell, whose last expression is shown, as an app of marimo."""
    path = folder / "app.py"
    path.write_text(MARIMO.format(code="\n".join(f"    {line}" for line in code.splitlines())))
    port = free_port()
    command = ["marimo", "-q", "run", str(path), "--headless", "--no-token", f"--port={port}", "--host=127.0.0.1"]
    async with serving(command, port, folder, environment) as url:
        yield url
