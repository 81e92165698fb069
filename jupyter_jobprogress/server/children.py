"""Which jobs are parts of those that somebody watches, found by looking: only the child itself names its parent.

One look at the newest jobs serves all parents and all viewers. Knows neither Tornado nor which store it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from jupyter_jobprogress.errors import StoreError
from jupyter_jobprogress.protocol.messages import Stored
from jupyter_jobprogress.store.base import Store
from jupyter_jobprogress.store.portions import PORTION_BYTES

LOOK_S: Final = 2.0
"""Time between two looks."""

NEWEST: Final = 500
"""Jobs that one look goes through. A child is among them while it lives: its heartbeats make it one of the newest."""

PAGES: Final = 8
"""Most pages of the listing by parent, made once when a parent begins to be watched. Those that the size of their
states has cut short count by their jobs."""

_log = logging.getLogger(__name__)


class ParentViewer(Protocol):
    """Who is told of parts. Must not block, await or raise."""

    def children(self, parent_id: str, job_ids: list[str]) -> None:
        """Learn of parts of a job that were not known before."""


class _Child(msgspec.Struct):
    parent_id: object = None


_child_decoder: Final = msgspec.json.Decoder(_Child)


class _Parent:
    def __init__(self) -> None:
        self.viewers: set[ParentViewer] = set()
        self.known: dict[str, None] = {}
        self.listed = False


class Children:
    """Looks while anything is watched. ``close`` ends its task; the store belongs to the caller."""

    def __init__(self, store: Store, *, look_s: float = LOOK_S) -> None:
        self._store = store
        self._look_s = look_s
        self._parents: dict[str, _Parent] = {}
        self._looker: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def watch(self, viewer: ParentViewer, parent_id: str) -> None:
        """Tell a viewer of the parts of a job: of those that are known at once, of others when they are found."""
        parent = self._parents.setdefault(parent_id, _Parent())
        parent.viewers.add(viewer)
        if parent.known:
            viewer.children(parent_id, list(parent.known))
        if not parent.listed:
            self._wake.set()
        if self._looker is None:
            self._looker = asyncio.create_task(self._look())

    def unwatch(self, viewer: ParentViewer, parent_id: str) -> None:
        """Stop that. Idempotent."""
        if parent := self._parents.get(parent_id):
            parent.viewers.discard(viewer)
            if not parent.viewers:
                del self._parents[parent_id]

    async def close(self) -> None:
        """Stop looking. Idempotent."""
        self._parents.clear()
        if self._looker is not None:
            self._looker.cancel()
            await asyncio.gather(self._looker, return_exceptions=True)
            self._looker = None

    async def _look(self) -> None:
        """Look again and again until nothing is watched any more."""
        while self._parents:
            self._wake.clear()
            try:
                await self._list_new_parents()
                await self._list_newest()
            except StoreError as exc:
                _log.debug("Parts of jobs are looked for later: %s", exc)
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._looker = None

    async def _list_newest(self) -> None:
        left, after = NEWEST, None
        while left > 0:  # a page of large states is shorter than it was asked for
            page = await self._store.list(limit=left, after=after)
            self._found(page.jobs)
            left -= len(page.jobs)
            if (after := page.next) is None:
                break

    async def _list_new_parents(self) -> None:
        for parent_id, parent in list(self._parents.items()):
            if parent.listed:
                continue
            after, pages, found = None, 0, 0
            while pages < PAGES and found < PAGES * NEWEST:
                page = await self._store.list(parent_id=parent_id, limit=NEWEST, after=after)
                self._found(page.jobs)
                found += len(page.jobs)
                # One that ends early for the size of its states has gone through few jobs.
                pages += sum(len(stored.data) for stored in page.jobs) < PORTION_BYTES
                if (after := page.next) is None:
                    break
            parent.listed = True

    def _found(self, jobs: Iterable[Stored]) -> None:
        new: dict[str, list[str]] = {}
        for stored in jobs:
            parent_id = _child_decoder.decode(stored.data).parent_id
            parent = self._parents.get(parent_id) if isinstance(parent_id, str) else None
            if parent is not None and stored.job_id not in parent.known:
                parent.known[stored.job_id] = None
                new.setdefault(str(parent_id), []).append(stored.job_id)
        for parent_id, job_ids in new.items():
            for viewer in tuple(self._parents[parent_id].viewers):
                viewer.children(parent_id, job_ids)
