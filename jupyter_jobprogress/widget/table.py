"""``jobs()``: a live table of all jobs. All behaviour is in ``js/src/more/table.ts``."""

from __future__ import annotations

from typing import Any

import traitlets

from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.widget.bar import MIME_TYPE, JobProgress


class JobTable(JobProgress):
    """A live table of the jobs that the server of the page knows, in a widget."""

    table = traitlets.Dict(help="What the table is narrowed to at first.").tag(sync=True)

    def __init__(self, *, status: str, text: str) -> None:
        super().__init__([])
        self.table = {"status": status, "text": text}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        said = "A table of jobs is here while the notebook is open on a Jupyter server."
        data |= {"text/plain": said, "text/html": f"<div>{said}</div>"}
        data[MIME_TYPE] = {"job_ids": [], "states": {}, "table": self.table}
        return data, metadata


def jobs(status: Status | str | None = None, *, text: str = "") -> JobTable:
    """Return a live table of all jobs, to be shown in a notebook. In it one can filter, sort and open each job.

    Args:
        status: show jobs with this status alone.
        text: show jobs whose title, id or host has this text.

    Raises:
        ValueError: there is no such status.
    """
    return JobTable(status="" if status is None else str(Status(status)), text=text)
