"""Where a notebook hooks in. The reporter knows no widget; ``jupyter_jobprogress/_notebook.py`` fills these in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_jobprogress.reporter.job import Job

on_start: Callable[[Job], object] | None = None
"""Called on the calling thread when a job starts that wants to be shown."""

on_plain_start: Callable[[Job], object] | None = None
"""The same, but not for the job of a bar of another library, which shows itself wherever it is no notebook."""

on_track: Callable[[Job], object] | None = None
"""Called on the calling thread when ``track`` starts a job, shown or not."""

_log = logging.getLogger(__name__)


def call(hook: Callable[[Job], object] | None, job: Job) -> None:
    """Call a hook, if there is one. A bar that cannot be shown is no reason to stop a job."""
    if hook is not None:
        try:
            hook(job)
        except Exception:  # noqa: BLE001 — outermost line of a hook
            _log.debug("Job %s is not shown.", job.id, exc_info=True)
