"""Behind a proxy that passes no WebSocket, as many are set up, the page asks by HTTP, and says so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, WebSocket, expect

from tests.support.browser import Bar
from tests.support.front import binary
from tests.support.jobs import eventually
from tests.support.jupyter import isolated_environment
from tests.support.redis_server import free_port
from tests.support.remote_job import remote_job
from tests.support.standalone import fetch, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# As nginx comes: it speaks HTTP/1.0 to the server, and drops Upgrade.
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {url}; proxy_set_header Host $http_host; }}
  }}
}}
"""


@contextmanager
def cutting_proxy(url: str, folder: Path) -> Iterator[str]:
    """Run nginx before a server until the block ends, and give its URL."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, url=url))
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([binary("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)], stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)


async def test_where_a_proxy_cuts_sockets_a_bar_moves_by_http_and_its_details_say_why(
    browser: Browser, tmp_path: Path, job_id: str
) -> None:
    with serving(tmp_path) as server, cutting_proxy(server.url, tmp_path) as url:

        async def answers() -> bool:
            try:
                return (await fetch(f"{url}health")).code == 200
            except OSError:
                return False

        await eventually(answers)
        environment = isolated_environment(
            tmp_path / "job", JOBPROGRESS_URL=server.url, JOBPROGRESS_TOKEN=server.told.token
        )
        async with remote_job(job_id, environment) as job, await browser.new_page() as page:
            sockets: list[WebSocket] = []
            page.on("websocket", lambda socket: sockets.append(socket))
            await page.goto(f"{url}?token={server.told.token}&job={job_id}")
            shown = Bar(page.locator(".jobprogress-card"))
            await shown.says("Running", within_ms=30_000)
            for n in (20, 50):
                await job.call("report", n=n)
                await shown.shows(n)
            # A page of one job has opened it by itself.
            await expect(shown.card.locator(".jobprogress-open")).to_have_attribute("aria-expanded", "true")
            await expect(shown.card).to_contain_text("HTTP polling: the WebSocket did not open in")
            assert sockets, "the page did not try a socket"
            await job.call("complete")
            await shown.says("Completed")
