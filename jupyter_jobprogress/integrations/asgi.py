"""ASGI: the WebSocket of the original service, ``/ws/jobs/{job_id}``, in a FastAPI, Starlette or other application.

    sockets = ProgressSockets()
    app = FastAPI(lifespan=sockets.lifespan)
    app.mount("/ws/jobs", sockets)

It is the session of the other servers: one subscription for a job, however many watch it, and to who reads slowly the
newest state. Frames, pings of the WebSocket protocol and TLS are the ASGI server's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any, Final

from jupyter_jobprogress.errors import ForbiddenError, InvalidJobIdError, SettingsError
from jupyter_jobprogress.protocol.codes import CloseCode
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.server.frames import texts
from jupyter_jobprogress.server.grants import Grant, UserGrant
from jupyter_jobprogress.server.mailbox import Outlet
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.session import Session
from jupyter_jobprogress.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
MayWatch = Callable[[Scope, str], bool | Awaitable[bool]]

GOODBYE_S: Final = 2.0
"""Longest wait for viewers to be told that the application stops."""

_WATCH: Final = UserGrant(frozenset({"watch"}), operator=False)

_log = logging.getLogger(__name__)


class ProgressSockets:
    """An ASGI application that serves the job whose id is the last part of the path. Mount it, or call it in a route.

    ``may_watch(scope, job_id)`` says who may watch what: plain or asynchronous, asked before the socket opens, and
    every ``Settings.recheck_s`` while it is open. Without it everybody may whom the application lets through. Pages of
    other sites are refused, unless their origin, exactly as a browser sends it, is in ``allow_origin``: a browser sends
    cookies with a WebSocket whatever page opens it.

    The jobs are at ``url``, else at ``JOBPROGRESS_URL``, else ``REDIS_URL``; ``settings`` say all of it.

    Raises:
        SettingsError: a URL has a scheme that no store has; at the start of the application, there is none.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        may_watch: MayWatch | None = None,
        allow_origin: Collection[str] = (),
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings or Settings.from_environment(url)
        self._may_watch = may_watch
        self._origins = frozenset(allow_origin)
        self._service: Service | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Serve while the block lasts, at whose end viewers are told to come back (1012). For ``FastAPI(lifespan=…)``,
        or for ``async with`` in a lifespan of the application's own."""
        if self._settings.url is None:
            raise SettingsError("url", None, "a Redis or a jobprogress server: REDIS_URL, JOBPROGRESS_URL or url")
        service = self._service = Service(self._settings)
        try:
            yield
        finally:
            self._service = None
            await service.close()
            await service.sockets.gone(within_s=GOODBYE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket until it closes. It must not be accepted yet."""
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]})
            await send({"type": "http.response.body", "body": b"Expected a WebSocket."})
            return
        if (service := self._service) is None:
            raise RuntimeError("Expected FastAPI(lifespan=sockets.lifespan), or sockets.lifespan() within a lifespan.")
        job_id, who = scope["path"].rpartition("/")[2], (scope.get("client") or ("",))[0]

        async def check(grant: Grant) -> Grant:
            allowed = self._may_watch is None or self._may_watch(scope, job_id)
            if not (await allowed if isawaitable(allowed) else allowed):
                raise ForbiddenError("watch")
            return grant

        await receive()  # websocket.connect
        try:
            check_job_id(job_id)
            self._check_origin(scope)
            await check(_WATCH)
        except (InvalidJobIdError, ForbiddenError):
            await send({"type": "websocket.close", "code": 1008})  # not accepted: a browser sees the status 403
            return
        await send({"type": "websocket.accept"})
        viewer = _Viewer(send, drain_s=self._settings.drain_s)
        viewer.session = service.open_session(grant=_WATCH, outlet=viewer, who=who, job_id=job_id, check=check)
        service.sockets.add(viewer)
        reading = asyncio.create_task(viewer.read(receive))
        try:
            if viewer.session is not None:
                await viewer.session.start()
            await viewer.write()
        finally:
            reading.cancel()
            service.sockets.discard(viewer)
            if viewer.session is not None:
                service.close_session(viewer.session)
            await asyncio.gather(reading, return_exceptions=True)

    def _check_origin(self, scope: Scope) -> None:
        """Let in pages of this site, of those that are allowed, and whoever is no page. Raises ForbiddenError."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if not (origin is None or origin in self._origins or origin.partition("://")[2] == headers.get(b"host")):
            raise ForbiddenError("watch")


class _Viewer(Outlet):
    """A socket of the ASGI server, written to by the task that serves it: one send at a time, in ``drain_s`` each."""

    def __init__(self, send: Send, *, drain_s: float) -> None:
        self._send = send
        self._drain_s = drain_s
        self._frames: bytes | None = None
        self._end: Message | None = None
        self._gone = False
        self._work = asyncio.Event()
        self.session: Session | None = None

    def send(self, frames: bytes) -> bool:
        if self._frames is not None:
            return self._gone
        self._frames = frames
        self._work.set()
        return True

    def probe(self) -> None:
        """Do nothing: the ASGI server looks after that."""

    def close(self, code: CloseCode, reason: str) -> None:
        self._end = {"type": "websocket.close", "code": int(code), "reason": reason}
        self._work.set()

    async def read(self, receive: Receive) -> None:
        """Take what comes, which means nothing here, until the peer has gone."""
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                if self.session is not None:
                    await self.session.handle(message.get("text") or "")
        finally:
            self._gone = True
            self._work.set()

    async def write(self) -> None:
        """Write until the socket is closed, from here or there."""
        try:
            while self._end is None and not self._gone:
                await self._work.wait()
                self._work.clear()
                while self._frames is not None and not self._gone:
                    for text in texts(self._frames):
                        await self._pass({"type": "websocket.send", "text": text})
                    self._frames = None
                    if self.session is not None:
                        self.session.drained()
            if self._end is not None and not self._gone:
                await self._pass(self._end)
        except TimeoutError:
            _log.info("A viewer did not read for %g s and is dropped.", self._drain_s)
        except Exception as exc:  # noqa: BLE001 — the peer has gone, which every server and framework says its own way
            _log.debug("A viewer has gone: %r", exc)
        finally:
            self._gone = True

    async def _pass(self, message: Message) -> None:
        async with asyncio.timeout(self._drain_s):
            await self._send(message)
