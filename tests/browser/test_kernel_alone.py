"""Where a page has no server, as in VS Code and Colab, the kernel feeds the bar of whatever job, also while busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.test_gallery import HOSTILE
from tests.support.browser import Bar
from tests.support.jupyter import isolated_environment
from tests.support.kernel_page import KernelPage, kernel_page
from tests.support.redis_server import RedisServer
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shown(browser: Browser, redis_server: RedisServer) -> AsyncIterator[KernelPage]:
    async with kernel_page(browser, REDIS_URL=redis_server.url) as shown:
        yield shown


def bar(shown: KernelPage, job_id: str) -> Bar:
    title = shown.page.locator(f".jobprogress-title[title='{job_id}']")
    return Bar(shown.page.locator(".jobprogress-card").filter(has=title))


BUSY = {
    "sleep": "time.sleep({})",
    "loop": "end_s = time.monotonic() + {}\nwhile time.monotonic() < end_s: sum(range(1000))",
}


@pytest.mark.parametrize("busy", ["sleep", "loop"])
async def test_a_job_elsewhere_moves_four_times_a_second_while_the_kernel_is_busy(
    busy: str, shown: KernelPage, redis_server: RedisServer, tmp_path: Path, job_id: str
) -> None:
    async with remote_job(job_id, isolated_environment(tmp_path, REDIS_URL=redis_server.url)) as job:
        await shown.run(f"import time\nfrom jupyter_jobprogress import JobProgress\nbar = JobProgress({job_id!r})\nbar")
        await bar(shown, job_id).says("Running")
        cell = asyncio.create_task(shown.run(BUSY[busy].format(3.5)))
        await shown.page.evaluate("host.heard.length = 0")

        for n in range(1, 31):
            await job.call("report", n=n)
            await asyncio.sleep(0.1)

        came_ms: list[float] = await shown.page.evaluate("host.heard.map(({ atMs }) => atMs)")
        assert not cell.done()
        await cell
        assert len(came_ms) / 3 >= 4
        await bar(shown, job_id).shows(30)
        await bar(shown, job_id).card.locator(".jobprogress-open").click()
        await expect(shown.page.get_by_text("Kernel: this page has no Jupyter server.")).to_be_visible()
        await job.call("complete", result={"answer": 42})
        # The output is now what the file will show.
        output = shown.page.locator("section", has_text=job_id)
        await expect(output.locator("strong")).to_have_text(job_id)
        await expect(output).to_contain_text("Completed")
        await expect(output.locator(".jobprogress-card")).to_have_count(0)


async def test_a_job_of_the_busy_kernel_moves_and_is_live_again_after_a_reload(
    shown: KernelPage, job_id: str, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    await shown.run("import os, time\nfrom jupyter_jobprogress import Job, current_job")
    await shown.run(f"job = Job({job_id!r}, total=1000)")
    await bar(shown, job_id).says("Running")
    cell = asyncio.create_task(shown.run(f"while not os.path.exists({str(stop)!r}): job.update(); time.sleep(0.05)"))
    await bar(shown, job_id).moves()
    stop.touch()
    await cell

    await shown.reload()

    await bar(shown, job_id).says("Running")
    await shown.run("job.report(n=900)")
    await bar(shown, job_id).shows(90)
    await shown.run("job.cancel()")
    await expect(shown.page.locator("section", has_text=job_id)).to_contain_text("Cancelled")
    await expect(shown.page.locator("section strong", has_text=job_id)).to_have_count(1)


HOSTILE_JOBS = """
from jupyter_jobprogress import Job
jobs = []
for number, evil in enumerate({payloads!r}):
    job = Job(f"{job_id}-{{number}}", title=evil, unit=evil, total=2)
    with job.stage(evil):
        job.log(**{{evil: 1}})
        job.report(message=evil, metadata={{evil: evil, "more": [evil]}})
        job.update()
    jobs.append(job)
"""
ELEMENTS = "document.querySelectorAll('script, img, iframe, a, object, embed, [onload], [onerror]').length"


async def test_hostile_texts_stay_texts_live_reloaded_and_at_the_end(shown: KernelPage, job_id: str) -> None:
    page, texts = shown.page, sorted(HOSTILE)
    await shown.run(HOSTILE_JOBS.format(payloads=HOSTILE, job_id=job_id))
    titles = page.locator(".jobprogress-title")
    await expect(titles).to_have_count(len(HOSTILE))
    await expect(page.locator(".jobprogress-word", has_text="Running")).to_have_count(len(HOSTILE))
    for button in await page.locator(".jobprogress-open").all():
        await button.click()
    await expect(page.get_by_text("Metadata")).to_have_count(len(HOSTILE))
    assert sorted(await titles.all_text_contents()) == texts
    assert await page.evaluate(ELEMENTS) == 0

    await shown.reload()

    page = shown.page
    titles = page.locator(".jobprogress-title")
    await expect(titles).to_have_count(len(HOSTILE))
    assert sorted(await titles.all_text_contents()) == texts
    assert await page.evaluate(ELEMENTS) == 0

    await shown.run("for number, job in enumerate(jobs): job.fail(job.id) if number % 2 else job.complete()")
    await expect(titles).to_have_count(0)
    assert set(texts) <= set(await page.locator("section strong").all_text_contents())
    assert await page.evaluate(ELEMENTS) == 0
    assert await page.evaluate("globalThis.PWNED") is None
