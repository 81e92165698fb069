"""One socket, without the socket: what a client asks for, and what it gets (docs/protocol.md, section 6).

Knows neither Tornado nor who the client is, only what it may do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from msgspec import structs

from jupyter_jobprogress.errors import (
    ForbiddenError,
    InvalidMessageError,
    JobProgressError,
    ProtocolError,
    StoreError,
    TooManySubscriptionsError,
)
from jupyter_jobprogress.protocol import messages
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.messages import Outcome, Receipt, Stored, encode
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.tickets import Action
from jupyter_jobprogress.server.fanout import Fanout
from jupyter_jobprogress.server.grants import Grant
from jupyter_jobprogress.server.mailbox import Mailbox, MailboxFullError
from jupyter_jobprogress.server.reporters import Reporters
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store.base import Store

COMMANDS_IN_FLIGHT: Final = 64
"""Most commands of one client that wait for the store; further ones wait in its socket."""

MAX_INTERVAL_MS: Final = 60_000.0

_log = logging.getLogger(__name__)


def _timestamp(now_us: int) -> str:
    return datetime.fromtimestamp(now_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Session:
    """A client and what it watches. ``send`` and ``try_send`` are those of ``Mailbox``; ``close`` ends the socket."""

    def __init__(
        self,
        *,
        store: Store,
        fanout: Fanout,
        reporters: Reporters,
        settings: Settings,
        grant: Grant,
        send: Callable[[bytes], Awaitable[None]],
        try_send: Callable[[bytes], bool] = lambda _: False,
        close: Callable[[CloseCode, str], None],
        job_id: str | None = None,
    ) -> None:
        self._store = store
        self._fanout = fanout
        self._reporters = reporters
        self._reports: set[str] = set()
        self._settings = settings
        self._grant = grant
        self._close = close
        self._job_id = job_id
        self._mailbox = Mailbox(send, try_send=try_send)
        self._intervals_s: dict[str, float] = {}
        self._commands: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(COMMANDS_IN_FLIGHT)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False

    async def start(self) -> None:
        """Greet, and with a ``job_id`` watch it with every update (rule 26)."""
        self._put(self._notice("connected", "Connected to job progress stream"))
        self._tasks.append(asyncio.create_task(self._mailbox.run()))
        if self._settings.ping_interval_s > 0:
            self._tasks.append(asyncio.create_task(self._ping()))
        self._fanout.enter(self)
        if self._job_id is not None:
            self._intervals_s[self._job_id] = 0.0
            await self._fanout.open([self._job_id])
            self._watch([self._job_id])

    async def stop(self) -> None:
        """Forget the client and end its tasks. Idempotent."""
        self._stopped = True
        self._fanout.leave(self)
        for job_id in self._reports:
            self._reporters.forget(job_id, self)
        self._reports.clear()
        self._intervals_s.clear()
        self._mailbox.close()
        tasks = [*self._tasks, *self._commands]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def deliver(self, stored: Stored) -> None:
        """Put a state in the mailbox, at the pace that the client asked for."""
        self._mailbox.put_state(stored, interval_s=self._intervals_s.get(stored.job_id, 0.0))

    def cancel(self, job_id: str) -> None:
        """Tell the client that a job which it reports is asked to cancel (rule 19)."""
        self._put({"type": "cancel", "job_id": job_id})

    def store_health(self, *, up: bool) -> None:
        """Pass on whether the store answers (rule 29)."""
        self._put({"type": "store", "up": up})

    async def handle(self, data: str | bytes) -> None:
        """Carry out one message of the client on ``ws/jobs``; errors are answered (rule 28)."""
        try:
            command = messages.decode_command(data)
        except InvalidMessageError as exc:
            self._put_error(exc)
            return
        # Watching keeps the client's order; what only asks the store does not wait for one another.
        if isinstance(command, messages.Subscribe | messages.Unsubscribe):
            await self._run(command)
            return
        await self._slots.acquire()
        task = asyncio.create_task(self._run(command))
        self._commands.add(task)
        task.add_done_callback(self._command_done)

    def _command_done(self, task: asyncio.Task[None]) -> None:
        self._commands.discard(task)
        self._slots.release()

    async def _run(self, command: messages.Command) -> None:
        try:
            await self._dispatch(command)
        except (ProtocolError, ForbiddenError, StoreError) as exc:
            self._put_error(exc, command)
        except Exception:  # noqa: BLE001 — outermost line of a command: one client's bad luck must not end its socket
            _log.exception("A command of a client failed")
            self._put_error(JobProgressError("The server failed on this message; its log says why."), command)

    async def _dispatch(self, command: messages.Command) -> None:
        match command:
            case messages.Subscribe():
                await self._subscribe(command)
            case messages.Unsubscribe():
                for job_id in command.job_ids:
                    self._unwatch(job_id)
            case messages.Report():
                self._check("report", command.state.job_id)
                messages.check_state(command.state)
                receipt = await self._store.publish(command.state, start=command.start)
                self._reported(command.state.job_id, receipt, ended=command.state.status.terminal)
                self._answer("receipt", command.id, {"job_id": command.state.job_id, **structs.asdict(receipt)})
            case messages.Add():
                self._check("report", command.job_id)
                receipt = await self._store.add(
                    command.job_id, part=command.part, contribution=command.contribution, run=command.run
                )
                self._reported(command.job_id, receipt)
                self._answer("receipt", command.id, {"job_id": command.job_id, **structs.asdict(receipt)})
            case messages.Read():
                for job_id in command.job_ids:
                    self._check("watch", job_id)
                found = await self._store.read(command.job_ids)
                self._put_states("states", command.id, list(found.values()))
            case messages.ListJobs():
                self._check("watch", None)
                page = await self._store.list(
                    status=command.status, parent_id=command.parent_id, limit=command.limit, after=command.after
                )
                self._put_states("page", command.id, page.jobs, next=page.next)
            case messages.Cancel():
                self._check("cancel", command.job_id)
                self._answer("done", command.id, {"found": await self._reporters.request_cancel(command.job_id)})
            case messages.Delete():
                self._check("cancel", command.job_id)
                self._answer("done", command.id, {"found": await self._store.delete(command.job_id)})

    def _reported(self, job_id: str, receipt: Receipt, *, ended: bool = False) -> None:
        """Note whom to wake when this job is asked to cancel."""
        if ended or receipt.outcome is not Outcome.ACCEPTED:
            self._reports.discard(job_id)
            self._reporters.forget(job_id, self)
        elif not self._stopped:  # meanwhile
            self._reports.add(job_id)
            self._reporters.note(job_id, self)

    async def _subscribe(self, command: messages.Subscribe) -> None:
        job_ids = list(dict.fromkeys(command.job_ids))
        for job_id in job_ids:
            self._check("watch", job_id)
        limit = self._settings.max_subscriptions
        wanted = len(self._intervals_s.keys() | set(job_ids))
        if wanted > limit:
            raise TooManySubscriptionsError(wanted, limit)
        interval_s = min(max(command.interval_ms, 0.0), MAX_INTERVAL_MS) / 1000
        for job_id in job_ids:
            self._intervals_s[job_id] = interval_s
        found = await self._fanout.open(job_ids)
        missing = [job_id for job_id, stored in found.items() if stored is None]
        self._answer("subscribed", command.id, {"job_ids": job_ids, "missing": missing})
        self._watch(job_ids)

    def _watch(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            # The state that ``watch`` delivers is an answer, not an update: no interval holds it back.
            self._mailbox.forget(job_id)
            self._fanout.watch(self, job_id)
        if self._stopped:  # meanwhile: the socket may have closed while the store was asked
            self._fanout.leave(self)

    def _unwatch(self, job_id: str) -> None:
        if self._intervals_s.pop(job_id, None) is not None:
            self._fanout.unwatch(self, job_id)
            self._mailbox.forget(job_id)

    def _check(self, action: Action, job_id: str | None) -> None:
        allowed = self._grant.allows_all(action) if job_id is None else self._grant.allows(action, check_job_id(job_id))
        if not allowed:
            raise ForbiddenError(action)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ping_interval_s)
            self._put(self._notice("ping", "keepalive"))

    def _notice(self, kind: str, text: str) -> dict[str, object]:
        now_us = self._store.now_us()
        notice: dict[str, object] = {"type": kind, "message": text, "timestamp": _timestamp(now_us), "now_us": now_us}
        if self._job_id is not None:
            notice["job_id"] = self._job_id
        return notice

    def _answer(self, kind: str, id: int | None, fields: dict[str, object]) -> None:
        self._put({"type": kind, **({} if id is None else {"id": id}), **fields})

    def _put_states(self, kind: str, id: int | None, states: list[Stored], **fields: object) -> None:
        # The states are JSON already: spliced, not decoded.
        head = encode({"type": kind, "id": id, **fields})
        key = b"jobs" if kind == "page" else b"states"
        joined = b",".join(stored.data for stored in states)
        self._put_bytes(head[:-1] + b',"' + key + b'":[' + joined + b"]}")

    def _put_error(self, exc: JobProgressError, command: messages.Command | None = None) -> None:
        error: dict[str, object] = {"type": "error", "code": exc.code, "message": str(exc)}
        if command is not None:
            if (id := getattr(command, "id", None)) is not None:
                error["id"] = id
            state = getattr(command, "state", command)
            if job_id := getattr(state, "job_id", None):
                error["job_id"] = job_id
        self._put(error)

    def _put(self, message: dict[str, object]) -> None:
        self._put_bytes(encode(message))

    def _put_bytes(self, data: bytes) -> None:
        try:
            self._mailbox.put(data)
        except MailboxFullError:
            self._close(CloseCode.SLOW_VIEWER, "answers are not read")
