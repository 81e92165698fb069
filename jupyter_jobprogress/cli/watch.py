"""``jupyter jobprogress watch``: follow jobs until all have ended. Bars in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import nullcontext
from typing import TYPE_CHECKING

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.client.follow import Follower, News
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.protocol.names import check_job_id
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.settings import Settings
from jupyter_jobprogress.store import connect
from jupyter_jobprogress.store.base import Health, Store

if TYPE_CHECKING:
    from jupyter_jobprogress.cli.screen import Screen


async def command(options: Namespace) -> Exit:
    """Exit with 0 if all jobs completed, and with 1 if one failed or was cancelled."""
    return await follow(find(options.url), options.job_ids, raw=options.json)


async def follow(settings: Settings, job_ids: list[str], *, raw: bool = False) -> Exit:
    """Show jobs until all have ended, with ``raw`` every state as JSON."""
    job_ids = [check_job_id(job_id) for job_id in dict.fromkeys(job_ids)]
    store = connect(settings)
    lines = _Lines(store, raw=raw)
    screen = None if raw or not sys.stdout.isatty() else _screen(job_ids, store)
    told = lines.store_health if screen is None else lambda health: screen.store_up(health.up)
    async with Follower(store, job_ids, on_health=told) as follower:
        with screen or nullcontext():
            while not follower.done:
                for news in await follower.news():
                    if screen is None:
                        lines.take(news)
                    else:
                        screen.take(news.state)
    return Exit.OK if set(follower.ends.values()) == {Status.COMPLETED} else Exit.JOB_FAILED


def _screen(job_ids: list[str], store: Store) -> Screen:
    from jupyter_jobprogress.cli.screen import Screen

    return Screen(job_ids, store.now_us)


class _Lines:
    """A line whenever what a person would notice has changed; with ``raw`` every state."""

    def __init__(self, store: Store, *, raw: bool) -> None:
        self._store = store
        self._raw = raw
        self._last: dict[str, str] = {}

    def take(self, news: News) -> None:
        line = news.stored.data.decode() if self._raw else show.line(news.state, now_us=self._store.now_us())
        if self._raw or self._last.get(news.stored.job_id) != line:
            self._last[news.stored.job_id] = line
            print(line, flush=True)

    @staticmethod
    def store_health(health: Health) -> None:
        complain("The store answers again." if health.up else "The store does not answer; waiting for it.")
