"""Takes the pictures of docs/gallery: ``python -m tests.browser.draw_gallery FOLDER``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import async_playwright

from tests.browser import gallery
from tests.support.browser import chromium_path

Scheme = Literal["light", "dark"]

HEIGHT: Final = 6500
"""Tall enough for the whole page: what is out of sight is not drawn."""
LINES, DETAILS, PARTS, TABLE = range(4)
PICTURES: Final[list[tuple[str, int, Scheme, int]]] = [
    ("lines-light", LINES, "light", 1320),
    ("lines-dark", LINES, "dark", 760),
    ("lines-narrow", LINES, "light", 300),
    ("details-light", DETAILS, "light", 960),
    ("parts-dark", PARTS, "dark", 760),
    ("table-light", TABLE, "light", 960),
]


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as built:
        url = gallery.build(Path(built))
        async with (
            async_playwright() as playwright,
            await playwright.chromium.launch(
                executable_path=chromium_path(), args=["--no-sandbox", "--disable-lcd-text"]
            ) as browser,
        ):
            for name, board, scheme, width in PICTURES:
                page = await browser.new_page(
                    viewport={"width": width + 32, "height": HEIGHT}, color_scheme=scheme, reduced_motion="reduce"
                )
                await page.goto(url)
                await page.locator(".jobprogress-board").nth(board).screenshot(path=folder / f"{name}.png")
                await page.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
