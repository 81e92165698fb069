"""``watch``, ``wait`` and ``get_status``: jobs from Python, wherever they run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import aclosing, suppress
from typing import TypeVar

from jupyter_jobprogress.client.follow import Follower, read_state
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect

_T = TypeVar("_T")


async def watch(*job_ids: str, url: str | None = None, settings: Settings | None = None) -> AsyncGenerator[State, None]:
    """Yield the states of jobs as they come, the present ones first, until all jobs have ended.

    A job may be watched before anybody reports on it. Who takes them slowly is given the newest of each job and not a
    backlog. A store that goes away is waited for, and what was missed is read again: the last state is never lost.
    A job that dies without a word never ends: give up with ``asyncio.timeout``. A loop that is left by ``break`` is
    closed with its connection when Python gets to it; ``contextlib.aclosing`` does it at once.

    The jobs are looked for at ``url``, else at ``JOBPROGRESS_URL``, else ``REDIS_URL``, else in a server of this user
    that runs on this machine; ``settings`` are taken whole instead.

    Raises:
        InvalidJobIdError, SettingsError, NoServerError
        StoreUnavailableError: the store does not answer at the start.
        StoreDeniedError: it refuses the credential, at the start or later.
    """
    async with Follower(connect(settings or find(url)), job_ids) as follower:
        while not follower.done:
            for _, state in await follower.news():
                yield state


async def wait_async(
    job_id: str, *, timeout: float | None = None, url: str | None = None, settings: Settings | None = None
) -> State:
    """Return the last state of a job once it has ended, whether it completed, failed or was cancelled.

    ``timeout`` is in seconds, None waits for ever. Cancelling it closes the connection and leaves the job alone.

    Raises:
        TimeoutError: the job has not ended by then, or nobody has reported on it.
        and what ``watch`` raises.
    """
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline, aclosing(watch(job_id, url=url, settings=settings)) as states:
            async for state in states:
                found = state
            return found
    except TimeoutError:
        if not deadline.expired():
            raise
        raise TimeoutError(f"Expected job {job_id} to end within {timeout} s, and it has not.") from None


def wait(
    job_id: str, *, timeout: float | None = None, url: str | None = None, settings: Settings | None = None
) -> State:
    """Block until a job has ended, and return its last state: ``wait_async`` for code that is not asynchronous.

    Works anywhere, also in a cell of a notebook, whose event loop it holds up like any other call that blocks. An
    interrupt ends it.

    Raises:
        what ``wait_async`` raises.
    """
    return _run(lambda: wait_async(job_id, timeout=timeout, url=url, settings=settings))


async def get_status_async(job_id: str, *, url: str | None = None, settings: Settings | None = None) -> State | None:
    """Return the newest state of a job, or None if the store knows none. Waits for one answer, 2 s at most.

    Raises:
        what ``watch`` raises.
    """
    store = connect(settings or find(url))
    try:
        stored = (await store.read([check_job_id(job_id)])).get(job_id)
    finally:
        await store.close()
    return None if stored is None else read_state(stored)


def get_status(job_id: str, *, url: str | None = None, settings: Settings | None = None) -> State | None:
    """Block for what ``get_status_async`` returns, and return that.

    Raises:
        what ``watch`` raises.
    """
    return _run(lambda: get_status_async(job_id, url=url, settings=settings))


def _run(work: Callable[[], Coroutine[None, None, _T]]) -> _T:
    """Run a coroutine in an event loop of its own, in a thread of its own where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    answer: Future[_T] = Future()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def carry() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        try:
            answer.set_result(await work())
        except BaseException as exc:  # noqa: BLE001 — handed to the caller's thread, whatever it is
            answer.set_exception(exc)

    thread = threading.Thread(target=lambda: asyncio.run(carry()), name="jobprogress-wait", daemon=True)
    thread.start()
    try:
        return answer.result()
    finally:
        if not answer.done():  # an interrupt
            loop, task = started.result()
            with suppress(RuntimeError):  # it ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
