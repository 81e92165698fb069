"""Live progress of long-running jobs, inline in Jupyter.

Public names are loaded when they are used, so that a worker that reports loads nothing of Jupyter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jupyter_jobprogress._version import __version__

if TYPE_CHECKING:
    from jupyter_jobprogress.client.watching import get_status, get_status_async, wait, wait_async, watch
    from jupyter_jobprogress.errors import JobCancelled, JobProgressError
    from jupyter_jobprogress.protocol.state import State, Status
    from jupyter_jobprogress.reporter.decorator import track_job
    from jupyter_jobprogress.reporter.job import Job, current_job
    from jupyter_jobprogress.reporter.progress_reporter import ProgressReporter
    from jupyter_jobprogress.reporter.track import track
    from jupyter_jobprogress.settings import Settings
    from jupyter_jobprogress.widget.bar import JobProgress
    from jupyter_jobprogress.widget.table import jobs

_HOMES = {
    "Job": "reporter.job",
    "JobCancelled": "errors",
    "JobProgress": "widget.bar",
    "JobProgressError": "errors",
    "ProgressReporter": "reporter.progress_reporter",
    "Settings": "settings",
    "State": "protocol.state",
    "Status": "protocol.state",
    "current_job": "reporter.job",
    "get_status": "client.watching",
    "get_status_async": "client.watching",
    "jobs": "widget.table",
    "track": "reporter.track",
    "track_job": "reporter.decorator",
    "wait": "client.watching",
    "wait_async": "client.watching",
    "watch": "client.watching",
}

__all__ = [
    "Job",
    "JobCancelled",
    "JobProgress",
    "JobProgressError",
    "ProgressReporter",
    "Settings",
    "State",
    "Status",
    "__version__",
    "current_job",
    "get_status",
    "get_status_async",
    "jobs",
    "track",
    "track_job",
    "wait",
    "wait_async",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    layer = _HOMES[name].partition(".")[0]
    if layer in ("reporter", "widget"):
        from jupyter_jobprogress import _notebook

        _notebook.install()
        if layer == "widget":
            _notebook.install_widget()
        else:
            _prepare()
    globals()[name] = value
    return value


def _prepare() -> None:
    """Import the store that the environment names: whoever imports ``Job`` pays for it there, and not in ``Job()``."""
    from jupyter_jobprogress.reporter.destination import disabled
    from jupyter_jobprogress.settings import Settings
    from jupyter_jobprogress.store import prepare

    try:
        settings = Settings.from_environment()
    except ValueError:
        return  # said by the first job, which can say it better
    if settings.url is not None and not disabled():
        prepare(settings)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server where the extension is."""
    from jupyter_jobprogress.server.extension import JobProgressExtension

    return [{"module": "jupyter_jobprogress.server.extension", "app": JobProgressExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell ``jupyter labextension develop`` where the built extension is."""
    return [{"src": "labextension", "dest": "jupyter_jobprogress"}]
