"""``jupyter nbconvert --execute``, as a command and without a page: what its HTML says of the jobs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import nbformat
import pytest
import pytest_asyncio
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import Browser, expect

from tests.support.kernel import kernel_environment
from tests.support.kernel_page import bare_page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CELLS = [
    "from jupyter_jobprogress import Job, track\n"
    "for epoch in track(range(7), 'loop', title='Epochs', unit='epochs'): pass",
    "with Job('train', title='Train', total=4) as job:\n    job.update(3)\n    job.fail('no more disk')",
    "going_on = Job('open', title='Sweep', total=10)\ngoing_on.update(4)",
]

# What the script does that nbconvert puts into its HTML, from a CDN: widgets are made of the states in the page, and a
# view takes the place of each output that names one.
EMBED = """async () => {
  const found = (kind) => [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)]
    .map((script) => [script, JSON.parse(script.textContent)]);
  for (const [, { state }] of found("state"))
    for (const [id, model] of Object.entries(state)) await host.opened(id, model.state);
  for (const [script, view] of found("view")) {
    const el = document.createElement("div");
    el.id = view.model_id;
    script.replaceWith(el);
    await host.shown(el.id, { "application/vnd.jupyter.widget-view+json": view });
  }
}"""


async def nbconvert(folder: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter", "nbconvert", *arguments),
        cwd=folder,
        env=kernel_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
    assert b"jobprogress" not in said


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["at once", "through a notebook"])
async def html(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("nbconvert")
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS], metadata={"kernelspec": kernelspec})
    nbformat.write(notebook, folder / "jobs.ipynb")
    if request.param == "at once":
        await nbconvert(folder, "--execute", "--to", "html", "jobs.ipynb")
    else:
        await nbconvert(folder, "--execute", "--to", "notebook", "--inplace", "jobs.ipynb")
        await nbconvert(folder, "--to", "html", "jobs.ipynb")
    return (folder / "jobs.html").read_text()


async def test_the_html_shows_how_jobs_ended_and_its_widgets_those_that_went_on(browser: Browser, html: str) -> None:
    page = await bare_page(browser, html)
    outputs = page.locator(".jp-OutputArea-output")

    await expect(outputs.nth(0)).to_contain_text("Epochs")
    await expect(outputs.nth(0)).to_contain_text("Completed")
    await expect(outputs.nth(1)).to_contain_text("no more disk")
    await expect(page.locator(".jobprogress-card")).to_have_count(0)
    await page.evaluate(EMBED)

    card = page.locator(".jobprogress-card")
    await expect(card).to_have_count(1)
    await expect(card.locator(".jobprogress-title")).to_have_text("Sweep")
    await expect(card.locator(".jobprogress-word")).to_have_text("Running when saved")
    await expect(card.locator(".jobprogress-percent")).to_have_text("40%")
    await expect(outputs.nth(1)).to_contain_text("Failed")
    await page.close()
