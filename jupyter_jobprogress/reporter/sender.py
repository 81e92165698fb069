"""The thread that talks to one store for every job of this process, so that no job ever waits for it."""

from __future__ import annotations

import asyncio

# A store that uses threads would import this when it is made. In a short script that is while the interpreter ends, and
# then the module can no longer be imported: "can't register atexit after shutdown".
import concurrent.futures.thread  # noqa: F401

# getaddrinfo imports this in the sender's thread. A fork in the midst of that would leave the child its import lock.
import encodings.idna  # noqa: F401
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from jupyter_jobprogress.errors import StoreClosedError, StoreError
from jupyter_jobprogress.protocol.messages import Contribution, Receipt, Stored
from jupyter_jobprogress.protocol.state import State
from jupyter_jobprogress.reporter import native
from jupyter_jobprogress.reporter.carrier import Carrier
from jupyter_jobprogress.reporter.courier import Courier, resolve
from jupyter_jobprogress.reporter.delivery import Delivery
from jupyter_jobprogress.reporter.link import Connect, Link
from jupyter_jobprogress.reporter.watch import Listing, Watch
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect as connect_store

STARVED_S: Final = 0.2
"""A pause of the sender's thread that is longer than this is not its own."""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names in this thread. asyncio's own way needs an executor, and those refuse work once the interpreter
    is ending, which is when the last states of a short script are sent. Nothing else in this loop is kept waiting:
    whatever it does needs the same store.
    """

    def __init__(self) -> None:
        self.selector = native.selector()
        super().__init__(self.selector)
        # Who debugs asyncio debugs their own: this loop would report itself as slow whenever the job keeps the GIL.
        self.set_debug(False)
        self._lost_s = 0.0
        self._seen_s = time.monotonic()
        self._wait, self.selector.select = self.selector.select, self._select  # type: ignore[method-assign]

    def time(self) -> float:
        """Return the time of this loop, in seconds: that in which it could run.

        A job that keeps the GIL for seconds keeps the answers of its store from this thread. They are not late.
        """
        now_s = time.monotonic()
        if now_s - self._seen_s > STARVED_S:
            self._lost_s += now_s - self._seen_s
        self._seen_s = now_s
        return now_s - self._lost_s

    def _select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.time()
        events = self._wait(timeout)
        now_s = time.monotonic()
        waited_s = now_s - self._seen_s
        over_s = 0.0 if timeout is None else waited_s - max(0.0, timeout)
        if over_s > STARVED_S:
            # What has come is read before any deadline ends.
            self._lost_s += waited_s if events else over_s
        self._seen_s = now_s
        return events

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        return socket.getaddrinfo(host, port, family, type, proto, flags)


class Sender:
    """Owns a daemon thread, its event loop, and a store in it; all three are made on first use.

    Methods may be called from any thread, do not block unless they say so, and do nothing once it is closed or where
    no thread can be started any more.
    """

    def __init__(self, settings: Settings, *, connect: Connect = connect_store) -> None:
        self.settings = settings
        self._link = Link(settings, connect, on_cancel=self._cancel_asked)
        # Reentrant: a signal handler that ends jobs may come in the midst of a use of it, in the same thread.
        self._lock = threading.RLock()
        self._loop: _Loop | None = None
        self._thread: native.Thread | None = None
        self._closed = False
        self._carriers: dict[Carrier, asyncio.Task[None]] = {}
        self._runs: dict[str, Delivery] = {}
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._watches: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The store, for messages: its URL, masked."""
        return self._link.name

    def trouble(self, job_id: str) -> StoreError | None:
        """Return why a state would have to wait: when last asked, the store was away, or refused this job."""
        courier = self._couriers.get(job_id)
        return self._link.outage or (None if courier is None else courier[0].denied)

    @property
    def busy(self) -> int:
        """Number of jobs that something is still to be sent for."""
        return len(self._carriers) + len(self._couriers)

    def add(self, carrier: Carrier) -> bool:
        """Carry a job's states from now on, until its last. False: this sender no longer works."""
        return self._post(lambda: self._carry(carrier))

    def wake(self, carrier: Carrier) -> None:
        """Look at a job at once: it has said its last word. Takes no lock, so that a finalizer may call it."""
        self._nudge(carrier.wake.set)

    def drop(self, carrier: Carrier) -> None:
        """Carry nothing more of a job."""

        def cancel() -> None:
            if carrier in self._carriers:
                self._carriers[carrier].cancel()

        self._nudge(cancel)

    def submit(self, state: State) -> Future[None]:
        """Carry one whole state. The future is resolved when it is delivered or no longer the newest.

        It fails with ProtocolError if the store will never take the state, and with StoreClosedError if this sender no
        longer works.
        """
        done: Future[None] = Future()
        if not self._post(lambda: self._forward(state, done)):
            resolve(done, StoreClosedError())
        return done

    def tell(self, state: State) -> Future[Receipt]:
        """Publish a state now or never: it would be wrong later. The future fails with StoreError or ProtocolError."""
        return self._run(lambda: self._link.publish(state, start=False))

    def ask(self, job_id: str) -> Future[Receipt]:
        """Get a receipt without saying anything: it knows of a wish to cancel. The future fails with StoreError."""
        return self._run(lambda: self._link.add(job_id, part="asks", contribution=Contribution(), run=None))

    def read(self, job_ids: Sequence[str]) -> Future[dict[str, Stored]]:
        """Read states through the store. The future fails with StoreError."""
        return self._run(lambda: self._link.read(job_ids))

    def watch(self, job_id: str, callback: Callable[[bytes], object]) -> Callable[[], None]:
        """Call back with each newer state of a job, in this sender's thread. Returns the function that stops it."""
        return self._follow(Watch(job_id, callback))

    def watch_all(self, callback: Callable[[Mapping[str, bytes]], object]) -> Callable[[], None]:
        """Call back with newer states of all jobs of the store, every two seconds, as ``watch`` does for one."""
        return self._follow(Listing(callback))

    def _follow(self, watch: Watch | Listing) -> Callable[[], None]:
        tasks: list[asyncio.Task[None]] = []

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(watch.run(self._link))
            tasks.append(task)
            self._watches.add(task)
            task.add_done_callback(self._watches.discard)

        def end() -> None:
            for task in tasks:
                task.cancel()

        def stop() -> None:
            self._nudge(end)

        self._post(begin)
        return stop

    def finish(self) -> Future[None]:
        """Send what is left, as fast as the store allows. The future is resolved when nothing is left."""
        if self._loop is None:  # nothing was ever sent, and a thread cannot be started at exit
            done: Future[None] = Future()
            resolve(done)
            return done
        return self._run(self._finish)

    def close(self, *, within_s: float = 2.0) -> None:
        """Drop what is left, close the store and end the thread. Blocks up to ``within_s``. Idempotent."""
        with self._lock:
            self._closed, closed = True, self._closed
            loop, thread = self._loop, self._thread
        if closed or loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), loop)
        thread.join(within_s)

    def watch_file(self, number: int, callback: Callable[[], object]) -> None:
        """Call back in this sender's thread whenever a file can be read. For as long as it works."""
        self._post(lambda: asyncio.get_running_loop().add_reader(number, callback))

    def let_go(self) -> None:
        """Let go of the sockets of the process that this one was forked from. Nothing works afterwards.

        An inherited socket would keep the connection open when the parent or the store has closed it, and one with TLS
        would tell the store goodbye in the parent's name when it is collected here. The selector goes first: it is the
        parent's, too, and takes orders from both. Each number stays taken, since objects that nobody can reach close
        theirs at some time, and would close what has got it by then.
        """
        loop = self._loop
        if loop is None:
            return
        with suppress(OSError):  # no more files can be opened; the child does without the tidiness
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            epoll = getattr(loop.selector, "fileno", int)()
            for number in [*([epoll] if epoll > 0 else []), *(key.fd for key in loop.selector.get_map().values())]:
                os.dup2(nowhere, number, inheritable=False)
            os.close(nowhere)

    def _post(self, act: Callable[[], object]) -> bool:
        try:
            self._started().call_soon_threadsafe(act)
        except RuntimeError as exc:  # closed, or the interpreter is ending and starts no threads
            _log.debug("Nothing is reported any more: %s", exc)
            return False
        return True

    def _nudge(self, act: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(act)

    def _run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> Future[_T]:
        try:
            loop = self._started()
        except RuntimeError:
            failed: Future[_T] = Future()
            failed.set_exception(StoreClosedError())
            return failed
        return asyncio.run_coroutine_threadsafe(work(), loop)

    def _started(self) -> _Loop:
        with self._lock:
            if self._closed:
                raise RuntimeError("this sender is closed")
            if self._loop is None:
                loop = _Loop()
                try:
                    thread = native.start(lambda: self._main(loop), name="jobprogress-sender")
                except RuntimeError:
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    @staticmethod
    def _main(loop: _Loop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _carry(self, carrier: Carrier) -> None:
        if isinstance(carrier, Delivery):
            carrier.follow(self._runs.get(carrier.job_id))
            self._runs[carrier.job_id] = carrier
        task = asyncio.get_running_loop().create_task(carrier.run(self._link))
        self._carriers[carrier] = task
        task.add_done_callback(lambda _: self._carried(carrier))

    def _carried(self, carrier: Carrier) -> None:
        self._carriers.pop(carrier, None)
        if isinstance(carrier, Delivery):
            carrier.leave()
            if self._runs.get(carrier.job_id) is carrier:
                del self._runs[carrier.job_id]

    def _forward(self, state: State, done: Future[None]) -> None:
        job_id = state.job_id
        if job_id in self._couriers:
            self._couriers[job_id][0].put(state, done)
            return
        courier = Courier(job_id)
        courier.put(state, done)
        task = asyncio.get_running_loop().create_task(self._courier(courier))
        self._couriers[job_id] = (courier, task)

    async def _courier(self, courier: Courier) -> None:
        try:
            await courier.run(self._link)
        finally:
            # In the same step as the courier's last look: a state that comes later gets a courier of its own.
            del self._couriers[courier.job_id]

    def _cancel_asked(self, job_id: str) -> None:
        for carrier in self._carriers:
            if carrier.job_id == job_id:
                carrier.ask()

    async def _finish(self) -> None:
        self._link.hurry()
        for carrier in self._carriers:
            carrier.finish()
        couriers = [(courier, task) for courier, task in self._couriers.values()]
        for courier, _ in couriers:
            courier.wake.set()
        tasks = [*self._carriers.values(), *(task for _, task in couriers)]
        if tasks:
            await asyncio.wait(tasks)

    async def _close(self) -> None:
        tasks = [*self._watches, *self._carriers.values(), *(task for _, task in self._couriers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._link.close()
        except Exception:  # noqa: BLE001 — outermost line of a task
            _log.debug("The store did not close well.", exc_info=True)
        finally:
            asyncio.get_running_loop().stop()
