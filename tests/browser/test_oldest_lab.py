"""The labextension is a container written by hand: it must load in the oldest JupyterLab and Notebook, too."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from jupyter_jobprogress import Settings
from jupyter_jobprogress.store.remote import RemoteStore
from tests.support.browser import MIME_TYPE, App, NotebookFile, NotebookPage, lab_environment
from tests.support.install import ROOT, fresh_venv
from tests.support.jobs import make_state
from tests.support.jupyter import TOKEN, jupyter_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="session"),
]

OLDEST = ("jupyterlab==4.0.13", "notebook==7.0.8")


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_venv(tmp_path_factory.mktemp("oldest") / "venv", [ROOT, *OLDEST]) / "python"


async def test_an_untrusted_bar_is_live_there(browser: Browser, app: App, oldest: Path, tmp_path: Path) -> None:
    job_id = f"job-{secrets.token_hex(4)}"
    environment = lab_environment(tmp_path)
    async with (
        jupyter_server(tmp_path, app=app, environment=environment, python=oldest) as server,
        await browser.new_context() as context,
    ):
        store = RemoteStore(Settings(url=f"{server.url}jobprogress/", token=TOKEN, deadline_s=10))
        receipt = await store.publish(make_state(job_id, progress=0.25), start=True)
        file = NotebookFile(server.root, "saved")
        state = {"job_id": job_id, "status": "queued", "stage": "", "progress": 0, "message": "", "timestamp": ""}
        file.write(
            "0",
            output={
                MIME_TYPE: {"job_ids": [job_id], "states": {job_id: state}},
                "text/html": "<b>static</b>",
                "text/plain": job_id,
            },
        )

        notebook = await NotebookPage.open(context, app, server, file)

        bar = notebook.bar(job_id)
        await bar.shows(25, within_ms=60_000)
        await expect(notebook.page.locator(".jp-OutputArea-output.jobprogress-output")).to_have_count(1)
        await store.publish(make_state(job_id, progress=0.5, run=receipt.run))
        await bar.shows(50)
        await store.publish(make_state(job_id, "completed", progress=1.0, run=receipt.run))
        await bar.says("Completed")
        notebook.check_sockets()
        await store.close()
