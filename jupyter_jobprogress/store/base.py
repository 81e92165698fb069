"""What a store is. Three implementations keep this contract, and one test body runs over all of them.

The store holds the truth; a push only makes it arrive sooner (rule 12).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.protocol.messages import Contribution, Receipt, Stored
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.store.portions import PORTION_BYTES, Stride


class Listener(Protocol):
    """Who is told of pushes. Called in the event loop of the store; must not block, await or raise."""

    def pushed(self, stored: Stored) -> None:
        """Take a state of a job that was added to the subscription. May come twice, or after a newer one."""

    def gap(self, job_ids: Iterable[str]) -> None:
        """Learn that pushes of these jobs may have been missed: read them again (rule 17)."""


class Health(NamedTuple):
    """Whether a store answers. ``reason`` is for people and holds no secret; empty while up."""

    up: bool
    reason: str = ""


class Page(NamedTuple):
    """Some jobs, newest first. ``next`` is the ``after`` of the following page, or None at the end."""

    jobs: list[Stored]
    next: int | None


class Subscription(ABC):
    """What one listener wants to hear of."""

    @abstractmethod
    async def add(self, job_id: str) -> None:
        """Want a job, and return once every later push of it will arrive.

        Raises:
            InvalidJobIdError
            StoreUnavailableError: the confirmation did not come within the deadline. The job stays wanted, and
                ``gap`` is called when it is confirmed after all.

        Cancellation leaves the job wanted; ``discard`` it.
        """

    @abstractmethod
    def discard(self, job_id: str) -> None:
        """No longer want a job. Idempotent; a push that is under way may still arrive."""

    @abstractmethod
    async def close(self) -> None:
        """Want nothing any more. Idempotent."""


class Store(ABC):
    """Holds the newest state of each job. All methods run in the one event loop that the store is used in.

    Every method may raise StoreUnavailableError within ``Settings.deadline_s``, StoreDeniedError, or StoreClosedError,
    and InvalidJobIdError for an id that breaks rule 1.
    """

    on_health: Callable[[Health], None] | None = None
    """Set by who wants to know: called in the event loop when ``health.up`` changes. After a loss ``gap`` comes first,
    and then the news that the store is up. Must not block, await or raise."""

    on_cancel: Callable[[str], None] | None = None
    """Set by who reports: called in the event loop with the id of a job that somebody asks to cancel, by a store that
    hears of it at once. Others tell it in the next receipt. Must not block, await or raise."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of this store for people, without secrets."""

    @property
    @abstractmethod
    def health(self) -> Health:
        """What is known now, without I/O."""

    @abstractmethod
    def now_us(self) -> int:
        """Estimate the store's clock, in microseconds since 1970, without I/O."""

    @abstractmethod
    async def publish(self, state: State, *, start: bool = False) -> Receipt:
        """Store a state, renew its TTL and push it, or do none of it (rules 11 to 16).

        ``start`` asks for a new run, whatever ``state.run`` says; the receipt tells it. Otherwise ``state.run`` is the
        fencing number, and None means a message that is taken as it comes. ``state.seq`` is ignored.

        Raises:
            ProtocolError: the state breaks a rule or a limit. Nothing is stored.

        After a cancellation or StoreUnavailableError the state may or may not be stored; publishing it again is safe.
        """

    @abstractmethod
    async def add(self, job_id: str, *, part: str, contribution: Contribution, run: int | None) -> Receipt:
        """Replace what the worker ``part`` (a name that keeps rule 1) has contributed to a job (rule 33).

        No state changes and none is pushed: the job's owner learns the sum, and the words, in its next receipt. ``run``
        is the fencing number, and None joins whichever run is the newest. Safe to repeat.
        """

    @abstractmethod
    async def read(self, job_ids: Sequence[str]) -> dict[str, Stored]:
        """Return the newest states of those jobs that the store knows."""

    async def read_portion(self, job_ids: Sequence[str]) -> tuple[Sequence[Stored], Sequence[str]]:
        """Read in this order until the states come to ``PORTION_BYTES``; return them, and the ids that are left."""
        states: list[Stored] = []
        looked_at, size, stride = 0, 0, Stride()
        while looked_at < len(job_ids) and size < PORTION_BYTES:
            part = job_ids[looked_at : looked_at + stride.count]
            found = await self.read(part)
            stride.learn(len(stored.data) for stored in found.values())
            for job_id in part:
                if size >= PORTION_BYTES:
                    break
                looked_at += 1
                if (stored := found.get(job_id)) is not None:
                    states.append(stored)
                    size += len(stored.data)
        return states, job_ids[looked_at:]

    @abstractmethod
    async def list(
        self,
        *,
        status: Status | None = None,
        parent_id: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Page:
        """Page through known jobs, newest first, from an index. A page may be shorter than ``limit`` (1 to 1000) where
        ``next`` is not None: it ends at ``portions.PORTION_BYTES``. Messages of the original form, which no store took
        in, are not listed."""

    @abstractmethod
    async def request_cancel(self, job_id: str) -> bool:
        """Raise the cancel flag of the present run. Sticky until a new run starts. False: no such job, or it ended."""

    @abstractmethod
    async def delete(self, job_id: str) -> bool:
        """Forget a job. False: it was not known."""

    @abstractmethod
    def subscribe(self, listener: Listener) -> Subscription:
        """Make a subscription, empty at first. A store may have any number of them."""

    def of_tenant(self, name: str) -> Store:
        """Return a store of its own for one of several tenants, none of whom sees another's jobs.

        Closing it leaves this one open; closing this one ends it, too.

        Raises:
            SettingsError: what is behind this store cannot be divided.
        """
        raise SettingsError("the store", self.label, "Redis or the embedded store, where each user has a part of it")

    @abstractmethod
    async def close(self) -> None:
        """Stop tasks, flush what is written behind, close connections. Idempotent; then StoreClosedError."""
