"""A job of a second: reported, followed, listed and forgotten, as jobs and viewers do it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from jupyter_jobprogress.cli.checks.finding import Finding, not_applicable, ok, warning, within_deadline
from jupyter_jobprogress.errors import StoreDeniedError, StoreError
from jupyter_jobprogress.protocol.messages import Contribution, Stored
from jupyter_jobprogress.protocol.payload import timestamp
from jupyter_jobprogress.protocol.state import State, Status
from jupyter_jobprogress.store.base import Store

LIFE_S = 60.0
"""How long the store keeps the job where nobody may delete it."""

Denied = Callable[[str, str, StoreDeniedError], Finding]
"""Says what a refusal means: of which check, to do what, by which error."""


def job_id(prefix: str = "") -> str:
    return f"{prefix[:180]}doctor-{secrets.token_hex(4)}"


async def trial(store: Store, job: str, denied: Denied) -> list[Finding]:
    """Try what jobs and viewers do, one after the other, each within its deadline."""
    try:
        return [
            await _tried("report", store, _report(store, job), "report on jobs", denied),
            await _tried("watch", store, _watch(store, job), "follow jobs", denied),
            await _tried("list", store, _list(store), "list jobs", denied),
        ]
    finally:
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(1):
                await store.delete(job)


async def _tried(check: str, store: Store, step: Awaitable[str], what: str, denied: Denied) -> Finding:
    async def look() -> Finding:
        try:
            return ok(check, await step)
        except StoreDeniedError as exc:
            return denied(check, what, exc)
        except StoreError as exc:
            return not_applicable(check, f"{store.label} does not answer: {getattr(exc, 'reason', exc)}.")

    return await within_deadline(check, look())


async def _report(store: Store, job: str) -> str:
    receipt = await store.publish(_state(store, job), start=True)
    # What workers of a job do; in Redis by another script, with other commands.
    await store.add(job, part="doctor", contribution=Contribution(n=1), run=receipt.run)
    return "A job reports."


async def _watch(store: Store, job: str) -> str:
    came = asyncio.Event()

    class Listener:
        def pushed(self, stored: Stored) -> None:
            came.set()

        def gap(self, job_ids: Iterable[str]) -> None:
            pass

    subscription = store.subscribe(Listener())
    try:
        await subscription.add(job)
        await store.read([job])
        with suppress(StoreDeniedError):  # who may only watch hears of others
            await store.publish(_state(store, job))
            await came.wait()
    finally:
        await subscription.close()
    return "What is reported is pushed." if came.is_set() else "A viewer may subscribe."


async def _list(store: Store) -> str:
    await store.list(limit=1)
    return "Jobs can be listed."


def _state(store: Store, job: str) -> State:
    now = timestamp(store.now_us() / 1e6)
    return State(
        job_id=job,
        status=Status.PROCESSING,
        stage="",
        progress=0.5,
        message="jupyter jobprogress doctor",
        timestamp=now,
    )


def by_server(check: str, what: str, exc: StoreDeniedError) -> Finding:
    """Say what a refusal of a server means: a credential that is good for less, which may be meant."""
    return warning(
        check,
        f"The credential may not {what}.",
        "If it should, use one that may: a ticket to watch or to report, or a token of a user.",
    )


def untried(why: str) -> list[Finding]:
    return [not_applicable(check, why) for check in ("report", "watch", "list")]
