"""A notebook in a real browser: JupyterLab or Notebook 7, as a user opens, runs, reloads and saves it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, WebSocket, expect

from tests.support.jobs import eventually
from tests.support.jupyter import TOKEN, Server, isolated_environment

App = Literal["lab", "notebook"]

MIME_TYPE = "application/vnd.jobprogress.v1+json"
SOCKET_PATH = "/jobprogress/ws/jobs"
LOAD_MS = 90_000
"""A first page of JupyterLab on two cores that others keep busy."""
STEP_MS = 30_000
expect.set_options(timeout=STEP_MS)

# Hands the kernel's process id and environment to the test.
HANDOVER = """
import json, os
with open({file!r}, "w") as file:
    json.dump({{"pid": os.getpid(), "environ": dict(os.environ)}}, file)
"""

# Never waits and never lets go of the kernel: while its bar is running and moves, the kernel is busy. (What the server
# or a page says of the kernel is no proof: answers of other threads of ipykernel 7 make them call it idle meanwhile.)
# It counts seconds, so that the bar moves 1 % in 0.6 s, and begins again after a minute: a page may load for long.
BUSY_JOB = """
import os, time
from jupyter_jobprogress import Job
with Job({job_id!r}, total=60, unit="s") as job:
    begin = time.monotonic()
    while not os.path.exists({stop!r}) and (n := time.monotonic() - begin) < 240:
        job.report(n=round(n % 60, 1))
        sum(range(1000))
"""


def chromium_path() -> str:
    """Return the system's Chromium: a browser is never downloaded. Without one the tests are skipped, in CI failed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "chromium is not on PATH: install it to run the tests in a browser"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def lab_environment(folder: Path, *, renderer: bool = True, **more: str) -> dict[str, str]:
    """Return an environment for a server whose pages ask nobody for news, without our MIME renderer if so wished."""
    environment = isolated_environment(folder, **more)
    labconfig = Path(environment["JUPYTER_CONFIG_DIR"]) / "labconfig"
    labconfig.mkdir(exist_ok=True)
    overrides = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (labconfig / "default_setting_overrides.json").write_text(json.dumps(overrides))
    if not renderer:
        # What `jupyter labextension disable` writes.
        disabled = {"disabledExtensions": {"jupyter_jobprogress": True}}
        (labconfig / "page_config.json").write_text(json.dumps(disabled))
    return environment


class Kernel(NamedTuple):
    """What ``HANDOVER`` told."""

    pid: int
    environ: dict[str, str]


