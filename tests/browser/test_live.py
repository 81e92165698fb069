"""A bar is live whatever becomes of the kernel and of the page."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser import MIME_TYPE, NotebookFile
from tests.support.jupyter import TOKEN, Server, isolated_environment
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MakeFile = Callable[[Server], NotebookFile]


async def is_drawn_by_renderer(page: Page) -> None:
    await expect(page.locator(".jp-OutputArea-output.jobprogress-output")).to_have_count(1)
    await expect(page.get_by_text("Loading widget")).to_have_count(0)


async def test_a_bar_moves_while_the_kernel_is_busy(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.busy_job(job_id))
    notebook = await open_page(server, file)

    await notebook.run_all()

    bar = notebook.bar(job_id)
    await bar.says("Running")
    await bar.moves()
    await expect(notebook.page.locator(".jp-CodeCell .jp-InputPrompt")).to_have_text("[*]:")
    file.end_busy_job()
    await bar.says("Completed")
    notebook.check_sockets()


async def test_a_bar_is_live_again_after_a_reload_while_the_kernel_is_busy(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.busy_job(job_id))
    notebook = await open_page(server, file)
    await notebook.run_all()
    bar = notebook.bar(job_id)
    await bar.says("Running")
    await notebook.save()

    await notebook.reload()

    await bar.says("Running")
    await bar.moves()
    await is_drawn_by_renderer(notebook.page)
    file.end_busy_job()
    await bar.says("Completed")
    notebook.check_sockets()


async def test_a_second_browser_is_live_while_the_kernel_is_busy(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.busy_job(job_id))
    first = await open_page(server, file)
    await first.run_all()
    await first.bar(job_id).says("Running")
    await first.save()

    second = await open_page(server, file, fresh=True)

    await second.bar(job_id).says("Running")
    await second.bar(job_id).moves()
    await is_drawn_by_renderer(second.page)
    await first.bar(job_id).moves(steps=1)
    file.end_busy_job()
    for notebook in (first, second):
        await notebook.bar(job_id).says("Completed")
        notebook.check_sockets()


async def test_a_bar_outlives_the_kernel(server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str) -> None:
    file = make_file(server)
    file.write(file.handover, f"from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})")
    notebook = await open_page(server, file)
    await notebook.run_all()
    bar = notebook.bar(job_id)
    await bar.says("Waiting for the job")
    await notebook.save()
    kernel = file.kernel()

    async with remote_job(job_id, kernel.environ) as job:
        await job.call("report", n=10)
        await bar.shows(10)

        os.kill(kernel.pid, signal.SIGKILL)
        await job.call("report", n=20)
        await bar.shows(20)

        await notebook.reload()
        await bar.shows(20)
        await job.call("report", n=30)
        await bar.shows(30)
        await is_drawn_by_renderer(notebook.page)
        await job.call("complete")
        await bar.says("Completed")
    notebook.check_sockets()


async def test_another_process_reports_with_the_environment_of_the_kernel(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.handover, f"from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})")
    notebook = await open_page(server, file)
    await notebook.run_all()
    bar = notebook.bar(job_id)
    await bar.says("Waiting for the job")

    async with remote_job(job_id, file.kernel().environ) as job:
        await bar.says("Running")
        for n in (10, 40, 70):
            await job.call("report", n=n, message=f"at step {n}")
            await bar.shows(n)
            await expect(bar.card.locator(".jobprogress-message")).to_have_text(f"at step {n}")
        await job.call("fail", error="out of steps")

        await bar.says("Failed")
        await expect(bar.card.locator(".jobprogress-error")).to_have_text("out of steps")
    notebook.check_sockets()


async def test_many_bars_share_one_socket(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    job_ids = [f"{job_id}-{number}" for number in range(4)]
    file = make_file(server)
    file.write(
        file.handover,
        f"from jupyter_jobprogress import JobProgress\nJobProgress({job_ids[0]!r})",
        f"JobProgress({job_ids[1:]!r})",
        f"JobProgress({job_ids[0]!r})",
    )
    notebook = await open_page(server, file)
    await notebook.run_all()
    await expect(notebook.page.locator(".jobprogress-card")).to_have_count(5)

    async with (
        remote_job(job_ids[0], file.kernel().environ) as first,
        remote_job(job_ids[3], file.kernel().environ) as last,
    ):
        await first.call("report", n=20)
        await last.call("report", n=50)

        tracks = notebook.page.locator(".jobprogress-track")
        for index, percent in ((0, "20"), (3, "50"), (4, "20")):
            await expect(tracks.nth(index)).to_have_attribute("aria-valuenow", percent)
        await first.call("complete")
        await last.call("complete")
        await expect(notebook.page.get_by_text("Completed", exact=True)).to_have_count(3)
    notebook.check_sockets()


async def test_a_saved_untrusted_notebook_is_live(
    server: Server, make_file: MakeFile, open_page: OpenPage, job_id: str
) -> None:
    state = {"job_id": job_id, "status": "processing", "stage": "", "progress": 0.1, "message": "", "timestamp": ""}
    file = make_file(server)
    file.write("0", output={MIME_TYPE: {"job_ids": [job_id], "states": {job_id: state}}, "text/plain": job_id})
    reporter = {"JOBPROGRESS_URL": f"{server.url}jobprogress/", "JOBPROGRESS_TOKEN": TOKEN}

    async with remote_job(job_id, {**isolated_environment(server.root.parent), **reporter}) as job:
        await job.call("report", n=20)
        notebook = await open_page(server, file)
        bar = notebook.bar(job_id)
        await bar.says("Running")
        await bar.shows(20)
        await job.call("report", n=30)
        await bar.shows(30)

        contents = json.loads((await server.fetch(f"api/contents/{file.path.name}")).body)
        assert contents["content"]["cells"][-1]["metadata"]["trusted"] is False
        await is_drawn_by_renderer(notebook.page)
        await job.call("complete")
        await bar.says("Completed")
    notebook.check_sockets()
