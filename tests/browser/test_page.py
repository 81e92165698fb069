"""The page of the standalone server in Chromium: signing in, the first job, the table, links, and a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, expect

from tests.browser.gallery import AXE
from tests.support.standalone import fetch, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOUND = """async () => (await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }))
  .violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 200))])"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
async def test_from_the_form_to_a_link_that_is_shared(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    with serving(tmp_path, "--base-url=/a/b") as server:
        # The policy of the page would keep axe out.
        context = await browser.new_context(
            bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        async def accessible() -> None:
            await page.add_script_tag(path=AXE)
            assert await page.evaluate(FOUND) == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        async def report(job_id: str, **fields: Any) -> None:
            url = f"{server.url}api/jobs/{job_id}/updates"
            assert (await fetch(url, method="POST", headers=server.headers, body=json.dumps(fields))).code == 200

        await page.goto(server.url)
        await accessible()
        await page.get_by_label("Token").fill(server.told.token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
        await expect(page).to_have_url(server.url)
        await accessible()

        await report("train-7", progress=0.4)
        await report("other", progress=0.1)
        await page.locator("[role=row][data-job='train-7'] button").click()
        await expect(page).to_have_url(f"{server.url}jobs/train-7")
        await page.get_by_label("Ids of jobs to watch").fill("other")
        await page.get_by_role("button", name="Watch", exact=True).click()
        await expect(page).to_have_url(f"{server.url}?job=other&job=train-7")
        await page.go_back()
        await expect(page.locator(".jobprogress-card")).to_have_count(1)
        await page.reload()
        await report("train-7", progress=0.8)
        await expect(page.locator(".jobprogress-card [role=progressbar]")).to_have_attribute("aria-valuenow", "80")
        await accessible()
        assert errors == []
        await context.close()


async def test_a_hidden_tab_tells_of_an_end_by_its_title_and_its_icon(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        page = await browser.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)

        async def report(**fields: Any) -> None:
            url = f"{server.url}api/jobs/train-7/updates"
            assert (await fetch(url, method="POST", headers=server.headers, body=json.dumps(fields))).code == 200

        await report(progress=0.4)
        await page.goto(f"{server.url}jobs/train-7?token={server.told.token}")
        await page.get_by_role("button", name="Tell me when it ends").click()
        await page.evaluate(
            """() => {
              Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )
        await report(status="failed", error="out of memory")

        await expect(page).to_have_title("Failed: train-7")
        icon = page.locator("link[data-jobprogress-told]")
        await expect(icon).to_have_attribute("href", re.compile("^data:image/svg"))
        # By the page's own policy.
        assert await page.evaluate(
            """async () => {
              const image = new Image();
              image.src = document.querySelector("link[data-jobprogress-told]").href;
              await image.decode();
              return image.naturalWidth > 0;
            }"""
        )
        assert refused == []
        await page.close()
