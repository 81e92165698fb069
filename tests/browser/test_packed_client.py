"""``jobprogress-client`` as it is packed, in pages of another site: as a module, and in React 18 and 19."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.support.install import ROOT, run
from tests.support.npm import JS, MODULES, project
from tests.support.standalone import Serving, fetch, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MODULE = """<!doctype html><meta charset="utf-8"><p></p>
<script type="importmap">{"imports": {"jobprogress-client": "./%s"}}</script>
<script type="module">
  import { connect } from "jobprogress-client";
  const jobs = connect("%s", { token: "%s" });
  for await (const state of jobs.watch("job-module"))
    document.querySelector("p").textContent = `${state.status} ${state.message}`;
  document.querySelector("p").textContent += ", the end";
</script>
"""

ROOT_OF_PAGE = """
import { version } from "react";
import { createRoot } from "react-dom/client";
document.title = version;
createRoot(document.body.appendChild(document.createElement("main"))).render(%s);
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Give the folder of a project with the package in it, and the origin at which it is served."""
    folder = project(tmp_path_factory.mktemp("npm") / "consumer")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(site: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve"), f"--allow-origin={site[1]}") as running:
        yield running


async def report(server: Serving, job_id: str, **fields: Any) -> dict[str, Any]:
    url = f"{server.url}api/jobs/{job_id}/updates"
    answer = await fetch(url, method="POST", headers=server.headers, body=json.dumps({"stage": "render", **fields}))
    assert answer.code == 200, answer.body
    receipt: dict[str, Any] = json.loads(answer.body)
    return receipt


async def test_a_page_follows_a_job_with_the_module_as_it_is(
    browser: Browser, site: tuple[Path, str], server: Serving
) -> None:
    folder, origin = site
    package = json.loads((folder / "node_modules/jobprogress-client/package.json").read_text())
    entry = f"node_modules/jobprogress-client/{package['exports']['.']['default'].removeprefix('./')}"
    (folder / "module.html").write_text(MODULE % (entry, server.url, server.told.token))
    page = await browser.new_page()
    await page.goto(f"{origin}/module.html")

    await report(server, "job-module", status="processing", progress=0.5, message="Half")
    await expect(page.locator("p")).to_have_text("processing Half", timeout=60_000)
    await report(server, "job-module", status="completed", progress=1, message="Done")
    await expect(page.locator("p")).to_have_text("completed Done, the end", timeout=60_000)
    await page.close()


@pytest.mark.parametrize(("major", "modules"), [(19, MODULES), (18, JS / "test" / "react18" / "node_modules")])
async def test_the_hook_of_the_page_of_the_documentation_in_react(
    browser: Browser, site: tuple[Path, str], server: Serving, major: int, modules: Path
) -> None:
    folder, origin = site
    bundle(folder, modules, server, job_id=f"job-{major}")
    page = await browser.new_page()
    await page.goto(f"{origin}/react.html")
    assert (await page.title()).startswith(f"{major}.")
    await expect(page.locator("main")).to_have_text("Waiting for updates...", timeout=60_000)

    await report(server, f"job-{major}", status="processing", progress=0.75, message="Frame 1500 of 2000")
    await expect(page.locator("progress")).to_have_attribute("value", "0.75", timeout=60_000)
    await expect(page.locator("main")).to_contain_text("Running")
    async with page.expect_response(lambda answer: answer.url.endswith("/cancel")) as cancelled:
        await page.get_by_role("button", name="Cancel").click()
    assert (await cancelled.value).ok
    receipt = await report(server, f"job-{major}", status="cancelled", progress=0.75, message="As you wish")
    await expect(page.locator("main")).to_contain_text("Cancelled", timeout=60_000)

    assert receipt["cancel_requested"] is True
    await expect(page.get_by_role("button")).to_have_count(0)
    await page.close()


def bundle(folder: Path, modules: Path, server: Serving, *, job_id: str) -> None:
    """Make a page of the React sample of docs/javascript.md, with one of the two versions of React."""
    (sample,) = re.findall(r"```tsx\n(.*?)```", (ROOT / "docs" / "javascript.md").read_text(), re.DOTALL)
    code, drawn = re.fullmatch(r"(.*\n)(<JobProgressProvider .*>)\n", sample, re.DOTALL).groups()  # type: ignore[union-attr]
    assert "http://localhost:8084/" in drawn
    drawn = drawn.replace("http://localhost:8084/", server.url).replace("train-7", job_id)
    token = f"const token = {json.dumps(server.told.token)};\n"
    (folder / "page.tsx").write_text(code + token + ROOT_OF_PAGE % drawn)
    for name in ("react", "react-dom", "scheduler"):
        link = folder / "node_modules" / name
        link.unlink(missing_ok=True)
        link.symlink_to(modules / name)
    esbuild = MODULES / ".bin" / "esbuild"
    options = ["--bundle", "--jsx=automatic", "--preserve-symlinks", "--define:process.env.NODE_ENV='production'"]
    run(esbuild, "page.tsx", *options, "--outfile=page.js", cwd=folder)
    (folder / "react.html").write_text('<!doctype html><meta charset="utf-8"><body><script src="page.js"></script>')
