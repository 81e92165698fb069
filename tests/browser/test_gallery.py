"""Every way a bar can look, by the real view, without a server: read by axe-core, at every width, in every scheme."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser import gallery

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HEIGHT = 6500
"""Tall enough for the whole page: what is out of sight is not drawn."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gallery.build(tmp_path_factory.mktemp("gallery"))


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    page = await browser.new_page(viewport={"width": 1232, "height": HEIGHT})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    yield page
    await page.close()
    assert errors == []


async def test_every_state_differs_by_its_sign_and_by_its_words(page: Page) -> None:
    seen: list[list[str]] = await page.evaluate(
        """() => [...document.querySelectorAll("[data-name]")].map((card) => [
          card.querySelector("path").getAttribute("d"), card.querySelector(".jobprogress-status").textContent])"""
    )

    assert len(seen) == 21
    assert len({words for _, words in seen}) >= 19  # running, of unknown size and in parts are one word
    assert len({sign for sign, _ in seen}) == 18


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced", ["none", "active"])
async def test_axe_finds_nothing(
    page: Page, scheme: Literal["light", "dark"], forced: Literal["none", "active"]
) -> None:
    await page.emulate_media(color_scheme=scheme, forced_colors=forced, reduced_motion="reduce")

    assert await gallery.violations(page) == []


@pytest.mark.parametrize("wish", ["prefers-contrast", "forced-colors", "a theme of JupyterLab"])
async def test_who_needs_contrast_sees_how_far_a_bar_has_to_go(page: Page, wish: str) -> None:
    track = page.locator(".jobprogress-card .jobprogress-track").first
    border = "el => getComputedStyle(el).borderTopWidth"
    assert await track.evaluate(border) == "0px"

    await page.emulate_media(
        contrast="more" if wish == "prefers-contrast" else "no-preference",
        forced_colors="active" if wish == "forced-colors" else "none",
    )
    if wish == "a theme of JupyterLab":
        await page.evaluate("document.body.dataset.jpThemeName = 'JupyterLab Dark High Contrast'")

    assert await track.evaluate(border) == "1px"
    assert await gallery.violations(page) == []


@pytest.mark.parametrize("width", [240, 420, 760, 1200, 1900])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
async def test_nothing_sticks_out(page: Page, width: int, direction: str) -> None:
    await page.evaluate("dir => { document.documentElement.dir = dir }", direction)
    await page.set_viewport_size({"width": width + 32, "height": HEIGHT})

    wide: list[Any] = await page.evaluate(
        """() => [...document.querySelectorAll(".jobprogress-board, .jobprogress-row, .jobprogress-details")]
          .filter((el) => el.scrollWidth > el.clientWidth + 1)
          .map((el) => [el.className, el.scrollWidth, el.clientWidth])"""
    )

    assert wide == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


GAPS = """() => [...document.querySelectorAll("[data-name]")].flatMap((card) => {
  const said = [...card.querySelectorAll(".jobprogress-message, .jobprogress-error")].filter((el) => el.clientWidth);
  if (!said.some((el) => el.scrollWidth > el.clientWidth)) return [];
  const { top } = card.querySelector(".jobprogress-status").getBoundingClientRect();
  const row = [...card.querySelectorAll(".jobprogress-status, .jobprogress-fact"), ...said]
    .map((el) => el.getBoundingClientRect())
    .filter((box) => box.width > 0 && Math.abs(box.top - top) < 2)
    .sort((a, b) => a.left - b.left);
  return [Math.max(...row.slice(1).map((box, index) => Math.round(box.left - row[index].right)))];
})"""


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
async def test_no_text_is_cut_where_there_is_room_beside_it(page: Page, direction: str) -> None:
    await page.set_viewport_size({"width": 792, "height": HEIGHT})
    await page.evaluate("dir => { document.documentElement.dir = dir }", direction)

    gaps: list[int] = await page.evaluate(GAPS)

    assert gaps == [14] * len(gaps)
    assert gaps


async def test_what_is_said_begins_beside_the_status_in_a_page_from_right_to_left(page: Page) -> None:
    await page.set_viewport_size({"width": 792, "height": HEIGHT})
    await page.evaluate("document.documentElement.dir = 'rtl'")

    ends: list[float] = await page.evaluate(
        """() => [...document.querySelectorAll("[data-name] .jobprogress-message")].filter((el) => el.firstChild)
          .map((el) => {
            const range = document.createRange();
            range.selectNodeContents(el);
            return el.getBoundingClientRect().right - range.getBoundingClientRect().right;
          })"""
    )

    assert len(ends) > 10
    assert max(ends) < 1


