"""Takes the pictures of docs/gallery: ``python -m tests.browser.draw_gallery FOLDER``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal, NamedTuple

from playwright.async_api import async_playwright

from tests.browser import gallery
from tests.support.browser import chromium_path

HEIGHT: Final = 6500
"""Tall enough for the whole page: what is out of sight is not drawn."""
LINES, DETAILS, PARTS, TABLE = range(4)
HIGH_CONTRAST: Final = "share/jupyter/lab/themes/@jupyterlab/theme-dark-high-contrast-extension/index.css"


class Picture(NamedTuple):
    name: str
    board: int
    width: int
    scheme: Literal["light", "dark"] = "light"
    forced: Literal["none", "active"] = "none"
    direction: Literal["ltr", "rtl"] = "ltr"
    contrast: Literal["no-preference", "more"] = "no-preference"
    theme: str = ""
    """A style sheet of JupyterLab, below the prefix of this Python."""


PICTURES: Final = [
    Picture("lines-light", LINES, 1320),
    Picture("lines-dark", LINES, 760, "dark"),
    Picture("lines-narrow", LINES, 300),
    Picture("lines-240", LINES, 240),
    Picture("lines-rtl", LINES, 760, direction="rtl"),
    Picture("lines-high-contrast", LINES, 760, "dark", theme=HIGH_CONTRAST),
    Picture("lines-more-contrast", LINES, 760, contrast="more"),
    Picture("lines-forced-colors", LINES, 760, "dark", forced="active"),
    Picture("details-light", DETAILS, 960),
    Picture("details-high-contrast", DETAILS, 960, "dark", theme=HIGH_CONTRAST),
    Picture("details-240", DETAILS, 240),
    Picture("parts-dark", PARTS, 760, "dark"),
    Picture("table-light", TABLE, 960),
    Picture("table-240", TABLE, 240),
    Picture("table-forced-colors", TABLE, 760, "dark", forced="active"),
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
            for picture in PICTURES:
                page = await browser.new_page(
                    viewport={"width": picture.width + 32, "height": HEIGHT},
                    color_scheme=picture.scheme,
                    forced_colors=picture.forced,
                    contrast=picture.contrast,
                    reduced_motion="reduce",
                )
                await page.goto(url)
                await page.evaluate("dir => { document.documentElement.dir = dir }", picture.direction)
                if picture.theme:
                    await page.evaluate("document.body.dataset.jpThemeName = 'JupyterLab Dark High Contrast'")
                    await page.add_style_tag(path=Path(sys.prefix) / picture.theme)
                board = page.locator(".jobprogress-board").nth(picture.board)
                await board.screenshot(path=folder / f"{picture.name}.png")
                await page.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
