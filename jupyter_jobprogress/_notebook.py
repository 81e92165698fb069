"""Joins the reporter with the notebook: shows a bar when a job starts, and ends what a failed cell left running."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.reporter import display
from jupyter_jobprogress.reporter.job import Job

_tracked: list[Job] = []
_cells_watched = False


def install() -> None:
    """Fill in the hooks of the reporter. Idempotent; does nothing but that outside a kernel."""
    display.on_start = show
    display.on_track = follow_cell


def kernel_shell() -> Any:
    """Return IPython's shell if this process is a kernel, else None. Imports nothing: in a kernel it is there."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


def show(job: Job) -> None:
    """Display a bar for a job in the output of the running cell. Raises what the widget raises; the hook logs it."""
    if kernel_shell() is None:
        return
    from IPython.display import display as display_output

    from jupyter_jobprogress.widget.bar import JobProgress

    bar = JobProgress(job.id, relay=job.in_process)
    display_output(bar)  # type: ignore[no-untyped-call]
    if job.in_process:
        relay(job, bar.feed)


def relay(job: Job, feed: Callable[[bytes], object]) -> None:
    """Hand each state of a job to a bar that no server can feed, until the last one."""

    stops: list[Callable[[], None]] = []

    def take(data: bytes) -> None:
        feed(data)
        # Called in another thread, perhaps before ``watch`` has returned: then one more state is fed.
        if stops and decode_state(data).status.terminal:
            stops[0]()

    stops.append(job.watch(take))


def follow_cell(job: Job) -> None:
    """Remember a job that ``track`` started in this cell: a ``for`` loop cannot tell an error from a ``break``."""
    global _cells_watched
    shell = kernel_shell()
    if shell is None or threading.current_thread() is not threading.main_thread():
        return
    if not _cells_watched:
        shell.events.register("post_run_cell", end_with_cell)
        _cells_watched = True
    _tracked.append(job)


def end_with_cell(result: Any) -> None:
    """End the tracked jobs of a cell that failed or was interrupted. IPython calls it after each cell."""
    tracked = _tracked[:]
    _tracked.clear()
    error = result.error_before_exec or result.error_in_exec
    for job in tracked:
        job._end_with(error if isinstance(error, BaseException) else None)