async def test_a_narrow_table_has_room_for_the_names_of_jobs(page: Page) -> None:
    await page.set_viewport_size({"width": 272, "height": HEIGHT})
    row = page.locator(".jobprogress-table [data-job]").first

    name: dict[str, float] = await row.locator(".jobprogress-td").first.evaluate("el => el.getBoundingClientRect()")

    assert name["width"] > 120
    # The word is there for machines; its cell shows the sign alone.
    assert await row.locator(".jobprogress-name").inner_text() == "Running"
    assert await row.locator(".jobprogress-word").evaluate("el => el.getBoundingClientRect().width") == 12


async def test_all_can_be_reached_and_worked_by_keyboard(page: Page) -> None:
    first = page.locator(".jobprogress-open").nth(21)
    await first.focus()
    await expect(first).to_have_attribute("aria-expanded", "true")
    outline = await first.evaluate("el => getComputedStyle(el).outlineStyle")
    await page.keyboard.press("Enter")

    await expect(first).to_have_attribute("aria-expanded", "false")
    assert outline in ("solid", "auto") or await first.evaluate("el => el.matches(':focus-visible')")


async def test_reduced_motion_moves_nothing(page: Page) -> None:
    await page.emulate_media(reduced_motion="reduce")

    assert await page.evaluate("document.getAnimations().length") == 0


async def test_a_thousand_rows_are_few_elements_and_sort_and_filter(page: Page) -> None:
    table = page.locator(".jobprogress-table")
    rows = table.locator("[role=row][data-job]")
    assert await rows.count() < 40
    await table.get_by_role("columnheader", name="Left").get_by_role("button").click()
    await expect(rows.first).to_contain_text("Train 0")
    await table.get_by_role("searchbox").fill("gpu-3")
    await expect(table.get_by_role("status")).to_have_text("125 of 1,000 jobs")
    await table.locator("select").select_option("failed")
    await expect(table.get_by_role("status")).not_to_have_text("125 of 1,000 jobs")
    assert set(await rows.locator(".jobprogress-name").all_text_contents()) <= {"Failed"}
    await table.get_by_role("searchbox").fill("")
    await table.locator("select").select_option("")

    most = await table.locator(".jobprogress-scroll").evaluate(
        """async (el) => {
          let most = 0;
          for (let top = 0; top < 40000; top += 1000) {
            el.scrollTop = top;
            await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
            most = Math.max(most, el.querySelectorAll("[data-job]").length);
          }
          return most;
        }"""
    )
    await expect(rows.last).to_have_attribute("aria-rowindex", "1001")
    assert most < 40


HOSTILE = [
    "<script>window.PWNED=1</script>",
    "<img src=x onerror=window.PWNED=1>",
    '"><svg onload=window.PWNED=1>',
    "</style><script>window.PWNED=1</script>",
    "javascript:window.PWNED=1",
    "<iframe srcdoc='<script>parent.PWNED=1</script>'>",
    "{{constructor.constructor('PWNED=1')()}}",
    "\u202e<b onmouseover=PWNED=1>",
    "<a href=javascript:PWNED=1>click</a>",
    "`${window.PWNED=1}`",
]
"""Twenty fields times these are 200 payloads."""

SHOW_HOSTILE = """(payloads) => {
  const elements = () => [...document.querySelectorAll("script, img, iframe, a, [onload], [onerror]")].length;
  const before = elements();
  for (const evil of payloads) {
    const state = {
      job_id: "evil", status: "failed", title: evil, stage: evil, message: evil, error: evil, unit: evil, n: 1,
      progress: 0.5, timestamp: evil, started_at: evil, parent_id: evil, result: { [evil]: evil }, metadata: [evil],
      metrics: { [evil]: 1 }, origin: { host: evil, user: evil }, stages: [{ name: evil }],
      history: { t_s: [0, 1], progress: [0, 1], metrics: { [evil]: [0, 1] } },
    };
    window.showOpened(state);
  }
  return elements() - before;
}"""


async def test_two_hundred_hostile_texts_stay_texts(page: Page) -> None:
    assert await page.evaluate(SHOW_HOSTILE, HOSTILE) == 0
    assert await page.evaluate("window.PWNED") is None
    html = await page.evaluate("payloads => window.exported(payloads)", HOSTILE)

    await page.set_content(html)

    await expect(page.locator("strong")).to_have_count(len(HOSTILE))
    assert await page.locator("script, img, iframe, svg, a, b").count() == 0
    assert await page.evaluate("window.PWNED") is None
