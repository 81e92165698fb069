"""``jobs()``: a live table of all jobs. All behaviour is in ``js/src/more/table.ts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.widget import follow, known, output
from jupyter_jobprogress.widget.bar import MIME_TYPE, JobProgress
from jupyter_jobprogress.widget.feed import feed

_EVERY = "*"
"""Stands for all jobs where there is one id for each that is followed. No id of a job has this character."""


class JobTable(JobProgress):
    """A live table of all jobs, in a widget: those that the server of the page knows, else those that the kernel finds
    in the store that the environment names."""

    table = traitlets.Dict(help="What the table is narrowed to at first.").tag(sync=True)

    def __init__(self, *, status: str, text: str, following: follow.FollowAll | None = None) -> None:
        self._following = following or follow.all_in_store
        super().__init__([])
        self.table = {"status": status, "text": text}
        if not output.in_jupyter():
            self._follow_all()  # before a page has asked for it: a busy kernel does not hear that

    def _follow_all(self) -> None:
        if self._following is not None and _EVERY not in self._stops:
            stop = self._following(self._take_all)
            if stop is not None:
                self._stops[_EVERY] = stop

    def _take_all(self, found: Mapping[str, bytes]) -> None:
        with self._lock:
            self._news.update(found)
        feed.wake(self)

    def _told(self, widget: object, content: object, buffers: object) -> None:
        super()._told(widget, content, buffers)
        if self.transport == "kernel":
            self._follow_all()

    def _know(self, states: Mapping[str, known.JsonState]) -> None:
        # Not ``saved`` and the traits of a bar: what others do is none of this notebook's, and not for its file.
        self.states = {**self.states, **states}
        with self._lock:
            self._unsent.update(states)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        said = "A table of jobs is here while the notebook is open."
        data |= {"text/plain": said, "text/html": f"<div>{said}</div>"}
        if MIME_TYPE in data:
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
