"""The page on a phone, wherever its server is: alone, within Jupyter, behind nginx. A job is cancelled on it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.front import front
from tests.support.jupyter import TOKEN as JUPYTER_TOKEN
from tests.support.jupyter import isolated_environment, jupyter_server
from tests.support.standalone import TOKEN, fetch, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WAIT_MS = 30_000
FINGER_PX = 40
ROW_PX = 32
"""The rows of the table are this high on every screen."""

JOB = """
import itertools, sys, time
from jupyter_jobprogress import Job, JobCancelled

try:
    with Job("train-7", total=1000) as job:
        for _ in itertools.count():
            time.sleep(0.05)
            job.update(0.01)
except JobCancelled:
    print("cancelled")
"""

CONTROLS = """() => [...document.querySelectorAll("a, button, input, select")]
  .filter((el) => el.checkVisibility() && el.getBoundingClientRect().width > 0)
  .map((el) => [el.outerHTML.slice(0, 90), el.getBoundingClientRect(), el.closest("[role=table]") !== null])
  .map(([html, { width, height }, row]) => [html, Math.min(width, height), row])"""


class Place(NamedTuple):
    """Where a server is for a browser, by ``url`` with its token, and for a job on its machine."""

    url: str
    token: str
    reports: str


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[Place]:
    with serving(folder, environment=isolated_environment(folder, JOBPROGRESS_SERVER_TOKEN=TOKEN)) as server:
        yield Place(server.url, TOKEN, server.url)


@asynccontextmanager
async def within_jupyter(folder: Path) -> AsyncIterator[Place]:
    async with jupyter_server(folder, "--ServerApp.base_url=/user/ada/") as server:
        url = f"{server.url}jobprogress/"
        yield Place(url, JUPYTER_TOKEN, url)


@asynccontextmanager
async def behind_nginx(folder: Path, *, strip: bool = False) -> AsyncIterator[Place]:
    environment = isolated_environment(folder, JOBPROGRESS_SERVER_TOKEN=TOKEN)
    with serving(folder, f"--base-url={'/' if strip else '/progress/'}", environment=environment) as server:
        port = urlsplit(server.url).port or 0
        with front("nginx", folder, [port, port], path="/progress/", strip=strip) as url:
            yield Place(url, TOKEN, server.url)


def behind_nginx_that_takes_the_path_away(folder: Path) -> AbstractAsyncContextManager[Place]:
    return behind_nginx(folder, strip=True)


@asynccontextmanager
async def phone(browser: Browser, *, dark: bool) -> AsyncIterator[BrowserContext]:
    """Give a browser of a phone, which lets any certificate pass."""
    async with await browser.new_context(
        viewport={"width": 375, "height": 720},
        is_mobile=True,
        has_touch=True,
        ignore_https_errors=True,
        color_scheme="dark" if dark else "light",
    ) as context:
        yield context


@asynccontextmanager
async def job(environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", JOB, env=dict(environment), stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def fits(page: Page) -> None:
    """Expect that nothing sticks out, and that everything can be hit with a finger."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    controls = await page.evaluate(CONTROLS)
    assert controls
    assert [html for html, size_px, in_row in controls if size_px < (ROW_PX if in_row else FINGER_PX)] == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("where", "dark"),
    [(alone, False), (within_jupyter, True), (behind_nginx, True), (behind_nginx_that_takes_the_path_away, False)],
)
async def test_a_job_is_found_cancelled_and_shared_on_a_phone(
    browser: Browser, tmp_path: Path, where: Callable[[Path], AbstractAsyncContextManager[Place]], dark: bool
) -> None:
    async with where(tmp_path) as place, phone(browser, dark=dark) as context, phone(browser, dark=dark) as other:
        asked: list[str] = []
        for each in (context, other):
            each.on("request", lambda request: asked.append(request.url))
            each.on("page", lambda page: page.on("websocket", lambda socket: asked.append(socket.url)))
        page = await context.new_page()
        await page.goto(f"{place.url}?token={place.token}")
        await expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible(timeout=WAIT_MS)
        await fits(page)

        reports = isolated_environment(tmp_path, JOBPROGRESS_URL=place.reports, JOBPROGRESS_TOKEN=place.token)
        async with job(reports) as process:
            await page.locator("[role=row][data-job='train-7'] button").tap(timeout=WAIT_MS)
            await expect(page).to_have_url(f"{place.url}jobs/train-7")
            card = page.locator(".jobprogress-card")
            await expect(card.locator(".jobprogress-word")).to_have_text("Running", timeout=WAIT_MS)
            await fits(page)

            # Somebody else follows the link, and sees how it ends.
            shared = await other.new_page()
            await shared.goto(f"{page.url}?token={place.token}")
            await expect(shared).to_have_url(page.url)
            await expect(shared.locator(".jobprogress-card .jobprogress-word")).to_have_text("Running", timeout=WAIT_MS)

            await card.get_by_role("button", name="Cancel job").tap()
            await card.get_by_role("button", name="Really cancel?").tap()
            async with asyncio.timeout(WAIT_MS / 1000):
                assert (await process.communicate())[0] == b"cancelled\n"
        for each in (page, shared):
            await expect(each.locator(".jobprogress-card .jobprogress-word")).to_have_text("Cancelled", timeout=WAIT_MS)

        assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
            urlsplit(place.url).netloc
        }
        assert [url for url in asked if url.startswith("ws") and url.endswith("/ws/jobs")]
        answer = await fetch(
            f"{place.reports}api/jobs/train-7", headers={"Authorization": f"token {place.token}"}, validate_cert=False
        )
        assert json.loads(answer.body)["status"] == "cancelled"
