"""``jupyter jobprogress watch``: follow jobs until all have ended. Bars in a terminal, plain lines in a pipe."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain, find
from jupyter_jobprogress.errors import ProtocolError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Stored, decode_state, newer
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.base import Health, Store

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


async def command(options: Namespace) -> Exit:
    """Exit with 0 if all jobs completed, and with 1 if one failed or was cancelled."""
    job_ids = [check_job_id(job_id) for job_id in dict.fromkeys(options.job_ids)]
    store = connect(find(options.url))
    bars = sys.stdout.isatty() and not options.json
    shown = _Bars(store) if bars else _Lines(store, raw=options.json)
    viewer = _Viewer(job_ids, shown.take)
    store.on_health = viewer.store_health
    subscription = store.subscribe(viewer)
    try:
        with shown.display():
            # Asked before it is awaited: a server that cannot be reached, or lets nobody in, ends the command.
            await store.read(job_ids)
            for job_id in job_ids:
                await subscription.add(job_id)
            await viewer.read(store)
            while not await viewer.ended(within_s=1.0):
                await viewer.read(store)
                shown.tick()
    finally:
        await subscription.close()
        await store.close()
    return Exit.OK if set(viewer.ends.values()) == {Status.COMPLETED} else Exit.JOB_FAILED


class _Viewer:
    """Listens to a store, reads what it may have missed (rule 17), and waits for the ends of its jobs."""

    def __init__(self, job_ids: list[str], take: Callable[[Stored, State], None]) -> None:
        self._wanted = set(job_ids)
        self._stale = set(job_ids)
        self._latest: dict[str, Stored] = {}
        self._take = take
        self._all = asyncio.Event()
        self.ends: dict[str, Status] = {}

    def pushed(self, stored: Stored) -> None:
        if not newer(stored, self._latest.get(stored.job_id)):
            return
        self._latest[stored.job_id] = stored
        try:
            state = decode_state(stored.data)
        except ProtocolError as exc:
            complain(str(exc))
            return
        self._take(stored, state)
        if state.status.terminal:
            self.ends[stored.job_id] = state.status
        else:
            self.ends.pop(stored.job_id, None)  # it runs again
        if self.ends.keys() == self._wanted:
            self._all.set()

    def gap(self, job_ids: Iterable[str]) -> None:
        self._stale.update(job_ids)

    def store_health(self, health: Health) -> None:
        complain("The store answers again." if health.up else "The store does not answer; waiting for it.")

    async def read(self, store: Store) -> None:
        """Read what may have been missed; where the store is away, at the next call."""
        stale, self._stale = self._stale, set()
        if stale:
            try:
                for stored in (await store.read(sorted(stale))).values():
                    self.pushed(stored)
            except StoreUnavailableError:
                self._stale |= stale

    async def ended(self, *, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self._all.wait()
        except TimeoutError:
            return False


class _Lines:
    """A line whenever what a person would notice has changed; with ``raw`` every state."""

    def __init__(self, store: Store, *, raw: bool) -> None:
        self._store = store
        self._raw = raw
        self._last: dict[str, str] = {}

    def display(self) -> AbstractContextManager[object]:
        return nullcontext()

    def take(self, stored: Stored, state: State) -> None:
        line = stored.data.decode() if self._raw else show.line(state, now_us=self._store.now_us())
        if self._raw or self._last.get(state.job_id) != line:
            self._last[state.job_id] = line
            print(line, flush=True)

    def tick(self) -> None:
        pass


class _Bars:
    """Bars by rich, which is loaded for them alone."""

    def __init__(self, store: Store) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._store = store
        self._tasks: dict[str, TaskID] = {}
        self._states: dict[str, State] = {}
        # No markup: what a job says is text.
        columns = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("job", "condition", "words")]
        self._progress: Progress = Progress(columns[0], BarColumn(), *columns[1:])

    def display(self) -> AbstractContextManager[object]:
        return self._progress

    def take(self, stored: Stored, state: State) -> None:
        if state.job_id not in self._tasks:
            self._tasks[state.job_id] = self._progress.add_task("", total=1.0, job="", condition="", words="")
        self._states[state.job_id] = state
        self._draw(state)

    def tick(self) -> None:
        """Look again at how long nothing was heard."""
        for state in self._states.values():
            self._draw(state)

    def _draw(self, state: State) -> None:
        condition = show.condition(state, now_us=self._store.now_us())
        self._progress.update(
            self._tasks[state.job_id],
            total=None if state.progress is None and not state.status.terminal else 1.0,
            completed=state.progress or 0.0,
            job=state.job_id,
            condition=show.percent(state) if condition == Status.PROCESSING else condition,
            words=show.words(state),
        )
