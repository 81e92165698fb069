"""How a job gets into another process: pickled with its run, or by its id alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Final

from jupyter_jobprogress.reporter import process
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.reported import Reported
from jupyter_jobprogress.reporter.stages import Stages
from jupyter_jobprogress.settings import Settings

PICKLE_WAIT_S: Final = 0.5
"""How long pickling waits for the store to number the run, so that a worker can join it at once. Only the first time: a
pool pickles the job with each task, and a worker finds the number by itself."""


def attach(
    job: Reported,
    job_id: str,
    settings: Settings | None,
    *,
    started_at: str | None = None,
    run: int | None = None,
    raise_on_cancel: bool = True,
    **facts: object,
) -> None:
    """Make a job, not initialised yet, one that another process owns."""
    given: dict[str, object] = {"title": None, "unit": None, "total": None} | facts
    Reported.__init__(
        job,
        job_id,
        **given,
        initial=0,
        stages=Stages(),
        parent_id=None,
        heartbeat_s=None,
        raise_on_cancel=raise_on_cancel,
        settings=settings,
        owned=False,
    )
    job._started_at = started_at
    job._run = run


def reduce(job: Reported) -> tuple[Callable[..., Reported], tuple[object, ...]]:
    """Pickle what another process needs to join this run. The token stays here: the environment has the child's."""
    if job._settings is not None and job._settings.url is None:
        job._warn_alone()
    if job._carrier is not None and not job._carrier.given:
        job._carrier.given = True
        job._run_known.wait(PICKLE_WAIT_S)
    settings = None if job._settings is None else dataclasses.replace(job._settings, token=None)
    facts = {"title": job._title, "unit": job._unit, "total": job._total}
    return _joined, (type(job), job._id, job._run, job._started_at, job._raise_on_cancel, settings, facts)


def _joined(
    cls: type[Reported],
    job_id: str,
    run: int | None,
    started_at: str | None,
    raise_on_cancel: bool,
    settings: Settings | None,
    facts: dict[str, object],
) -> Reported:
    """Return the job that was pickled: itself in its own process, else one that joins its run."""
    for job in process.open_jobs():
        if isinstance(job, Reported) and (job._id, job._started_at) == (job_id, started_at):
            return job
    if settings is not None:
        settings = dataclasses.replace(settings, token=os.environ.get("JOBPROGRESS_TOKEN") or None)
        settings = destination(None, settings)
    job = cls.__new__(cls)
    attach(job, job_id, settings, started_at=started_at, run=run, raise_on_cancel=raise_on_cancel, **facts)
    job._once.skip("alone")  # whoever pickled it has said so
    return job
