"""``jupyter jobprogress demo``: a server, a real job in another process, and two views of it. No Redis, no notebook."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import webbrowser
from argparse import Namespace
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.cli.watch import follow
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.standalone import JobProgressServer
from jupyter_jobprogress.settings import Settings

JOB: Final = "demo"
LAST_WORD_S: Final = 5.0
"""Longest wait for a job that was interrupted, and for the last state of one that has gone."""


class _Server(JobProgressServer):
    """A standalone server that tells the demo where it is, in place of printing it."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.told: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    def tell(self, url: str, token: str, store: str, file: Path | None) -> None:
        self.told.set_result((url, token))


async def command(options: Namespace) -> Exit:
    """Run the demo until its job has ended, in a terminal until it is interrupted."""
    task = asyncio.current_task()
    assert task is not None
    # Not by way of SIGINT, which is ignored where a script started the demo in the background.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await _run(options)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(options: Namespace) -> Exit:
    with TemporaryDirectory(prefix="jobprogress-demo-") as folder:
        # Told everything, so that neither a Redis nor a file of the user's own plays a part.
        server = _Server(
            port=options.port, redis_url="", database="", token="", ticket_key_file=str(Path(folder) / "ticket.key")
        )
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(stop))
                url, token = await server.told
                try:
                    return await _show(server, url, token, Path(folder), browser=options.browser)
                finally:
                    stop.set()
        except* OSError as group:
            if server.told.done():
                raise  # it serves, so that this is about something else
            complain(
                f"The demo cannot serve on port {options.port}: {group.exceptions[0]}. Try --port 0, any free one."
            )
    return Exit.UNAVAILABLE


async def _show(server: _Server, url: str, token: str, folder: Path, *, browser: bool) -> Exit:
    page = f"{url}?token={token}"
    print(f"A job runs in another process. It is shown here, and at\n\n    {page}\n", flush=True)
    if browser and _has_display():
        _open(page, folder)
    ticket = Ticket(jobs=JOB, actions=("report",), expires_s=int(time.time()) + 86400)
    reports = {"JOBPROGRESS_URL": url, "JOBPROGRESS_TOKEN": server.ticket_key().sign(ticket)}
    # In a session of its own: Ctrl-C is for the demo, which then ends its job before its server.
    job = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "jupyter_jobprogress.cli.demo_job", JOB),
        env={name: value for name, value in os.environ.items() if name != "JOBPROGRESS_DISABLE"} | reports,
        stdin=DEVNULL,
        start_new_session=True,
    )
    code = None
    try:
        code = await _watch(job, Settings(url=url, token=token))
        with suppress(TimeoutError):  # it has said its last word, and only leaves; one that does not is made to
            await asyncio.wait_for(job.wait(), LAST_WORD_S)
        if sys.stdout.isatty():
            print("\nThe page stays until Ctrl-C.", flush=True)
            await asyncio.Event().wait()
        return code
    except asyncio.CancelledError:
        if code is not None:
            return code  # Ctrl-C was the way to leave the page
        raise
    finally:
        await _end(job)


async def _watch(job: Process, settings: Settings) -> Exit:
    """Show the job until it has ended; a process that dies without a word is not waited for."""
    async with asyncio.TaskGroup() as tasks:
        shown = tasks.create_task(follow(settings, [JOB]))
        if await _first(job, shown):
            return shown.result()
        shown.cancel()
    complain(f"The job ended with exit code {job.returncode} and did not say why.")
    return Exit.JOB_FAILED


async def _first(job: Process, shown: asyncio.Task[Exit]) -> bool:
    """Return whether the view has seen the end of the job."""
    gone = asyncio.ensure_future(job.wait())
    try:
        await asyncio.wait([gone, shown], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([shown], timeout=LAST_WORD_S)
        return shown.done()
    finally:
        gone.cancel()


async def _end(job: Process) -> None:
    """Interrupt the job, which then says that it was cancelled."""
    if job.returncode is not None:
        return
    job.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(LAST_WORD_S):
            await job.wait()
    except TimeoutError:
        job.kill()
        await job.wait()


def _has_display() -> bool:
    """Whether a browser would open in a window; without one it may be a text browser, over this very view."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(page: str, folder: Path) -> None:
    # As Jupyter does it: arguments of processes can be read by other users, this file cannot.
    file = folder / "open.html"
    file.touch(mode=0o600)
    file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(page)}">')
    webbrowser.open(file.as_uri())
