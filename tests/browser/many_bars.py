"""Hundreds of bars in one page at twenty updates a second: what their frames cost, and what the page keeps.

``python -m tests.browser.many_bars --minutes 10`` writes the figures of benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from playwright.async_api import Browser, Page, async_playwright

from tests.browser import gallery
from tests.support.browser import chromium_path
from tests.support.jobs import eventually
from tests.support.page_server import PageServer, page_server

PER_S: Final = 20.0
SEEN_MS: Final = 50
UNSEEN_MS: Final = 1000
_FRAME: Final = "ProxyMain::BeginMainFrame"
"""Chromium's name for all that its main thread does for a frame: scripts, style, layout, painting, and handing over."""


class Frames(NamedTuple):
    """Of some seconds: milliseconds that the main thread took for each frame, sorted."""

    wall_ms: list[float]
    """With all that it had to wait for, as another process on its core."""
    cpu_ms: list[float]
    """What it worked."""

    @staticmethod
    def at(values: Sequence[float], share: float) -> float:
        return values[min(len(values) - 1, int(len(values) * share))]


class Footprint(NamedTuple):
    """What a page holds when all garbage is gone."""

    heap_bytes: int
    nodes: int
    listeners: int


@asynccontextmanager
async def many_bars(browser: Browser, url: str, count: int, **fields: Any) -> AsyncIterator[tuple[Page, PageServer]]:
    """Open a page of so many bars whose jobs all report, with these fields, too, until the block ends."""
    async with page_server() as server, await browser.new_page(viewport={"width": 1000, "height": 900}) as page:
        job_ids = [f"job-{number}" for number in range(count)]
        for job_id in job_ids:
            server.report(job_id, progress=0.0, n=0, total=1000, unit="rows")
        await page.goto(url)
        await page.evaluate("([url, ids]) => { watch(url, ids) }", [server.url, job_ids])

        async def paced() -> bool:
            return server.interval_ms.get(job_ids[0]) == SEEN_MS and server.interval_ms.get(job_ids[-1]) == UNSEEN_MS

        await eventually(paced, within_s=30)
        reporting = asyncio.create_task(server.keep_reporting(job_ids, per_s=PER_S, **fields))
        try:
            yield page, server
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)


async def frames(browser: Browser, page: Page, seconds: float) -> Frames:
    """Watch the main thread of a page for a while."""
    await browser.start_tracing(page=page, categories=["cc", "toplevel"])
    await asyncio.sleep(seconds)  # the time that is measured, not a wait for anything
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    seen = [event for event in events if event.get("name") == _FRAME and event.get("ph") == "X"]
    wall, cpu = (sorted(event.get(field, 0) / 1000 for event in seen) for field in ("dur", "tdur"))
    return Frames(wall, cpu)


async def footprint(page: Page) -> Footprint:
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    for _ in range(2):  # what the first round finds may hold more
        await devtools.send("HeapProfiler.collectGarbage")
    told = (await devtools.send("Performance.getMetrics"))["metrics"]
    await devtools.detach()
    values = {metric["name"]: int(metric["value"]) for metric in told}
    return Footprint(values["JSHeapUsedSize"], values["Nodes"], values["JSEventListeners"])


def growth(prints: Sequence[Footprint]) -> str:
    """Say how much more a page held in the last third of its looks than in the first, by medians."""
    third = max(1, len(prints) // 3)
    grown = []
    for name in Footprint._fields:
        first, last = (median(getattr(one, name) for one in part) for part in (prints[:third], prints[-third:]))
        grown.append(f"{name} {(last / first - 1) * 100:+.1f} %")
    return f"from the first third to the last: {', '.join(grown)}"


async def main(count: int, minutes: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = gallery.build(Path(folder))
        async with (
            async_playwright() as playwright,
            await playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"]) as browser,
            many_bars(browser, url, count) as (page, _),
        ):
            await asyncio.sleep(2)
            loop = asyncio.get_running_loop()
            begin_s = loop.time()
            prints: list[Footprint] = []
            for minute in range(minutes + 1):
                # Reading a trace takes a while, too.
                await asyncio.sleep(max(0.0, begin_s + minute * 60 - loop.time()))
                measured = await frames(browser, page, seconds)
                prints.append(await footprint(page))
                print(f"minute {minute}: {prints[-1]}, {len(measured.wall_ms) / seconds:.0f} frames/s", end="")
                for name, values in measured._asdict().items():
                    shares = ", ".join(
                        f"p{share * 100:g} {Frames.at(values, share):.1f}" for share in (0.5, 0.95, 0.99)
                    )
                    print(f"; {name}: {shares}", end="")
                print(flush=True)
            if minutes >= 3:
                print(growth(prints))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=500)
    parser.add_argument("--minutes", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement of frames")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.bars, arguments.minutes, arguments.seconds))
