"""The page of the standalone server in Chromium: signing in, the first job, the table, links, and a phone."""

from __future__ import annotations

import json
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
