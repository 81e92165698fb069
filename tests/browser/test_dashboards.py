"""Voilà and marimo, as they are installed, show a job that runs elsewhere by what their kernels hear of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.browser import LOAD_MS, Bar, NotebookFile, lab_environment
from tests.support.dashboards import marimo, voila
from tests.support.redis_server import RedisServer
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SHOW = "from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})"


def bar(page: Page, job_id: str) -> Bar:
    title = page.locator(f".jobprogress-title[title='{job_id}']")
    return Bar(page.locator(".jobprogress-card").filter(has=title))


async def follow(page: Page, url: str, job_id: str, environment: dict[str, str], why: str) -> None:
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


async def test_voila_alone(browser: Browser, redis_server: RedisServer, tmp_path: Path, job_id: str) -> None:
    environment = lab_environment(tmp_path, REDIS_URL=redis_server.url)
    file = NotebookFile(tmp_path, "dashboard")
    file.write(SHOW.format(job_id=job_id))
    async with voila(file.path, environment) as url, await browser.new_page() as page:
        await follow(page, url, job_id, environment, "not enabled on the server of this page")


async def test_marimo(browser: Browser, redis_server: RedisServer, tmp_path: Path, job_id: str) -> None:
    environment = lab_environment(tmp_path, REDIS_URL=redis_server.url)
    async with marimo(SHOW.format(job_id=job_id), tmp_path, environment) as url, await browser.new_page() as page:
        await follow(page, url, job_id, environment, "this page has no Jupyter server")
