"""Where the labextension is disabled, the anywidget draws the bar."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.support.browser import MIME_TYPE, App, NotebookFile, lab_environment
from tests.support.jupyter import Server, jupyter_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def server_without_renderer(app: App, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("plain")
    async with jupyter_server(folder, app=app, environment=lab_environment(folder, renderer=False)) as server:
        yield server


async def test_without_the_renderer_the_widget_draws_and_moves_while_the_kernel_is_busy(
    server_without_renderer: Server, make_file: Callable[[Server], NotebookFile], open_page: OpenPage, job_id: str
) -> None:
    server = server_without_renderer
    file = make_file(server)
    file.write(file.busy_job(job_id))
    notebook = await open_page(server, file)
    config = json.loads(await notebook.page.locator("#jupyter-config-data").text_content() or "")
    assert "jupyter_jobprogress" in config["disabledExtensions"]

    await notebook.run_all()

    bar = notebook.bar(job_id)
    await bar.says("Running")
    await bar.moves()
    await expect(notebook.page.locator(".jp-CodeCell .jp-InputPrompt")).to_have_text("[*]:")
    await expect(notebook.page.locator(".jobprogress-card")).to_have_count(1)
    await expect(notebook.page.locator(".jobprogress-output")).to_have_count(0)
    file.end_busy_job()
    # The kernel has put the end into the output, as it will be in the file.
    output = notebook.page.locator(".jp-OutputArea-output", has_text=job_id)
    await expect(output).to_contain_text("Completed")
    await expect(notebook.page.locator(".jobprogress-card")).to_have_count(0)
    notebook.check_sockets()
    await notebook.save()
    (bundle,) = file.bundles()
    assert bundle[MIME_TYPE]["states"][job_id]["status"] == "completed"
    assert "Completed" in "".join(bundle["text/html"])
    assert not [kind for kind in bundle if "widget" in kind]
