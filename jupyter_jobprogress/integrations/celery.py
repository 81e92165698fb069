"""Celery: a task is a job with the id of the task, from the queue to its end.

    app = Celery("tasks", broker="redis://…", task_cls=ProgressTask)

or ``@app.task(base=ProgressTask, bind=True)`` for some tasks. Where jobs are reported: ``app.conf.jobprogress_url``,
else the environment, else the broker, if that is Redis.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Coroutine, Generator, Mapping
from concurrent.futures import Future
from typing import Any, Final, NoReturn

from celery import Task, current_task  # type: ignore[import-untyped]
from celery.exceptions import Ignore, Reject  # type: ignore[import-untyped]
from celery.signals import (  # type: ignore[import-untyped]
    task_failure,
    task_postrun,
    task_retry,
    task_revoked,
    task_success,
    worker_process_shutdown,
)
from celery.utils import uuid  # type: ignore[import-untyped]

from jupyter_jobprogress.errors import InvalidJobIdError, JobCancelled
from jupyter_jobprogress.protocol import limits
from jupyter_jobprogress.protocol.messages import Outcome, Receipt
from jupyter_jobprogress.protocol.names import check_job_id, child_job_id, make_job_id
from jupyter_jobprogress.protocol.payload import text, timestamp
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.reporter import joining, process
from jupyter_jobprogress.reporter.destination import destination
from jupyter_jobprogress.reporter.job import Job, current_job, within
from jupyter_jobprogress.reporter.sender import Sender

PATIENCE_S: Final = 0.5
"""Longest that sending or starting a task is held up by the store. While that is known to be away it is not asked."""

PARENT: Final = "jobprogress_parent"
"""Header of a message that names the job in which the task was sent."""

CANCELLED: Final = "Cancelled on request"

_log = logging.getLogger(__name__)


def job_id_of(task_id: str) -> str:
    """Return the id of a task's job: that of the task, unless it breaks rule 1."""
    try:
        return check_job_id(task_id)
    except InvalidJobIdError:
        return child_job_id("task", str(task_id))


class ProgressTask(Task):  # type: ignore[misc]
    """A task whose progress can be watched.

    It is queued, runs, is tried again, and completes, fails or is revoked as Celery says, without a line in the task.
    Inside it, ``self.job`` and ``current_job()`` are its job. Each execution is a run of its own, so that one which was
    delivered twice cannot disturb the newer one.

    Whoever cancels the job revokes the task: before it starts, or at its next report or update, which raises
    JobCancelled. Reports never wait for the store; sending a task and starting one do, ``PATIENCE_S`` at most.
    """

    abstract = True

    @property
    def job(self) -> Job:
        """The job of the running task. Where the task was called as a function, one that reports nothing."""
        job: Job | None = self.request.__dict__.get("jobprogress_job")
        if job is None:
            job = self.request.jobprogress_job = Job.__new__(Job)
            joining.attach(job, make_job_id(), None)
        return job

    def report_progress(
        self, stage: str, progress: float | None, message: str, metadata: Mapping[str, object] | None = None
    ) -> Coroutine[Any, Any, None]:
        """Report, at once. What it returns may be awaited, given to ``asyncio.run``, or ignored.

        Raises:
            JobCancelled: somebody asked for it. Let it through: the task is then revoked.
        """
        self.job.report(stage, progress, message, metadata)
        return _Done()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly:
            return super().__call__(*args, **kwargs)
        job_id = job_id_of(request.id)
        if not request.is_eager and self._cancelled_meanwhile(job_id):
            self._tell(job_id, Status.CANCELLED, CANCELLED)
            self._revoke()
        job = request.jobprogress_job = Job(
            job_id,
            title=self.name,
            parent_id=(request.headers or {}).get(PARENT) or request.group,
            url=self._url(),
            display=False,
        )
        try:
            with within(job):
                return self.run(*args, **kwargs)
        except JobCancelled:
            job.cancel(CANCELLED)
            self._revoke()

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, *rest: Any, **options: Any
    ) -> Any:
        if self._get_app().conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id, *rest, **options)
        task_id = task_id or uuid()
        job_id = job_id_of(task_id)
        own: Job | None = self.request.__dict__.get("jobprogress_job")
        if own is not None and own.id == job_id:
            # ``retry`` sends the task again. Said before the message leaves: another worker may be quick.
            own.requeue(self._again(options.get("retries", 0), sys.exc_info()[1]))
            own.wait(PATIENCE_S)
        else:
            if parent_id := _sending_job():
                options["headers"] = {PARENT: parent_id, **(options.get("headers") or {})}
            self._queue(job_id, parent_id or options.get("group_id"))
        try:
            return super().apply_async(args, kwargs, task_id, *rest, **options)
        except Exception as exc:
            self._tell(job_id, Status.FAILED, f"The task was not sent: {type(exc).__name__}")
            raise

    def _url(self) -> str | None:
        """Where jobs are reported; None leaves it to the environment."""
        conf = self._get_app().conf
        if url := conf.get("jobprogress_url"):
            return str(url)
        broker = str(conf.broker_url or "")
        elsewhere = any(os.environ.get(name) for name in ("JOBPROGRESS_URL", "REDIS_URL"))
        return broker if broker.startswith(("redis://", "rediss://")) and ";" not in broker and not elsewhere else None

    def _sender(self) -> Sender | None:
        settings = destination(self._url())
        return None if settings is None else process.sender_for(settings)

    def _state(self, job_id: str, status: Status, message: str, parent_id: str | None = None) -> State:
        said = text(message, limits.TEXT_BYTES)
        return State(
            job_id=check_job_id(job_id),
            status=status,
            stage="",
            progress=None,
            message=said,
            error=said if status is Status.FAILED else None,
            timestamp=timestamp(time.time()),
            title=text(self.name, limits.LABEL_BYTES),
            parent_id=parent_id,
        )

    def _tell(self, job_id: str, status: Status, message: str) -> None:
        """Say how a task ended whose own process cannot. In the background, and again until the store has it."""
        if (sender := self._sender()) is not None:
            sender.submit(self._state(job_id, status, message))

    def _queue(self, job_id: str, parent_id: str | None) -> None:
        """Show a task as queued before it is. Later would be wrong: a worker may have started it by then."""
        sender = self._sender()
        if sender is not None and sender.trouble(job_id) is None:
            _answer(sender.tell(self._state(job_id, Status.QUEUED, "", parent_id)))

    def _cancelled_meanwhile(self, job_id: str) -> bool:
        """Whether somebody asked to cancel the job while the task was in the queue. A new run forgets the wish."""
        sender = self._sender()
        if sender is None or sender.trouble(job_id) is not None:
            return False
        receipt = _answer(sender.ask(job_id))
        return receipt is not None and receipt.outcome is Outcome.ACCEPTED and receipt.cancel_requested

    def _revoke(self) -> NoReturn:
        """Have Celery take the running task for revoked."""
        request = self.request
        self.backend.mark_as_revoked(request.id, CANCELLED, request=request, store_result=not self.ignore_result)
        raise Ignore(CANCELLED)

    def _again(self, retries: int, exc: BaseException | None) -> str:
        of_all = "" if self.max_retries is None else f" of {self.max_retries}"
        return f"Retry {retries}{of_all}" + ("" if exc is None else f" after {type(exc).__name__}: {exc}")


