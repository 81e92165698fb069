"""The quickstart notebook, whole, as its readers see it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.support.browser import App, NotebookFile, lab_environment
from tests.support.jupyter import Server, jupyter_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"

# Keeps each text that stands where the newest metrics do, however briefly.
RECORD_METRICS = """() => {
  const seen = (window.seenMetrics = new Set());
  new MutationObserver(() => {
    for (const el of document.querySelectorAll(".jobprogress-message")) seen.add(el.textContent);
  }).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def quickstart_server(app: App, tmp_path: Path) -> AsyncIterator[Server]:
    async with jupyter_server(tmp_path, app=app, environment=lab_environment(tmp_path)) as server:
        shutil.copy(QUICKSTART, server.root)
        yield server


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("JOBPROGRESS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("app", ["lab"], indirect=True)
async def test_the_quickstart_runs_whole(quickstart_server: Server, open_page: OpenPage, screenshots: Path) -> None:
    file = NotebookFile(quickstart_server.root, "quickstart")
    notebook = await open_page(quickstart_server, file)
    page = notebook.page
    # Tall enough for all cells: JupyterLab draws those that are out of sight later, and a screenshot has no scroll bar.
    await page.set_viewport_size({"width": 1280, "height": 2600})
    await page.evaluate(RECORD_METRICS)

    await notebook.run_all()

    await expect(page.locator(".jobprogress-percent").first).to_have_text(re.compile("^[3-9][0-9]"), timeout=30_000)
    await page.screenshot(path=screenshots / "quickstart-running.png")
    await expect(page.locator(".jobprogress-word")).to_have_text(["Completed"] * 3, timeout=60_000)
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    await expect(prompts).to_have_text([re.compile(r"\[\d+\]:")] * await prompts.count())
    seen: list[str] = await page.evaluate("[...window.seenMetrics]")
    for name in ("loss", "accuracy"):
        assert len([text for text in seen if f"{name} " in text]) >= 5
    await page.screenshot(path=screenshots / "quickstart-light.png")
    await notebook.menu("Settings", "Theme", "JupyterLab Dark")
    await expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    # JupyterLab covers itself while it changes the theme.
    await expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    await page.screenshot(path=screenshots / "quickstart-dark.png")
    await notebook.save()
    cells = json.loads(file.path.read_text())["cells"]
    kinds = [output["output_type"] for cell in cells for output in cell.get("outputs", [])]
    assert "error" not in kinds
    assert len(file.bundles()) == 3
    notebook.check_sockets()
