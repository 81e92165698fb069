"""``JobProgress``: live bars of jobs, by their ids. What it looks like and asks for is in ``js/src/widget.ts``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import anywidget
import traitlets

from jupyter_jobprogress.errors import InvalidMessageError, NotWatchedError
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.widget import code, follow, known, output, snapshot
from jupyter_jobprogress.widget.feed import feed

MIME_TYPE: Final = "application/vnd.jobprogress.v1+json"

UNASKED_S: Final = 2.0
"""Least time between two states that are sent to a page which has not said what it needs, where it most likely needs
none: a busy kernel does not read what the page says."""


class JobProgress(anywidget.AnyWidget):
    """Live bars of one or more jobs, wherever they run.

    In a page of a Jupyter server the bars follow the jobs over its own connection to that server: they live while the
    kernel is busy, after it is gone, after a reload and in a second browser. Elsewhere the kernel follows the jobs, in
    the store that the environment names, and feeds the bars.

    The kernel follows them in any case, in threads of its own, until they end or the widget is closed; in Voilà and
    marimo also beyond their end, to the next run. Its traits tell
    what it knows: ``status``, ``progress``, ``states`` and, of a single job, ``state``, ``stage``, ``message``, ``n``,
    ``total``, ``eta_s``, ``metrics``, ``result`` and ``error``. What observes them is called in one of these threads.
    ``await bar`` and ``bar.wait()`` wait for the end of all its jobs. ``transport`` is "server" or "kernel", once a
    page has said by which of them it gets its states.

    Args:
        job_ids: one id or several.
        states: last known states by job id, drawn until newer ones arrive.
        relay: no server knows these jobs, only the kernel does.
        following: follows a job, in place of the store that the environment names.

    Raises:
        InvalidJobIdError: an id breaks rule 1 of docs/protocol.md.
    """

    _esm = code.bundle("widget.js")

    job_ids = traitlets.List(traitlets.Unicode(), help="What is watched.").tag(sync=True)
    saved = traitlets.Dict(help="Last known states by job id: what of them may stay in a file.").tag(sync=True)
    code = traitlets.Unicode(help="Id of the model that holds the code of all bars.").tag(sync=True)
    relay = traitlets.Bool(False, help="Whether no server knows these jobs.").tag(sync=True)

    states = traitlets.Dict(help="Last known states by job id, as JSON objects.")
    state = traitlets.Dict(None, allow_none=True, help="That of a single job.")
    status = traitlets.Unicode("", help="Where the job stands, or all of them together; empty while unknown.")
    progress = traitlets.Float(None, allow_none=True, help="0 to 1, the mean of several; None where unknown.")
    stage = traitlets.Unicode("")
    message = traitlets.Unicode("")
    n = traitlets.Float(None, allow_none=True)
    total = traitlets.Float(None, allow_none=True)
    eta_s = traitlets.Float(None, allow_none=True)
    metrics = traitlets.Dict()
    result = traitlets.Any(None, allow_none=True)
    error = traitlets.Unicode("")
    transport = traitlets.Unicode("", help="What brings the states to the page: server, kernel, or not yet known.")

    def __init__(
        self,
        job_ids: str | Iterable[str],
        *,
        states: Mapping[str, State] | None = None,
        relay: bool = False,
        following: follow.Follow | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._delivering = threading.RLock()  # an observer may feed
        self._news: dict[str, bytes] = {}
        self._stops: dict[str, Callable[[], None]] = {}
        self._over = threading.Event()
        self._heard = threading.Event()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._output = output.Output()
        # The next run of a job is shown by the bar that shows this one, where that is still there.
        self._stays = output.in_dashboard()
        self._unsent: set[str] = set()
        self._sent_s = -UNASKED_S
        ids = [check_job_id(job_id) for job_id in ([job_ids] if isinstance(job_ids, str) else job_ids)]
        given = {job_id: known.as_json(state) for job_id, state in (states or {}).items()}
        super().__init__(job_ids=ids, saved=known.kept(given), relay=relay, code=code.model_id())
        self.on_msg(self._told)
        self._know(given)
        following = following or follow.in_store
        if following is not None and not self.ended:
            for job_id in dict.fromkeys(ids):
                if (stop := following(job_id, self._taker(job_id))) is not None:
                    self._stops[job_id] = stop
        if self.ended:  # also where that was heard of in the midst of this
            self._release()

    def feed(self, data: bytes) -> None:
        """Show a state, encoded as in docs/protocol.md. May be called from any thread.

        Raises:
            ProtocolError: it is not a state.
        """
        job_id = decode_state(data).job_id
        with self._lock:
            self._news[job_id] = data
        self._deliver()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until all jobs have ended, and return whether they have. False at once where nobody follows them.

        In a notebook ``await bar`` does not block, and lets other cells' tasks go on.
        """
        if self._stops:
            self._over.wait(timeout_s)
        return self.ended

    def __await__(self) -> Generator[Any, None, JobProgress]:
        return self._until_over().__await__()

    def close(self) -> None:
        """Follow nothing any more, and take the bar from the pages. Idempotent."""
        self._stays = False
        self._release()
        super().close()

    @property
    def ended(self) -> bool:
        """Whether all jobs have ended."""
        return bool(self.job_ids) and all(known.terminal(self.states.get(job_id)) for job_id in self.job_ids)

    def save(self) -> None:
        """Leave what is known now in the file: in the state of the widget and in the output, at the end for good.

        Where the output is out of reach, nothing happens: a page that was reloaded leaves it to the renderer.
        """
        super().send_state("saved")
        if self.ended:
            self._output.replace(self._static())
        else:
            self._output.renew(*self._repr_mimebundle_())

    def hear(self, within_s: float) -> None:
        """Wait until something is known of a job, where somebody follows it and the output does not say it yet."""
        if self._stops and self._output.fresh and not self.saved:
            self._heard.wait(max(0.0, within_s))

    def present(self, state: State) -> None:
        """Learn what a job of this process says, ahead of the store, for what is left in the file."""
        states, job_id = self.states, state.job_id
        if known.terminal(states.get(job_id)):
            return
        heard, said = known.kept(states), known.kept({job_id: known.as_json(state)})
        self.saved = heard | {job_id: heard.get(job_id, {}) | said[job_id]}
        while self.states is not states:  # the feeding thread has heard more, and may have been the first to say so
            states = self.states
            self.saved = known.kept(states)

    def send_state(self, key: Any = None) -> None:
        """Send traits to the pages; ``saved``, which changes with each state, only by ``save`` and with all others."""
        if key != "saved":
            super().send_state(key)

    async def _until_over(self) -> JobProgress:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        with self._lock:
            over = self._over.is_set()
            self._waiters.append((loop, done))
        if not over and self._stops:
            await done
        if not self.ended:
            raise NotWatchedError(", ".join(self.job_ids))
        return self

    # What the store's thread calls.

    def _taker(self, job_id: str) -> follow.Take:
        return lambda data: self._take(job_id, data)

    def _take(self, job_id: str, data: bytes) -> None:
        with self._lock:
            self._news[job_id] = data
        feed.wake(self)

    # What the feeding thread calls.

    def _deliver(self) -> None:
        with self._delivering:
            self._deliver_news()

    def _deliver_news(self) -> None:
        with self._lock:
            news, self._news = self._news, {}
        states = {}
        for job_id, data in news.items():
            with suppress(InvalidMessageError):  # a message of another program; it is passed over, as pages do
                states[job_id] = known.read(data)
        self._know(states)
        self._send_news()
        if not self._stays:
            for job_id in states:
                if known.terminal(self.states[job_id]) and job_id in self._stops:
                    self._stops[job_id]()
        if not self.ended:
            if self._stays:
                self._over.clear()  # one that had ended runs again
        elif not self._over.is_set():
            self.save()
            self._release()

    def _know(self, states: Mapping[str, known.JsonState]) -> None:
        """Set the traits, ``status`` last: who observes it finds the others right."""
        if not states:
            return
        self.states = {**self.states, **states}
        self.saved = known.kept(self.states)
        self._heard.set()
        for name, value in known.summary(self.job_ids, self.states).items():
            setattr(self, name, value)
        with self._lock:
            self._unsent.update(states)

    def _send_news(self) -> None:
        """Send the pages what is new, whole, and in messages that no file keeps."""
        now_s = time.monotonic()
        unasked = self.transport == "" and output.in_jupyter() and not self.relay
        if self.transport == "server" or (unasked and now_s - self._sent_s < UNASKED_S):
            return
        self._sent_s = now_s
        with self._lock:
            unsent, self._unsent = self._unsent, set()
        if unsent:
            self.send({"states": {job_id: self.states[job_id] for job_id in unsent}})

    def _told(self, _: object, content: object, __: object) -> None:
        """Hear from a page what it gets its states by. One that needs the kernel outweighs others that do not."""
        said = content.get("transport") if isinstance(content, dict) else None
        if said == "kernel":
            self.transport = said
            with self._lock:
                self._unsent.update(self.states)
            feed.wake(self)
        elif said == "server" and self.transport == "" and not self.relay:
            self.transport = said

    def _release(self) -> None:
        """Stop following, but for a bar that stays, and let go of those who wait."""
        if not self._stays:
            for stop in tuple(self._stops.values()):
                stop()
        with self._lock:
            self._over.set()
            waiters, self._waiters = self._waiters, []
        for loop, done in waiters:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, done)

    def _ipython_display_(self, **_: Any) -> None:
        self._output.display(self, *self._repr_mimebundle_())

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)
        assert bundle is not None  # only a widget without a view has none
        data, metadata = bundle
        data = {**data, **self._static()}
        if self.relay or output.in_voila():
            # The renderer of this type would ask the server, which knows nothing of a job that the kernel keeps. Voilà
            # has the renderer, and mostly not the server that it asks.
            del data[MIME_TYPE]
        return data, metadata

    def _static(self) -> dict[str, Any]:
        """Return what is shown where neither a server nor the kernel is."""
        lines = [snapshot.text_line(job_id, self.saved.get(job_id)) for job_id in self.job_ids]
        return {
            MIME_TYPE: {"job_ids": self.job_ids, "states": self.saved},
            "text/html": snapshot.html(self.job_ids, self.saved),
            "text/plain": "\n".join(lines),
        }


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
