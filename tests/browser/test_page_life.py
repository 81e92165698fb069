"""What a page asks of its server while it is looked at, hidden, frozen, offline, forgotten, and full of bars."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser import gallery
from tests.support.jobs import eventually
from tests.support.page_server import PageServer, page_server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RIGHT_MS = 2_000
"""The issue's own bound for a page that comes back."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gallery.build(tmp_path_factory.mktemp("gallery"))


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    page = await browser.new_page(viewport={"width": 1000, "height": 900})
    await page.goto(url)
    yield page
    await page.close()


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[PageServer]:
    async with page_server() as server:
        yield server


async def watch(page: Page, server: PageServer, *job_ids: str) -> None:
    await page.evaluate("([url, ids]) => { window.connection = watch(url, ids) }", [server.url, list(job_ids)])


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds, within_s=5)


async def test_a_hidden_page_asks_for_less_and_catches_up_when_it_is_shown(page: Page, server: PageServer) -> None:
    server.report("a", progress=0.1)
    await watch(page, server, "a", "b")
    await expect(page.locator(".jobprogress-percent").first).to_have_text("10%")
    hide = """state => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""

    await page.evaluate(hide, "hidden")
    await until(lambda: server.asked[-1]["interval_ms"] == 5000)
    server.report("a", progress=0.7)  # and is not pushed: the page has to ask
    await page.evaluate(hide, "visible")

    await expect(page.locator(".jobprogress-percent").first).to_have_text("70%", timeout=RIGHT_MS)
    assert server.asked[-1]["interval_ms"] == 50
    assert len(server.sockets) == 1


async def test_a_frozen_page_is_right_within_two_seconds(page: Page, server: PageServer) -> None:
    server.report("a", progress=0.1)
    await watch(page, server, "a")
    await expect(page.locator(".jobprogress-percent")).to_have_text("10%")
    devtools = await page.context.new_cdp_session(page)

    await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    await asyncio.sleep(1)  # the time that is frozen, not a wait for anything
    await server.push("a", progress=0.9)
    await devtools.send("Page.setWebLifecycleState", {"state": "active"})

    await expect(page.locator(".jobprogress-percent")).to_have_text("90%", timeout=RIGHT_MS)


async def test_a_socket_that_went_deaf_is_replaced_when_the_page_comes_back(page: Page, server: PageServer) -> None:
    server.report("a", progress=0.1)
    await watch(page, server, "a")
    await expect(page.locator(".jobprogress-percent")).to_have_text("10%")

    server.answering = False
    server.report("a", progress=0.8)
    await page.evaluate("dispatchEvent(new Event('pageshow'))")
    await until(lambda: len(server.asked) >= 2)
    server.answering = True

    await expect(page.locator(".jobprogress-percent")).to_have_text("80%", timeout=RIGHT_MS)
    assert len(server.sockets) == 2


async def test_a_machine_without_network_says_so_at_once(page: Page, server: PageServer) -> None:
    server.report("a", progress=0.1)
    await watch(page, server, "a")
    await expect(page.locator(".jobprogress-word")).to_have_text("Running")

    await page.context.set_offline(True)
    await expect(page.locator(".jobprogress-status")).to_have_text(
        "Reconnecting · this machine is offline", timeout=RIGHT_MS
    )
    await page.context.set_offline(False)

    await expect(page.locator(".jobprogress-word")).to_have_text("Running", timeout=RIGHT_MS)


async def test_ended_jobs_are_left_after_ten_minutes_and_the_socket_closes(page: Page, server: PageServer) -> None:
    server.report("a", status="completed", progress=1)
    await page.clock.install()
    await watch(page, server, "a", "never")
    await expect(page.locator(".jobprogress-word").first).to_have_text("Completed")

    for _ in range(12):
        await page.clock.run_for(60_000)
        if server.open_sockets:
            await server.sockets[-1].send('{"type":"ping"}')
    await page.clock.run_for(10_000)

    await until(lambda: server.open_sockets == 0)
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await until(lambda: server.open_sockets == 1)


MEASURE = """async (seconds) => {
  const costs = [], channel = new MessageChannel();
  const rendered = () => new Promise((done) => { channel.port1.onmessage = done; channel.port2.postMessage(0); });
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const started = performance.now();
    await rendered();
    costs.push(performance.now() - started);
  }
  costs.sort((a, b) => a - b);
  const at = (share) => costs[Math.floor(costs.length * share)];
  return { per_s: costs.length / seconds, median_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99),
           nodes: document.querySelectorAll("*").length };
}"""
"""Milliseconds from the beginning of a frame until it is drawn, and what else was to be done by then."""


async def test_five_hundred_bars_at_twenty_updates_a_second_draw_in_time(page: Page, server: PageServer) -> None:
    job_ids = [f"job-{number}" for number in range(500)]
    for job_id in job_ids:
        server.report(job_id, progress=0.0, n=0, total=1000, unit="rows")
    await watch(page, server, *job_ids)
    await expect(page.locator(".jobprogress-word").first).to_have_text("Running")
    # Those in sight are asked for twenty times a second, the others once.
    await until(lambda: server.interval_ms["job-0"] == 50 and server.interval_ms["job-499"] == 1000)

    reporting = asyncio.create_task(server.keep_reporting(job_ids, per_s=20))
    try:
        first = await page.evaluate(MEASURE, 1)
        second = await page.evaluate(MEASURE, 3)
        last = page.locator(".jobprogress-card").last
        await last.scroll_into_view_if_needed()
        await until(lambda: server.interval_ms["job-499"] == 50 and server.interval_ms["job-0"] == 1000)
        shown = await last.locator(".jobprogress-percent").text_content()
        await expect(last.locator(".jobprogress-percent")).not_to_have_text(shown or "")
    finally:
        reporting.cancel()
    print(first, second)

    assert second["median_ms"] < 16
    assert second["per_s"] >= 20
    assert second["nodes"] == first["nodes"]