class NotebookFile:
    """A notebook in the server's root folder."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.path = root / f"{name}.ipynb"
        self._handed_over = root / f"{name}.json"
        self._stop = root / f"{name}.stop"

    @property
    def handover(self) -> str:
        return HANDOVER.format(file=self._handed_over.name)

    def busy_job(self, job_id: str) -> str:
        """Return the source of a cell that is busy until ``end_busy_job``."""
        return BUSY_JOB.format(job_id=job_id, stop=self._stop.name)

    def end_busy_job(self) -> None:
        self._stop.touch()

    def write(self, *sources: str, output: dict[str, Any] | None = None) -> None:
        """Write code cells; ``output`` is the MIME bundle that the last one displayed."""
        cells = [new_code_cell(source.strip()) for source in sources]  # type: ignore[no-untyped-call]
        if output is not None:
            cells[-1].outputs = [nbformat.v4.new_output("display_data", output)]  # type: ignore[no-untyped-call]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), self.path)  # type: ignore[no-untyped-call]

    def kernel(self) -> Kernel:
        return Kernel(**json.loads(self._handed_over.read_text()))

    def bundles(self) -> list[dict[str, Any]]:
        """Return the MIME bundles of ours that are saved."""
        cells = json.loads(self.path.read_text())["cells"]
        found = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
        return [bundle for bundle in found if MIME_TYPE in bundle]


class Bar:
    """One card on a page. Every wait has a deadline."""

    def __init__(self, card: Locator) -> None:
        self.card = card
        self.word = card.locator(".jobprogress-word")
        self.track = card.locator(".jobprogress-track")

    async def says(self, word: str, *, within_ms: float = STEP_MS) -> None:
        await expect(self.word).to_have_text(word, timeout=within_ms)

    async def shows(self, percent: int, *, within_ms: float = STEP_MS) -> None:
        await expect(self.track).to_have_attribute("aria-valuenow", str(percent), timeout=within_ms)

    async def moves(self, steps: int = 3) -> None:
        """Wait until the bar was seen to move this many times."""
        before = await self._value()
        for _ in range(steps):
            handle = await self.track.element_handle()
            moved = await self.card.page.wait_for_function(
                "([track, before]) => track.isConnected && Number(track.getAttribute('aria-valuenow')) !== before",
                arg=[handle, before],
                timeout=STEP_MS,
            )
            await moved.dispose()
            before = await self._value()

    async def _value(self) -> int:
        await expect(self.track).to_have_attribute("aria-valuenow", re.compile(r"\d+"), timeout=STEP_MS)
        return int(await self.track.get_attribute("aria-valuenow") or 0)


class NotebookPage:
    """A tab with one notebook. Notes what goes wrong in the console, and each socket that ours opens."""

    def __init__(self, page: Page, app: App, server: Server, file: NotebookFile) -> None:
        self.page = page
        self.app = app
        self.server = server
        self.file = file
        self.errors: list[str] = []
        self.sockets: list[WebSocket] = []
        """Those since the page was loaded last."""
        self._workspace = secrets.token_hex(4)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        page.on("websocket", self._socket)

    @classmethod
    async def open(
        cls, context: BrowserContext, app: App, server: Server, file: NotebookFile, *, query: str = f"?token={TOKEN}"
    ) -> NotebookPage:
        """Open a notebook in a tab, signing in by the token unless the query says something else."""
        opened = cls(await context.new_page(), app, server, file)
        # A workspace of its own, or JupyterLab would open the notebooks of former tests, too.
        folder = f"lab/workspaces/{opened._workspace}/tree" if app == "lab" else "notebooks"
        await opened.page.goto(f"{server.url}{folder}/{file.path.name}{query}", timeout=LOAD_MS)
        await opened._drawn()
        return opened

    async def reload(self) -> None:
        self.check_sockets()
        self.sockets.clear()
        await self.page.reload(timeout=LOAD_MS)
        await self._drawn()

    async def run_all(self) -> None:
        """Run all cells by the menu, once the kernel is there."""
        # Before it has a kernel, the page calls it idle, too, but asks which one to take.
        await eventually(self._kernel_is_ready, within_s=LOAD_MS / 1000)
        await self.page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first.wait_for(
            state="attached", timeout=LOAD_MS
        )
        await self.menu("Run", "Run All Cells")

    async def menu(self, *path: str) -> None:
        for name in path:
            # Not by role: an item that opens a submenu has none.
            labels = self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
            await labels.filter(has_text=re.compile(f"^{re.escape(name)}$")).click()

    async def save(self) -> None:
        """Save by the keyboard, and return when the file is written."""
        async with self.page.expect_response(self._is_save, timeout=STEP_MS) as saved:
            await self.page.keyboard.press("Control+s")
        assert (await saved.value).ok

    def bar(self, job_id: str) -> Bar:
        """Return the one card of a job without a title."""
        title = self.page.locator(f".jobprogress-title[title='{job_id}']")
        return Bar(self.page.locator(".jp-OutputArea-output .jobprogress-card").filter(has=title))

    def check_sockets(self) -> None:
        """Whatever the number of bars, a page without an outage opens one socket, and that to all jobs."""
        paths = [socket.url.partition("?")[0] for socket in self.sockets]
        assert paths == [self.server.url.replace("http", "ws", 1) + SOCKET_PATH.lstrip("/")]

    async def _drawn(self) -> None:
        await self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=LOAD_MS)

    async def _kernel_is_ready(self) -> bool:
        sessions = json.loads((await self.server.fetch("api/sessions")).body)
        kernels = [session["kernel"] for session in sessions if session["path"] == self.file.path.name]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def _is_save(self, response: Any) -> bool:
        return response.request.method == "PUT" and f"/api/contents/{self.file.path.name}" in response.url

    def _console(self, message: ConsoleMessage) -> None:
        # A bar asks whether its user was signed out while the server is away: that it is, is no fault of the page.
        asks = "/jobprogress/api/jobs?limit=1&" in message.location.get("url", "")
        if message.type == "error" and not asks:
            self.errors.append(f"{message.text} at {message.location}")

    def _socket(self, socket: WebSocket) -> None:
        if "/jobprogress/" in socket.url:
            self.sockets.append(socket)
