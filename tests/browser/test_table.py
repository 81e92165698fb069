"""``jobs()`` in a notebook: by the server of its page, and where there is none by the kernel."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser import MIME_TYPE, STEP_MS, Bar, NotebookFile
from tests.support.jupyter import Server, isolated_environment
from tests.support.kernel_page import kernel_page
from tests.support.redis_server import RedisServer
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

JOBS = """
from jupyter_jobprogress import Job, jobs
mine = Job({job_id!r} + "-mine", title="Mine", total=4, display=False)
mine.update(3)
failed = Job({job_id!r} + "-failed", title="Failed one", display=False)
failed.fail("no more disk")
mine.wait(0.5), failed.wait(30)
"""
SHOW = "jobs(text={job_id!r})"


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f".jobprogress-table [role=row][data-job='{job_id}']")


async def follows(page: Page, job_id: str, environment: dict[str, str]) -> None:
    """Have a table show the three jobs, and the bar of one."""
    await expect(row(page, f"{job_id}-mine")).to_contain_text("75%")
    await expect(row(page, f"{job_id}-failed")).to_contain_text("Failed")
    async with remote_job(f"{job_id}-far", environment) as far:
        await far.call("report", n=30, title="Far away")
        await expect(row(page, f"{job_id}-far")).to_contain_text("30%")
        await expect(page.locator(".jobprogress-table [role=status]")).to_have_text(re.compile("^3 "))  # of others
        await page.locator(".jobprogress-table select").select_option("failed")
        await expect(page.locator(".jobprogress-table [role=status]")).to_have_text(re.compile("^1 of "))
        await page.locator(".jobprogress-table select").select_option("")
        await far.call("report", n=60)
        await expect(row(page, f"{job_id}-far")).to_contain_text("60%")
        await row(page, f"{job_id}-far").get_by_role("button").click()
        opened = Bar(page.locator(".jobprogress-card"))
        await opened.shows(60)
        await far.call("complete")
        await opened.says("Completed")
        await expect(row(page, f"{job_id}-far")).to_contain_text("Completed")


async def test_without_a_server_the_kernel_lists_the_jobs_also_while_it_is_busy(
    browser: Browser, redis_server: RedisServer, tmp_path: Path, job_id: str
) -> None:
    async with kernel_page(browser, REDIS_URL=redis_server.url) as shown:
        await shown.run(JOBS.format(job_id=job_id))
        await shown.run(SHOW.format(job_id=job_id))
        await shown.run("import os, time")
        stop = tmp_path / "stop"
        cell = asyncio.create_task(
            shown.run(f"while not os.path.exists({str(stop)!r}): time.sleep(0.05)", within_s=3 * STEP_MS / 1000)
        )
        await follows(shown.page, job_id, isolated_environment(tmp_path, REDIS_URL=redis_server.url))
        assert not cell.done()
        stop.touch()
        await cell


async def test_where_there_is_no_job_yet_the_table_says_so(browser: Browser, job_id: str) -> None:
    async with kernel_page(browser) as shown:
        await shown.run("from jupyter_jobprogress import jobs")
        await shown.run("jobs()")
        await expect(shown.page.locator(".jobprogress-table [role=status]")).to_have_text("no jobs yet")
        await shown.run("from jupyter_jobprogress import Job\njob = Job(display=False, title='First')")
        await expect(shown.page.locator(".jobprogress-table [role=status]")).to_have_text("1 job")


@pytest.mark.parametrize("app", ["lab"], indirect=True)
async def test_in_a_page_with_a_server_the_server_lists_them(
    server: Server, make_file: Callable[[Server], NotebookFile], open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.handover, JOBS.format(job_id=job_id) + SHOW.format(job_id=job_id))
    notebook = await open_page(server, file)
    await notebook.run_all()
    await expect(row(notebook.page, f"{job_id}-mine")).to_contain_text("75%", timeout=2 * STEP_MS)

    await follows(notebook.page, job_id, file.kernel().environ)

    await notebook.save()
    (bundle,) = file.bundles()
    assert bundle[MIME_TYPE]["states"] == {}
    outputs = json.dumps(json.loads(file.path.read_text())["cells"][-1]["outputs"])
    assert not [said for said in ("Mine", "no more disk", "Far away") if said in outputs]
    notebook.check_sockets()
