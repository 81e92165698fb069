"""One socket, without the socket: what a client asks for, and what it gets (docs/protocol.md, section 6).

Knows neither Tornado nor who the client is, only what it may do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from jupyter_jobprogress.errors import (
    ForbiddenError,
    InvalidMessageError,
    JobProgressError,
    ProtocolError,
    StoreError,
    TooManyIdsError,
    TooManySubscriptionsError,
)
from jupyter_jobprogress.protocol import messages
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.messages import Outcome, Receipt, encode
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.protocol.tickets import Action
from jupyter_jobprogress.server import answers
from jupyter_jobprogress.server.children import Children
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.server.frames import text_frame
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.limits import BURST_S, Allowance, Guest
from jupyter_jobprogress.server.mailbox import Mailbox, MailboxFullError, Outlet
from jupyter_jobprogress.server.reporters import Reporters
from jupyter_jobprogress.server.topic import pace_s
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Store

COMMANDS_IN_FLIGHT: Final = 64
"""Most commands of one client that wait for the store; further ones wait in its socket."""

BAD_MESSAGES: Final = 100
"""A client that sent so many messages which cannot be read is closed: it will not learn the protocol any more."""

_IN_ORDER: Final = (messages.Subscribe, messages.Unsubscribe, messages.Read, messages.ListJobs)

_log = logging.getLogger(__name__)


class Session:
    """A client and what it watches. ``outlet`` is its socket; ``spoke`` is told of its first message.

    Of thousands of them most are idle, so that what only a busy one needs is made when it is needed.
    """

    __slots__ = (
        "_allowance",
        "_bad",
        "_children",
        "_commands",
        "_fanout",
        "_grant",
        "_guest",
        "_intervals_s",
        "_job_id",
        "_mailbox",
        "_outlet",
        "_parents",
        "_reporters",
        "_reports",
        "_room",
        "_settings",
        "_spoke",
        "_stopped",
        "_store",
    )

    def __init__(
        self,
        *,
        store: Store,
        fanout: Fanout,
        reporters: Reporters,
        children: Children,
        settings: Settings,
        grant: Grant,
        guest: Guest,
        outlet: Outlet,
        job_id: str | None = None,
        spoke: Callable[[Session], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._fanout = fanout
        self._reporters = reporters
        self._children = children
        self._reports: set[str] | None = None
        self._parents: set[str] | None = None
        self._settings = settings
        self._grant = grant
        self._guest = guest
        self._outlet = outlet
        self._job_id = job_id
        self._spoke: Callable[[Session], None] | None = spoke
        self._mailbox = Mailbox(outlet)
        self._intervals_s: dict[str, float] | None = None
        self._commands: set[asyncio.Task[None]] | None = None
        self._room: asyncio.Future[None] | None = None
        self._allowance: Allowance | None = None
        self._bad = 0
        self._stopped = False

    async def start(self) -> None:
        """Greet, and with a ``job_id`` watch it with every update (rule 26)."""
        self._put(self._notice("connected", "Connected to job progress stream"))
        self._fanout.enter(self)
        if self._job_id is not None:
            await self._fanout.open([self._job_id])
            self._watch({self._job_id: 0.0})

    def stop(self) -> list[asyncio.Task[None]]:
        """Forget the client, and cancel its commands; the caller awaits them. Idempotent."""
        self._stopped = True
        self._fanout.leave(self)
        for job_id in self._reports or ():
            self._reporters.forget(job_id, self)
        for job_id in self._parents or ():
            self._children.unwatch(self, job_id)
        self._reports = self._parents = None
        for job_id, interval_s in (self._intervals_s or {}).items():
            self._fanout.unwatch(self._mailbox, job_id, interval_s)
        self._intervals_s = None
        self._guest.forget(self)
        self._mailbox.close()
        commands = list(self._commands or ())
        for task in commands:
            task.cancel()
        self._make_room()
        return commands

    @property
    def stopped(self) -> bool:
        """Whether the client was closed or is gone: what it still sends is not looked at."""
        return self._stopped

    def drained(self) -> None:
        """Learn that the outlet has written all that it took."""
        self._mailbox.drained()

    def cancel(self, job_id: str) -> None:
        """Tell the client that a job which it reports is asked to cancel (rule 19)."""
        self._put({"type": "cancel", "job_id": job_id})

    def children(self, parent_id: str, job_ids: list[str]) -> None:
        """Tell the client of parts of a job that it watches, as far as it may watch them (rule 34)."""
        allowed = [job_id for job_id in job_ids if self._grant.allows("watch", job_id)]
        if allowed:
            self._put({"type": "children", "parent_id": parent_id, "job_ids": allowed})

    def store_health(self, *, up: bool) -> None:
        """Pass on whether the store answers (rule 29)."""
        self._put({"type": "store", "up": up})

    def ping(self) -> None:
        """Send the keepalive message (rule 26)."""
        self._put(self._notice("ping", "keepalive"))

    def probe(self) -> None:
        """Ask the peer for a sign of life."""
        self._outlet.probe()

    @property
    def busy(self) -> bool:
        """Whether the client reports a job, or watches one of which there is more to come."""
        return bool(self._reports) or any(map(self._fanout.expects, self._intervals_s or ()))

    def silent(self) -> None:
        """Close a client that has not said what it wants within ``first_message_s``."""
        self.refuse(f"no message came within {self._settings.first_message_s:g} s")

    def dismiss(self, code: CloseCode, reason: str) -> None:
        """Close a client that may no longer do what it might when it came."""
        self._end(code, reason)

    def refuse(self, reason: str) -> None:
        """Close a client that is over a limit (4429)."""
        self._fanout.metrics.counts.refused += 1
        self._end(CloseCode.TOO_MANY, reason)

    def allows(self) -> bool:
        """Count something that the client did; False: that was too much, and it was closed."""
        if self._stopped:
            return False
        now_s = asyncio.get_running_loop().time()
        if self._allowance is None:
            rate = self._settings.commands_per_s
            self._allowance = Allowance(rate, rate * BURST_S, now_s)
        if not self._allowance.take(now_s):
            self.refuse(f"more than {self._settings.commands_per_s:g} messages a second")
            return False
        return True

    async def handle(self, data: str | bytes) -> None:
        """Carry out one message of the client on ``ws/jobs``; errors are answered (rule 28)."""
        if self._spoke is not None:
            self._spoke(self)
            self._spoke = None
        if self._job_id is not None:
            self.allows()  # what it says is ignored, but not for nothing
            return
        # Whoever does not read the answers asks nothing more: what waits for a viewer stays bounded.
        await self._mailbox.room()
        try:
            command = messages.decode_command(data)
        except InvalidMessageError as exc:
            self._misread(data, exc)
            return
        # A report is what its sender is here for; it waits for its turn, and is not counted.
        if self._stopped or not (isinstance(command, messages.Report | messages.Add) or self.allows()):
            return
        # Watching keeps the client's order, and of large answers one at a time is enough. What only asks the store does
        # not wait for one another.
        if isinstance(command, _IN_ORDER):
            await self._run(command)
            return
        if self._commands is None:
            self._commands = set()
        while len(self._commands) >= COMMANDS_IN_FLIGHT:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
            if self.stopped:
                return
        task = asyncio.create_task(self._run(command))
        self._commands.add(task)
        task.add_done_callback(self._command_done)

    def _misread(self, data: str | bytes, exc: InvalidMessageError) -> None:
        self._bad += 1
        if self._bad > BAD_MESSAGES:
            self._end(CloseCode.BAD_MESSAGE, f"more than {BAD_MESSAGES} messages that cannot be read")
        elif self.allows():
            self._put_bytes(answers.unread(exc, data))

    def _end(self, code: CloseCode, reason: str) -> None:
        if not self._stopped:
            _log.info("A viewer is closed with %d: %s", code, reason)
            self._stopped = True
            self._outlet.close(code, reason)

    def _command_done(self, task: asyncio.Task[None]) -> None:
        if self._commands is not None:
            self._commands.discard(task)
        self._make_room()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _run(self, command: messages.Command) -> None:
        try:
            await self._dispatch(command)
        except (ProtocolError, ForbiddenError, StoreError) as exc:
            self._put_bytes(answers.error(exc, command))
        except Exception:  # noqa: BLE001 — outermost line of a command: one client's bad luck must not end its socket
            _log.exception("A command of a client failed")
            failure = JobProgressError("The server failed on this message; its log says why.")
            self._put_bytes(answers.error(failure, command))

    async def _dispatch(self, command: messages.Command) -> None:
        match command:
            case messages.Subscribe():
                await self._subscribe(command)
            case messages.Unsubscribe():
                self._check_count(command.job_ids)
                for job_id in command.job_ids:
                    self._unwatch(job_id)
            case messages.Report():
                self._check("report", command.state.job_id)
                messages.check_state(command.state)
                with self._fanout.metrics.round_trip():
                    receipt = await self._store.publish(command.state, start=command.start)
                self._reported(command.state.job_id, receipt, ended=command.state.status.terminal)
                self._answer("receipt", command.id, messages.receipt_fields(command.state.job_id, receipt))
            case messages.Add():
                self._check("report", command.job_id)
                receipt = await self._store.add(
                    command.job_id, part=command.part, contribution=command.contribution, run=command.run
                )
                self._reported(command.job_id, receipt)
                self._answer("receipt", command.id, messages.receipt_fields(command.job_id, receipt))
            case messages.Read():
                self._check_count(command.job_ids)
                for job_id in command.job_ids:
                    self._check("watch", job_id)
                found, left = await self._store.read_portion(command.job_ids)
                self._put_bytes(answers.states("states", command.id, found, left=left))
            case messages.ListJobs():
                self._check("watch", None)
                page = await self._store.list(
                    status=command.status, parent_id=command.parent_id, limit=command.limit, after=command.after
                )
                self._put_bytes(answers.states("page", command.id, page.jobs, next=page.next))
            case messages.Cancel():
                self._check("cancel", command.job_id)
                self._answer("done", command.id, {"found": await self._reporters.request_cancel(command.job_id)})
            case messages.Delete():
                self._check("cancel", command.job_id)
                self._answer("done", command.id, {"found": await self._store.delete(command.job_id)})

    def _reported(self, job_id: str, receipt: Receipt, *, ended: bool = False) -> None:
        """Note whom to wake when this job is asked to cancel."""
        if ended or receipt.outcome is not Outcome.ACCEPTED:
            self._reporters.forget(job_id, self)
            (self._reports or set()).discard(job_id)
        elif not self._stopped:  # meanwhile
            self._reports = self._reports or set()
            self._reports.add(job_id)
            self._reporters.note(job_id, self)

    async def _subscribe(self, command: messages.Subscribe) -> None:
        job_ids = list(dict.fromkeys(command.job_ids))
        limit, known = self._settings.max_subscriptions, self._intervals_s or {}
        fresh = sum(job_id not in known for job_id in job_ids)
        if (wanted := len(known) + fresh) > limit:
            raise TooManySubscriptionsError(wanted, limit)
        self._check_count(job_ids)
        for job_id in job_ids:
            self._check("watch", job_id)
        self._guest.take(self, fresh)  # before the store is asked: other sockets ask meanwhile
        try:
            found = await self._fanout.open(job_ids)
        except BaseException:
            self._guest.give(self, fresh)
            raise
        missing = [job_id for job_id, stored in found.items() if stored is None]
        self._answer("subscribed", command.id, {"job_ids": job_ids, "missing": missing})
        self._watch(dict.fromkeys(job_ids, pace_s(command.interval_ms)))
        if command.children and not self._stopped:
            self._parents = self._parents or set()
            self._parents.update(job_ids)
            for job_id in job_ids:
                self._children.watch(self, job_id)

    def _watch(self, intervals_s: dict[str, float]) -> None:
        if self._stopped:  # meanwhile: the socket may have closed while the store was asked
            self._fanout.release(intervals_s)
            return
        if self._intervals_s is None:
            self._intervals_s = {}
        for job_id, interval_s in intervals_s.items():
            before_s = self._intervals_s.get(job_id)
            self._intervals_s[job_id] = interval_s
            self._fanout.watch(self._mailbox, job_id, interval_s, instead_of_s=before_s)

    def _unwatch(self, job_id: str) -> None:
        if self._intervals_s is not None and (interval_s := self._intervals_s.pop(job_id, None)) is not None:
            self._fanout.unwatch(self._mailbox, job_id, interval_s)
            self._guest.give(self, 1)
        if self._parents is not None and job_id in self._parents:
            self._parents.discard(job_id)
            self._children.unwatch(self, job_id)

    def _check_count(self, job_ids: list[str]) -> None:
        limit = self._settings.max_ids_per_command
        if len(job_ids) > limit:
            raise TooManyIdsError(len(job_ids), limit)

    def _check(self, action: Action, job_id: str | None) -> None:
        allowed = self._grant.allows_all(action) if job_id is None else self._grant.allows(action, check_job_id(job_id))
        if not allowed:
            raise ForbiddenError(action)

    def _notice(self, kind: str, text: str) -> dict[str, object]:
        now_us = self._store.now_us()
        said = timestamp(now_us / 1e6)
        notice: dict[str, object] = {"type": kind, "message": text, "timestamp": said, "now_us": now_us}
        if self._job_id is not None:
            notice["job_id"] = self._job_id
        return notice

    def _answer(self, kind: str, id: int | None, fields: dict[str, object]) -> None:
        self._put({"type": kind, **({} if id is None else {"id": id}), **fields})

    def _put(self, message: dict[str, object]) -> None:
        self._put_bytes(encode(message))

    def _put_bytes(self, data: bytes) -> None:
        try:
            self._mailbox.put(text_frame(data))
        except MailboxFullError:
            self._end(CloseCode.SLOW_VIEWER, "answers are not read")
