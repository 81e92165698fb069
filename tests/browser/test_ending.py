"""How a job ended is kept in the saved notebook, and nothing that should not leave the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.support.browser import MIME_TYPE, NotebookFile
from tests.support.jupyter import TOKEN, Server
from tests.support.remote_job import remote_job

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

JOBS = """
from jupyter_jobprogress import Job
good, bad = Job("{job_id}-good", total=4, unit="step"), Job("{job_id}-bad", total=4)
for _ in range(4):
    good.update()
good.complete({{"answer": 42}}, message="All is <b>well</b>")
bad.fail("out of steps")
good.wait(30), bad.wait(30)
"""


async def test_the_end_is_frozen_into_the_saved_notebook(
    server: Server, make_file: Callable[[Server], NotebookFile], open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.handover, JOBS.format(job_id=job_id))
    notebook = await open_page(server, file)
    await notebook.run_all()
    await notebook.bar(f"{job_id}-good").says("Completed")
    await notebook.bar(f"{job_id}-bad").says("Failed")

    await notebook.save()

    good, bad = file.bundles()
    assert good[MIME_TYPE]["job_ids"] == [f"{job_id}-good"]
    state = good[MIME_TYPE]["states"][f"{job_id}-good"]
    assert (state["status"], state["progress"], state["n"]) == ("completed", 1, 4)
    html = "".join(good["text/html"])
    assert "Completed" in html
    assert "All is &lt;b&gt;well&lt;/b&gt;" in html
    assert "Completed" in "".join(good["text/plain"])
    assert bad[MIME_TYPE]["states"][f"{job_id}-bad"]["status"] == "failed"
    assert "out of steps" in "".join(bad["text/html"])
    written = file.path.read_text()
    kernel = file.kernel().environ
    for secret in (TOKEN, kernel["JOBPROGRESS_TOKEN"], kernel["JOBPROGRESS_URL"], server.url, "token", "://"):
        assert secret not in written
    notebook.check_sockets()

    await notebook.reload()
    await notebook.bar(f"{job_id}-good").says("Completed")
    await notebook.bar(f"{job_id}-bad").says("Failed")
    # The file holds what the line shows; the server still has the rest.
    await notebook.bar(f"{job_id}-good").card.locator(".jobprogress-open").click()
    result = notebook.page.locator(".jobprogress-section", has_text="Result")
    await expect(result.locator(".jobprogress-pair")).to_have_text("answer42")
    notebook.check_sockets()


@pytest.mark.parametrize("app", ["lab"], indirect=True)
async def test_the_end_is_frozen_after_a_reload_and_without_the_kernel_and_so_is_that_of_the_next_run(
    server: Server, make_file: Callable[[Server], NotebookFile], open_page: OpenPage, job_id: str
) -> None:
    file = make_file(server)
    file.write(file.handover, f"from jupyter_jobprogress import JobProgress\nJobProgress({job_id!r})")
    notebook = await open_page(server, file)
    await notebook.run_all()
    await notebook.bar(job_id).says("Waiting for the job")
    await notebook.save()
    kernel = file.kernel()

    async with remote_job(job_id, kernel.environ) as job:
        await notebook.bar(job_id).says("Running")
        os.kill(kernel.pid, signal.SIGKILL)
        await notebook.reload()
        await notebook.bar(job_id).says("Running")
        await job.call("fail", error="out of steps")
        await notebook.bar(job_id).says("Failed")
    await notebook.save()

    (bundle,) = file.bundles()
    assert bundle[MIME_TYPE]["states"][job_id]["error"] == "out of steps"
    assert "out of steps" in "".join(bundle["text/html"])
    assert "Failed" in "".join(bundle["text/plain"])

    # It runs again, beside an output that holds its end.
    await notebook.reload()
    await notebook.bar(job_id).says("Failed")
    async with remote_job(job_id, kernel.environ) as job:
        await notebook.bar(job_id).says("Running")
        await job.call("report", n=30)
        await notebook.bar(job_id).shows(30)
        await job.call("complete")
        await notebook.bar(job_id).says("Completed")
    await notebook.save()
    (bundle,) = file.bundles()
    assert bundle[MIME_TYPE]["states"][job_id]["status"] == "completed"
    assert "Completed" in "".join(bundle["text/plain"])
