"""The page of a user's server and that of the service, in a browser that has no credential but the Hub's cookies."""

from __future__ import annotations

import pytest
from playwright.async_api import async_playwright, expect

from tests.support.browser import chromium_path
from tests.support.hub import SERVICE, Hub

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", ["user/ext-pia/jobprogress/", SERVICE])
async def test_jobs_are_listed_and_cancelled_by_cookie(hub: Hub, path: str) -> None:
    name = "ext-pia"
    if path != SERVICE:
        hub.start_server(name)
    token = hub.user(name)
    report = {"status": "processing", "progress": 0.4, "title": "Train"}
    assert hub.ask(f"{path}api/jobs/train-7/updates", method="POST", body=report, token=token).status == 200
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"]) as browser,
    ):
        page = await browser.new_page()
        # Where no socket opens, states come by HTTP: with the same cookie, and the same check of where it came from.
        await page.add_init_script(
            "WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } }"
        )
        await page.goto(hub.url + path)
        await page.get_by_label("Username").fill(name)
        await page.get_by_label("Password").fill(hub.password)
        await page.get_by_role("button", name="Sign in").click()

        await page.locator("[role=row][data-job='train-7'] button").click()
        bar = page.locator(".jobprogress-card")
        await expect(bar.locator(".jobprogress-word")).to_have_text("Running", timeout=30_000)
        await expect(bar).to_contain_text("HTTP polling")
        await bar.get_by_role("button", name="Cancel job").click()
        await bar.get_by_role("button", name="Really cancel?").click()

        await expect(bar).to_contain_text("cancel requested")
    receipt = hub.ask(f"{path}api/jobs/train-7/updates", method="POST", body=report, token=token).json
    assert receipt["cancel_requested"] is True
