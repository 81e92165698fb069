"""One Hub for all tests: it takes longer to start than they do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.support.browser import chromium_path
from tests.support.hub import Hub, running_hub
from tests.support.redis_server import RedisServer

REBOUND = "rebound.example"
"""A name of somebody else that leads the browser to this machine."""


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), redis_server.url) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"]
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium_path(), args=arguments) as browser,
    ):
        yield browser
