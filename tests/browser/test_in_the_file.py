"""What a notebook file says of its jobs when nothing runs: run by nbclient, exported by nbconvert, opened again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import pytest_asyncio
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import Browser, expect

from tests.browser.test_gallery import HOSTILE
from tests.support.browser import MIME_TYPE
from tests.support.kernel import kernel_environment
from tests.support.kernel_page import VIEW, bare_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ENDED = """
from jupyter_jobprogress import Job, JobProgress, track
with Job("ended", title="Train", total=4, unit="epochs") as job:
    job.update(4)
    job.report(metadata={"key": "sesame-metadata"})
    job.complete({"answer": "sesame-result"}, message="All is well")
"""
LATER = """
later = Job("later", title="Embed", total=3)
"""
FAILED = """
later.fail("out of memory")
for item in track(range(5), "loop", title="Loop"):
    pass
"""
OPEN = """
going_on = Job("open", title="Sweep", total=10)
going_on.update(4)
bar = JobProgress("open")
assert not bar.wait(0.2)
bar
"""
HOSTILE_JOBS = """
for number, evil in enumerate({payloads!r}):
    job = Job(f"evil-{{number}}", title=evil, unit=evil, total=2)
    job.log(**{{evil: 1}})
    job.report(stage=evil, message=evil, metadata={{evil: evil}})
    job.update()
    job.fail(evil) if number % 2 else job.complete({{evil: evil}}, message=evil)
[JobProgress(f"open-{{number}}") for number in range(10)]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """Give a notebook that ran without a page, with the state of its widgets."""
    sources = [ENDED, LATER, FAILED, OPEN, HOSTILE_JOBS.format(payloads=HOSTILE)]
    notebook = new_notebook(cells=[new_code_cell(source.strip()) for source in sources])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    await client.async_execute(env=kernel_environment(JOBPROGRESS_TOKEN="sesame-token"))
    path = tmp_path_factory.mktemp("file") / "executed.ipynb"
    nbformat.write(notebook, path)
    return nbformat.read(path, as_version=4)


def bundles(notebook: NotebookNode, cell: int) -> list[dict[str, Any]]:
    return [output["data"] for output in notebook.cells[cell].outputs if "data" in output]


def models(notebook: NotebookNode) -> dict[str, dict[str, Any]]:
    """Return the saved widgets by their ids."""
    saved = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    return {model_id: model["state"] for model_id, model in saved.items()}


async def test_without_a_page_an_output_is_a_line_of_text(executed: NotebookNode) -> None:
    (ended,), (later,), (loop,) = (bundles(executed, cell) for cell in range(3))

    assert re.fullmatch(r"Train: Completed · in <?[\d.]+ ?s · 4 epochs · All is well", ended["text/plain"])
    # It ended in the cell after that which shows it.
    assert re.match(r"Embed: Failed · after <?[\d.]+ ?s · at 0% · 0 / 3 ·", later["text/plain"])
    assert later["text/plain"].endswith("out of memory")
    assert re.match(r"Loop: Completed · in <?[\d.]+ ?s · 5", loop["text/plain"])


async def test_an_end_is_static_html_and_ours_and_needs_no_widget(executed: NotebookNode) -> None:
    for cell in range(3):
        (data,) = bundles(executed, cell)
        assert set(data) == {MIME_TYPE, "text/html", "text/plain"}
        (state,) = data[MIME_TYPE]["states"].values()
        assert state["status"] in ("completed", "failed")


async def test_a_job_that_goes_on_is_saved_as_of_the_end_of_the_cell(executed: NotebookNode) -> None:
    shown = bundles(executed, 3)[-1]

    state = models(executed)[shown[VIEW]["model_id"]]["saved"]["open"]
    assert (state["status"], state["n"]) == ("processing", 4)


async def test_nothing_secret_is_in_the_file(executed: NotebookNode) -> None:
    written = json.dumps([[cell.outputs for cell in executed.cells], executed.metadata])

    for secret in ("sesame", '"origin"', '"pid"', '"metadata": {"key"', "://"):
        assert secret not in written.replace("http://www.w3.org/2000/svg", "")


async def test_ten_bars_store_one_copy_of_the_code(executed: NotebookNode) -> None:
    saved = models(executed)
    bars = [model for model in saved.values() if "job_ids" in model]

    assert len(bars) >= 10
    assert len([model for model in saved.values() if len(json.dumps(model)) > 4096]) == 1
    assert max(len(model["_esm"]) for model in bars) <= 2048


async def test_exported_html_shows_the_ends_without_network_and_runs_nothing(
    executed: NotebookNode, browser: Browser, tmp_path: Path
) -> None:
    html, _ = HTMLExporter(sanitize_html=False).from_notebook_node(executed)
    path = tmp_path / "exported.html"
    path.write_text(html)
    context = await browser.new_context(offline=True)
    page = await context.new_page()

    await page.goto(path.as_uri())

    outputs = page.locator(".jp-OutputArea-output")
    await expect(outputs.nth(0)).to_contain_text("Train")
    await expect(outputs.nth(0)).to_contain_text("Completed")
    await expect(outputs.nth(1)).to_contain_text("out of memory")
    assert set(HOSTILE) <= set(await outputs.locator("strong").all_text_contents())
    assert await page.locator(".jp-OutputArea-output").locator("script[src], img, iframe, svg, a, b").count() == 0
    assert await page.evaluate("window.PWNED") is None
    await context.close()


async def test_where_nbconvert_has_to_sanitize_no_markup_is_to_be_read(executed: NotebookNode) -> None:
    html, _ = HTMLExporter(sanitize_html=True).from_notebook_node(executed)

    assert ">Train</strong> · <span" in html
    assert not re.findall("&lt;(?:div|span|strong|pre|progress)[^a-z]", html)


async def test_saved_widgets_draw_their_last_state_without_kernel_and_socket(
    executed: NotebookNode, browser: Browser
) -> None:
    page = await bare_page(browser)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for model_id, state in models(executed).items():
        await page.evaluate("arguments => host.opened(...arguments)", [model_id, state])

    for number, (model_id, state) in enumerate(models(executed).items()):
        if "job_ids" in state:
            await page.evaluate("arguments => host.shown(...arguments)", [f"o{number}", {VIEW: {"model_id": model_id}}])

    cards = page.locator(".jobprogress-card")
    going_on = cards.filter(has=page.locator(".jobprogress-title[title='Sweep']")).first
    await expect(going_on).to_contain_text("Running when saved")
    await expect(going_on).to_contain_text("40%")
    assert set(HOSTILE) <= set(await cards.locator(".jobprogress-title").all_text_contents())
    assert await page.locator(".jobprogress-card").locator("script, img, iframe, a, b").count() == 0
    assert await page.evaluate("window.PWNED") is None
    assert errors == []
    await page.close()
