"""What is behind the line of a bar, in JupyterLab as installed: parts, copying, cancelling, in each of its themes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import gallery
from tests.browser.conftest import OpenPage
from tests.support.browser import MIME_TYPE, NotebookFile
from tests.support.jupyter import Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("app", ["lab"], indirect=True),
    pytest.mark.asyncio(loop_scope="session"),
]

THEMES = ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]
PARTS = 12


async def report(server: Server, job_id: str, **fields: Any) -> dict[str, Any]:
    answer = await server.fetch(f"jobprogress/api/jobs/{job_id}/updates", method="POST", body=json.dumps(fields))
    receipt: dict[str, Any] = json.loads(answer.body)
    return receipt


async def test_parts_copying_cancelling_and_contrast(
    server: Server, make_file: Callable[[Server], NotebookFile], open_page: OpenPage, job_id: str
) -> None:
    await report(server, job_id, status="processing", title="Sweep", metrics={"loss": 0.2}, metadata={"seed": 7})
    for number in range(PARTS):
        fields: dict[str, Any] = {"status": "processing", "progress": number / PARTS}
        if number == 7:
            fields = {"status": "failed", "error": "ValueError: one class", "progress": 0.5}
        await report(server, f"{job_id}-{number}", title=f"fold {number}", parent_id=job_id, **fields)
    others = {
        "stalled": {"heartbeat_s": 0.1},
        "done": {"status": "completed"},
        "bad": {"status": "failed", "error": "E"},
    }
    ids = [job_id, *(f"{job_id}-{name}" for name in others), f"{job_id}-unknown"]
    for name, fields in others.items():
        await report(server, f"{job_id}-{name}", **{"status": "processing", "progress": 0.4} | fields)
    file = make_file(server)
    file.write("0", output={MIME_TYPE: {"job_ids": ids, "states": {}}, "text/plain": job_id})
    notebook = await open_page(server, file)
    page = notebook.page
    card = page.locator(".jobprogress-card").first
    await expect(card.locator(".jobprogress-title").first).to_have_text("Sweep")
    await card.locator(".jobprogress-open").click()

    # The failed one first, then the slowest; more than ten only when they are asked for.
    parts = card.locator(".jobprogress-part .jobprogress-title")
    await expect(parts).to_have_count(10)
    assert await parts.all_text_contents() == [f"fold {number}" for number in (7, *range(7), 8, 9)]
    await card.get_by_role("button", name="Show 2 more").click()
    await expect(parts).to_have_count(PARTS)
    await card.get_by_role("button", name="Show 10 of them").click()
    await expect(parts).to_have_count(10)

    bad = page.locator(".jobprogress-card").nth(3)
    await bad.locator(".jobprogress-open").click()
    await expect(bad.get_by_role("region", name="Traceback")).to_have_css("word-break", "normal")

    for theme in THEMES:
        await notebook.menu("Settings", "Theme", theme)
        await expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
        assert await gallery.violations(page) == [], theme

    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await card.get_by_role("button", name="Copy id").click()
    await expect(card.get_by_text("Id copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == job_id
    await card.get_by_role("button", name="Report from elsewhere").click()
    await expect(card.get_by_text("Lines copied")).to_be_visible()
    assert f"api/jobs/{job_id}/updates" in await page.evaluate("navigator.clipboard.readText()")

    beside = await card.get_by_role("button", name="Copy id").bounding_box()
    await card.get_by_role("button", name="Cancel job").click()
    await expect(card.get_by_role("button", name="Really cancel?")).to_be_visible()
    assert await card.get_by_role("button", name="Copy id").bounding_box() == beside
    assert (await report(server, job_id, progress=0.1))["cancel_requested"] is False
    await card.get_by_role("button", name="Really cancel?").click()
    await expect(card.locator(".jobprogress-note").first).to_contain_text("cancel requested")
    assert (await report(server, job_id, progress=0.2))["cancel_requested"] is True
    await report(server, job_id, status="cancelled")
    await expect(card.locator(".jobprogress-word").first).to_have_text("Cancelled")
    await expect(card.get_by_role("button", name="Cancel job")).to_be_hidden()