class _Done(Coroutine[Any, Any, None]):
    """A coroutine that has done its work. Unlike one of ``async def`` it does not mind being ignored."""

    def send(self, value: Any) -> NoReturn:
        raise StopIteration

    def throw(self, *exc: Any) -> NoReturn:
        raise exc[0]

    def close(self) -> None:
        """Do nothing: nothing is left to do."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


def _answer(asked: Future[Receipt]) -> Receipt | None:
    """Wait for a receipt, and do without one where the store is slow or away."""
    try:
        return asked.result(PATIENCE_S)
    except Exception as exc:  # noqa: BLE001 — whatever it is, the task goes on
        asked.cancel()
        _log.debug("The store did not answer: %r", exc)
        return None


def _sending_job() -> str | None:
    """Return the job inside which a task is sent. The next one of a chain is sent after its predecessor has ended."""
    if (job := current_job()) is not None:
        return job.id
    headers = current_task.request.headers if current_task else None
    return None if headers is None else headers.get(PARENT)


def _open_job(task: object, task_id: str | None = None) -> Job | None:
    """Return the job of a task that runs in this thread, or None in another process than the task's."""
    if not isinstance(task, ProgressTask) or (task_id is not None and task.request.id != task_id):
        return None
    job: Job | None = task.request.__dict__.get("jobprogress_job")
    return None if job is None or job.closed else job


@task_success.connect  # type: ignore[untyped-decorator]
def _succeeded(sender: object, result: object, **_: object) -> None:
    if (job := _open_job(sender)) is not None:
        job.complete(result)


@task_failure.connect  # type: ignore[untyped-decorator]
def _failed(sender: object, task_id: str, exception: BaseException, **_: object) -> None:
    if (job := _open_job(sender, task_id)) is not None:
        job.fail(exception)
    elif isinstance(sender, ProgressTask) and "jobprogress_job" not in sender.request.__dict__:
        # The worker's main process: the one of the task was killed, or took too long.
        sender._tell(job_id_of(task_id), Status.FAILED, f"{type(exception).__name__}: {exception}")


@task_retry.connect  # type: ignore[untyped-decorator]
def _tried_again(sender: object, request: Any, reason: object, **_: object) -> None:
    if (job := _open_job(sender)) is not None:
        job.requeue(f"Retry: {reason}")


@task_revoked.connect  # type: ignore[untyped-decorator]
def _revoked(sender: object, request: Any, terminated: bool, expired: bool, **_: object) -> None:
    if isinstance(sender, ProgressTask):
        how = "Expired in the queue" if expired else "Terminated" if terminated else "Revoked"
        sender._tell(job_id_of(request.id), Status.CANCELLED, how)


@task_postrun.connect  # type: ignore[untyped-decorator]
def _left(sender: object, retval: object, **_: object) -> None:
    """End what ended in none of the usual ways."""
    job = _open_job(sender)
    if job is None:
        return
    exc = sys.exc_info()[1]
    if isinstance(retval, Reject) and retval.requeue:
        job.requeue("Put back into the queue")
    elif isinstance(exc, SystemExit):
        job._drop()  # how a process of a pool is terminated; its parent tells why
    elif exc is not None:
        job._end_by(exc)
    else:
        job.cancel("Rejected" if isinstance(retval, Reject) else "Ignored")


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _leave(**_: object) -> None:
    process.leave()  # the process of a pool ends without running exit handlers
