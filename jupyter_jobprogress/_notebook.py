"""Joins the reporter with where it runs: shows a bar when a job starts, feeds it, and ends what a failed cell left."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from jupyter_jobprogress.reporter import display, process
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.job import Job

if TYPE_CHECKING:
    from jupyter_jobprogress.widget.bar import JobProgress

HEAR_S: Final = 0.3
"""Longest that the end of a cell is held up by a store that is slow to say how the cell's jobs ended."""

_tracked: list[Job] = []
_shown: list[tuple[Job, JobProgress]] = []
_cells_watched = False


def install() -> None:
    """Fill in the hooks of the reporter. Idempotent; does nothing but that."""
    display.on_start = show
    display.on_plain_start = show_in_terminal
    display.on_track = follow_cell


def install_widget() -> None:
    """Fill in the hooks of the widget, which only a notebook imports. Idempotent."""
    from jupyter_jobprogress.widget import follow, output

    follow.in_store = in_store
    follow.all_in_store = all_in_store
    output.on_display = watch_cells


def in_store(job_id: str, take: Callable[[bytes], object]) -> Callable[[], None] | None:
    """Follow a job in the store that the environment names, over the connection that the jobs of this process have."""
    settings = destination(None)
    return None if settings is None else process.sender_for(settings).watch(job_id, take)


def all_in_store(take: Callable[[Mapping[str, bytes]], object]) -> Callable[[], None] | None:
    """Follow all jobs in that store."""
    settings = destination(None)
    return None if settings is None else process.sender_for(settings).watch_all(take)


def shell() -> Any:
    """Return IPython's shell, in a kernel or a terminal, else None. Imports nothing: with a shell, it is there."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def kernel_shell() -> Any:
    """Return IPython's shell if this process is a kernel, else None."""
    found = shell()
    return found if hasattr(found, "kernel") else None


def forked(kernel: Any) -> bool:
    """Whether this process was forked from the one of a kernel, in whose name it cannot speak: ipykernel would write
    each message whole into its log instead of sending it."""
    return getattr(getattr(kernel, "session", None), "pid", os.getpid()) != os.getpid()


def wanted() -> str:
    """Return how the environment wants jobs to be shown: "off", "bar", "lines", or empty for what suits the place."""
    return os.environ.get("JOBPROGRESS_DISPLAY", "").lower()


def running_marimo() -> Any:
    """Return marimo if this is a cell of it, else None. Imports nothing."""
    marimo = sys.modules.get("marimo")
    return marimo if marimo is not None and marimo.running_in_notebook() else None


def show(job: Job) -> None:
    """Display a bar for a job in the output of the running cell. Raises what the widget raises; the hook logs it."""
    marimo, found = running_marimo(), kernel_shell()
    if (marimo is None and (found is None or forked(found.kernel))) or wanted() == "off":
        return
    from jupyter_jobprogress import JobProgress

    bar = JobProgress(job.id, relay=job.in_process, following=lambda _, take: job.watch(take))
    if marimo is not None:
        marimo.output.append(bar)
        return
    from IPython.display import display as display_output

    display_output(bar)  # type: ignore[no-untyped-call]
    _shown.append((job, bar))


def show_in_terminal(job: Job) -> None:
    """Show a job in the terminal or the log of a process that is no notebook."""
    if kernel_shell() is None and running_marimo() is None and wanted() != "off":
        from jupyter_jobprogress.terminal import shown

        shown.show(job, wanted())
        watch_cells()


def watch_cells() -> None:
    """Have ``end_cell`` called at the end of each cell from now on."""
    global _cells_watched
    found = shell()
    if found is not None and not _cells_watched:
        found.events.register("post_run_cell", end_cell)
        _cells_watched = True


def follow_cell(job: Job) -> None:
    """Remember a job that ``track`` started in this cell: a ``for`` loop cannot tell an error from a ``break``."""
    if shell() is not None and threading.current_thread() is threading.main_thread():
        watch_cells()
        _tracked.append(job)


def end_cell(result: Any) -> None:
    """End the tracked jobs of a cell that failed or was interrupted, and save the bars. IPython calls it."""
    tracked = _tracked[:]
    _tracked.clear()
    error = result.error_before_exec or result.error_in_exec
    for job in tracked:
        job._end_with(error if isinstance(error, BaseException) else None)
    output = sys.modules.get("jupyter_jobprogress.widget.output")
    if output is not None:
        hear_ends()
        output.end_cell(within_s=HEAR_S)
    terminal = sys.modules.get("jupyter_jobprogress.terminal.shown")
    if terminal is not None:
        terminal.end_command()


def hear_ends() -> None:
    """Wait for the bars to hear from the store how the jobs of this cell ended, so that its output says it.

    Of a job that goes on, its own words are newer than anything that the store has.
    """
    until_s = time.monotonic() + HEAR_S
    for job, bar in _shown[:]:
        if job.closed:
            bar.wait(max(0.0, until_s - time.monotonic()))
            _shown.remove((job, bar))
        else:
            bar.present(job._present())
