"""Voilà and marimo, as they are installed, show a job that runs elsewhere by what their kernels hear of it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, WebSocket, expect

from tests.support.browser import LOAD_MS, Bar, NotebookFile, lab_environment
from tests.support.dashboards import marimo, voila
from tests.support.jupyter import TOKEN, jupyter_server
from tests.support.redis_server import RedisServer
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SHOW = "from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})"


def bar(page: Page, job_id: str) -> Bar:
    title = page.locator(f".jobprogress-title[title='{job_id}']")
    return Bar(page.locator(".jobprogress-card").filter(has=title))


async def follow(page: Page, url: str, job_id: str, environment: dict[str, str], why: str) -> None:
    """Have a page show a job that runs elsewhere, from its beginning to its end."""
    async with remote_job(job_id, environment) as job:
        await page.goto(url, timeout=LOAD_MS)
        shown = bar(page, job_id)
        await shown.says("Running", within_ms=LOAD_MS)
        for n in (10, 40, 70):
            await job.call("report", n=n)
            await shown.shows(n)
        await shown.card.locator(".jobprogress-open").click()
        await expect(shown.card).to_contain_text(why)
        await job.call("complete")
        await shown.says("Completed")
    # The same job runs again, as one does that runs every night.
    async with remote_job(job_id, environment) as job:
        await shown.says("Running")
        await job.call("report", n=20)
        await shown.shows(20)
        await job.call("fail", error="out of steps")
        await shown.says("Failed")


async def test_voila_alone(browser: Browser, redis_server: RedisServer, tmp_path: Path, job_id: str) -> None:
    environment = lab_environment(tmp_path, REDIS_URL=redis_server.url)
    file = NotebookFile(tmp_path, "dashboard")
    file.write(SHOW.format(job_id=job_id))
    async with voila(file.path, environment) as url, await browser.new_page() as page:
        await follow(page, url, job_id, environment, "not enabled on the server of this page")


async def test_voila_inside_a_jupyter_server_uses_its_socket(browser: Browser, tmp_path: Path, job_id: str) -> None:
    environment = lab_environment(tmp_path)
    async with jupyter_server(tmp_path, environment=environment) as server, await browser.new_page() as page:
        file = NotebookFile(server.root, "dashboard")
        file.write(SHOW.format(job_id=job_id))
        sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: sockets.append(socket))
        url = f"{server.url}voila/render/dashboard.ipynb?token={TOKEN}"
        reports = {"JOBPROGRESS_URL": f"{server.url}jobprogress/", "JOBPROGRESS_TOKEN": TOKEN}
        await follow(page, url, job_id, environment | reports, "WebSocket")
        paths = [urlsplit(socket.url).path for socket in sockets]
        assert [path for path in paths if "jobprogress" in path] == ["/jobprogress/ws/jobs"]


async def test_marimo(browser: Browser, redis_server: RedisServer, tmp_path: Path, job_id: str) -> None:
    environment = lab_environment(tmp_path, REDIS_URL=redis_server.url)
    async with marimo(SHOW.format(job_id=job_id), tmp_path, environment) as url, await browser.new_page() as page:
        await follow(page, url, job_id, environment, "this page has no Jupyter server")
        # Somebody else opens the app. Both have the same process.
        async with await browser.new_page() as second:
            await second.goto(url, timeout=LOAD_MS)
            await bar(second, job_id).says("Failed", within_ms=LOAD_MS)
            async with remote_job(job_id, environment) as job:
                await job.call("report", n=30)
                for shown in (page, second):
                    await bar(shown, job_id).shows(30)


BUSY_CELL = """
import os, time
from jupyter_jobprogress import Job, track
with Job({job_id!r}, total=100) as job:
    for n in track(range(10**6), {job_id!r} + "-loop"):
        if os.path.exists({stop!r}): break
        job.report(n=n % 100)
        time.sleep(0.05)
"""


async def test_a_job_of_a_cell_of_marimo_shows_itself_and_moves_while_the_cell_runs(
    browser: Browser, tmp_path: Path, job_id: str
) -> None:
    environment = lab_environment(tmp_path)
    stop = tmp_path / "stop"
    code = BUSY_CELL.format(job_id=job_id, stop=str(stop)).strip()
    async with marimo(code, tmp_path, environment) as url, await browser.new_page() as page:
        await page.goto(url, timeout=LOAD_MS)
        shown, loop = bar(page, job_id), bar(page, f"{job_id}-loop")
        await shown.says("Running", within_ms=LOAD_MS)
        await loop.says("Running")
        await shown.moves()
        stop.touch()
        await shown.says("Completed")
        await loop.says("Completed")
        assert "jobprogress" not in (tmp_path / "dashboard.log").read_text()
