"""The gallery page, built from the sources of the view, and what is looked at in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

JS: Final = Path(__file__).parents[2] / "js"
AXE: Final = JS / "node_modules" / "axe-core" / "axe.min.js"


def build(folder: Path) -> str:
    """Write the gallery into a folder, and return its URL. Skipped where the tools of JavaScript are not installed."""
    node = shutil.which("node")
    if node is None or not AXE.is_file():
        pytest.skip("node and js/node_modules are needed: run scripts/check once")
    subprocess.run([node, JS / "gallery" / "build.mjs", folder], check=True, cwd=JS)
    return (folder / "index.html").as_uri()


async def violations(page: Page) -> list[dict[str, Any]]:
    """Return what axe-core finds wrong on a page, by the rules of WCAG 2.1 AA, with the elements."""
    await page.add_script_tag(path=AXE)
    found: list[dict[str, Any]] = await page.evaluate(
        """async () => {
          const { violations } = await axe.run(".jobprogress-board", {
            runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
            elementRef: false,
            iframes: false,
          });
          return violations.map(({ id, nodes }) => ({
            id, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => [html.slice(0, 200), failureSummary]),
          }));
        }"""
    )
    return found
