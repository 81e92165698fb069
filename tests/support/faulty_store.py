"""The embedded store with faults that a test switches on and off, and a record of what it was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from jupyter_jobprogress.errors import InvalidMessageError, StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.protocol.messages import Contribution, Receipt, Stored
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Page
from jupyter_jobprogress.store.embedded import EmbeddedStore

Fault = Literal["refuses", "denies", "hangs", "breaks", "rejects"]


class Published(NamedTuple):
    """One call of ``publish``: when, by the monotonic clock, with what, and whether it came through."""

    at_s: float
    state: State
    start: bool
    stored: bool


class FaultyStore(EmbeddedStore):
    """Switch faults by assigning ``fault``, from any thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.fault: Fault | None = None
        self.published: list[Published] = []
        self.read_at_s: list[float] = []
        self.added: list[Contribution] = []

    async def publish(self, state: State, *, start: bool = False) -> Receipt:
        at_s = time.monotonic()
        if self.fault is not None:
            self.published.append(Published(at_s, state, start, False))
        await self._fail()
        receipt = await super().publish(state, start=start)
        self.published.append(Published(at_s, state, start, True))
        return receipt

    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        self.added.append(contribution)
        await self._fail()
        return await super().add(job_id, part=part, contribution=contribution, run=run)

    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        self.read_at_s.append(time.monotonic())
        return await super().read(job_ids)

    async def list(self, **filters: Any) -> Page:
        await self._fail()
        return await super().list(**filters)

    async def _fail(self) -> None:
        fault = self.fault
        if fault == "refuses":
            raise StoreUnavailableError("faulty", "it refuses")
        if fault == "denies":
            raise StoreDeniedError("faulty", "it denies")
        if fault == "rejects":
            raise InvalidMessageError("it is stricter")
        if fault == "breaks":
            raise ZeroDivisionError
        if fault == "hangs":
            await asyncio.Event().wait()

    @property
    def stored(self) -> list[State]:
        """The states that came through."""
        return [published.state for published in self.published if published.stored]
