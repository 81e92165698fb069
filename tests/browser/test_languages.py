"""Numbers, times and directions as readers of other languages write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser import gallery
from tests.browser.conftest import VIEWPORT
from tests.support.browser import App, NotebookFile, NotebookPage
from tests.support.jupyter import Server
from tests.support.page_server import page_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WAIT_MS = 30_000

RUNNING = {"progress": 0.42, "n": 5264, "total": 12534, "unit": "batches", "rate_per_s": 18.4, "eta_s": 395}

WRITTEN = {
    "en-US": ("42%", "5,264 / 12,534 batches", "18.4 batches/s"),
    "de-DE": ("42\N{NO-BREAK SPACE}%", "5.264 / 12.534 batches", "18,4 batches/s"),
    "ja-JP": ("42%", "5,264 / 12,534 batches", "18.4 batches/s"),
    "ar-EG": ("٤٢٪\N{ARABIC LETTER MARK}", "٥٬٢٦٤ / ١٢٬٥٣٤ batches", "١٨٫٤ batches/s"),  # noqa: RUF001 — its own digits
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gallery.build(tmp_path_factory.mktemp("gallery"))


@pytest.mark.parametrize("locale", WRITTEN)
async def test_numbers_are_written_as_the_browser_writes_them(browser: Browser, url: str, locale: str) -> None:
    percent, count, rate = WRITTEN[locale]
    async with page_server() as server, await browser.new_page(locale=locale) as page:
        server.report("train", **RUNNING)
        await page.goto(url)
        await page.evaluate("([url, ids]) => { watch(url, ids) }", [server.url, ["train"]])

        shown = page.locator(".jobprogress-percent")
        await expect(shown).to_have_text(percent, timeout=WAIT_MS)
        facts = page.locator(".jobprogress-facts")
        await expect(facts).to_contain_text(count)
        await expect(facts).to_contain_text(rate)
        # A reader of the screen gets the number by itself, and the words beside it.
        await expect(page.locator(".jobprogress-track")).to_have_attribute("aria-valuenow", "42")


@pytest.mark.parametrize("app", ["lab"], indirect=True)
async def test_in_a_lab_that_reads_from_right_to_left_a_bar_does_too(
    browser: Browser, server: Server, app: App, job_id: str, tmp_path: Path
) -> None:
    file = NotebookFile(server.root, f"nb-{job_id}")
    file.write(
        "from jupyter_jobprogress import Job\n"
        f"job = Job({job_id!r}, title='تدريب النموذج', total=100)\n"
        "job.update(42)\n"
        "job.report(stage='المرحلة الثانية', message='كل شيء بخير')\n"
        "job"
    )
    async with await browser.new_context(viewport=VIEWPORT, locale="ar-EG") as context:
        notebook = await NotebookPage.open(context, app, server, file)
        page = notebook.page
        await notebook.run_all()
        card = page.locator(".jp-OutputArea-output .jobprogress-card")
        await expect(card.locator(".jobprogress-track")).to_have_attribute("aria-valuenow", "42", timeout=WAIT_MS)

        # What a translation of JupyterLab into such a language sets.
        await page.evaluate("document.documentElement.dir = 'rtl'")

        track, fill = card.locator(".jobprogress-track"), card.locator(".jobprogress-fill")
        title, percent = card.locator(".jobprogress-title"), card.locator(".jobprogress-percent")
        boxes = [await part.bounding_box() for part in (track, fill, title, percent)]
        around, filled, name, number = (box for box in boxes if box is not None)
        end = around["x"] + around["width"]
        assert abs(filled["x"] + filled["width"] - end) < 2, "it grows from the right"
        assert filled["width"] < 0.5 * around["width"]
        assert name["x"] > around["x"] > number["x"], "the title is at the right, the percentage at the left"
        await expect(percent).to_have_text(WRITTEN["ar-EG"][0])
        assert await card.evaluate("el => el.scrollWidth <= el.clientWidth + 1")
        await page.screenshot(path=tmp_path / "rtl.png")
        await page.close()
