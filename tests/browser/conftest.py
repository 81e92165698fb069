"""Chromium, servers that tests share, and a fresh notebook and browser context for each."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ViewportSize, async_playwright

from tests.support.browser import App, NotebookFile, NotebookPage, chromium_path, lab_environment
from tests.support.jupyter import Server, jupyter_server

VIEWPORT: Final[ViewportSize] = {"width": 1280, "height": 1000}


class OpenPage(Protocol):
    """Opens a notebook; ``fresh``: in a browser that has never been here."""

    async def __call__(self, server: Server, file: NotebookFile, *, fresh: bool = False) -> NotebookPage: ...


@pytest.fixture(scope="session", params=["lab", "notebook"])
def app(request: pytest.FixtureRequest) -> App:
    app: App = request.param
    return app


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser,
    ):
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(app: App, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Give a server with the embedded store that many tests share: do it no harm."""
    folder = tmp_path_factory.mktemp(app)
    async with jupyter_server(folder, app=app, environment=lab_environment(folder)) as server:
        yield server


@pytest.fixture
def job_id() -> str:
    return f"job-{secrets.token_hex(4)}"


@pytest.fixture
def make_file() -> Callable[[Server], NotebookFile]:
    return lambda server: NotebookFile(server.root, f"nb-{secrets.token_hex(4)}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Give a browser that has been here before: it has JupyterLab in its cache, which saves seconds a page."""
    async with await browser.new_context(viewport=VIEWPORT) as context:
        yield context


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, context: BrowserContext, app: App) -> AsyncIterator[OpenPage]:
    """Open pages. After the test they are looked at for errors of ours, and their kernels are ended."""
    opened: list[NotebookPage] = []
    async with AsyncExitStack() as fresh_contexts:

        async def open_page(server: Server, file: NotebookFile, *, fresh: bool = False) -> NotebookPage:
            used = context
            if fresh:
                used = await fresh_contexts.enter_async_context(await browser.new_context(viewport=VIEWPORT))
            opened.append(await NotebookPage.open(used, app, server, file))
            return opened[-1]

        yield open_page
        for notebook in opened:
            notebook.file.end_busy_job()
            await notebook.page.close()
    for server in {notebook.server.process.pid: notebook.server for notebook in opened}.values():
        if server.process.returncode is None:
            await _end_kernels(server)
    for notebook in opened:
        assert not [error for error in notebook.errors if _is_ours(error)]


def _is_ours(error: str) -> bool:
    # The code of a widget is run from a blob.
    return "jobprogress" in error or "blob:" in error


async def _end_kernels(server: Server) -> None:
    for kernel in json.loads((await server.fetch("api/kernels")).body):
        await server.fetch(f"api/kernels/{kernel['id']}", method="DELETE")
