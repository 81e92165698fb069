"""The browser and React snippets of the original service's document, unchanged but for their URL and token."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support.standalone import Serving, fetch, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ORIGINAL = Path(__file__).parent / "original"
JS = Path(__file__).parents[2] / "js"
ADDRESS = "ws://localhost:8084/ws/jobs/${jobId}"
HARNESS = (
    "const drawn = []; function updateProgressBar(p) { drawn.push(p) } function updateStatusText(t) { drawn.push(t) }"
)
ROOT = """
import { createRoot } from "react-dom/client";
createRoot(document.getElementById("root")!).render(<JobProgressMonitor jobId="job_12345" />);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    # A page of a file has the origin "null", and stands for one of another site.
    with serving(tmp_path_factory.mktemp("serve"), "--allow-origin=null") as running:
        yield running


def snippet(name: str, server: Serving) -> str:
    text = (ORIGINAL / name).read_text()
    assert ADDRESS in text
    return text.replace(ADDRESS, f"ws{server.url[4:]}ws/jobs/${{jobId}}?token={server.told.token}")


async def report(server: Serving, **fields: Any) -> None:
    answer = await fetch(
        f"{server.url}api/jobs/job_12345/updates",
        method="POST",
        headers=server.headers,
        body=json.dumps(fields),
    )
    assert answer.code == 200, answer.body


async def test_the_browser_snippet(browser: Browser, server: Serving, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<script>{HARNESS}\n{snippet('browser.js', server)}</script>")
    page = await browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    async with page.expect_console_message(lambda message: message.text.startswith("Connected to job job_12345")):
        await page.goto((tmp_path / "page.html").as_uri())
    async with page.expect_console_message(lambda message: message.text.startswith("Message")):
        await report(server, stage="rendering", progress=0.5, message="Halfway through rendering")
    async with page.expect_console_message(lambda message: message.text.startswith("Job completed!")):
        await report(server, status="completed", progress=1, message="Done", result={"frames": 2000})

    assert {"Progress: 50%", "Stage: rendering", "Message: Halfway through rendering"} <= set(said)
    assert await page.evaluate("drawn") == [0.5, "Halfway through rendering"]
    await page.close()


@pytest.mark.parametrize("modules", [JS / "node_modules", JS / "test" / "react18" / "node_modules"], ids=["19", "18"])
async def test_the_react_snippet(browser: Browser, server: Serving, tmp_path: Path, modules: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    (tmp_path / "page.tsx").write_text(snippet("useJobProgress.tsx", server) + ROOT)
    esbuild = [JS / "node_modules" / ".bin" / "esbuild", tmp_path / "page.tsx", "--bundle", "--jsx=automatic"]
    bundled = subprocess.run(
        [*esbuild, "--define:process.env.NODE_ENV='production'"],
        env={"NODE_PATH": str(modules), "PATH": str(Path(node).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "page.js").write_text(bundled.stdout)
    (tmp_path / "page.html").write_text('<meta charset="utf-8"><div id="root"></div><script src="page.js"></script>')
    page = await browser.new_page()
    await page.goto((tmp_path / "page.html").as_uri())
    await report(server, stage="rendering", progress=0.75, message="Rendering frame 1500/2000", status="processing")
    await report(server, status="completed", stage="complete", progress=1, message="Done", result={"duration": 66.67})

    await expect(page.locator("h3")).to_have_text("complete")
    await expect(page.locator("pre")).to_have_text(re.compile("66.67"))
    await page.close()
