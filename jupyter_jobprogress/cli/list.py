"""``jupyter jobprogress list``: jobs, newest first."""

from __future__ import annotations

from argparse import Namespace

from jupyter_jobprogress.cli import show
from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.client.follow import read_state
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.errors import InvalidArgumentError
from jupyter_jobprogress.protocol.state import Status
from jupyter_jobprogress.store import connect


async def command(options: Namespace) -> Exit:
    if options.limit < 1:
        raise InvalidArgumentError("--limit", options.limit, "1 or more")
    store = connect(find(options.url))
    try:
        after, left = None, options.limit
        while left > 0:
            status = None if options.status is None else Status(options.status)
            page = await store.list(status=status, limit=min(left, 1000), after=after)
            for stored in page.jobs:
                if options.json:
                    print(stored.data.decode())
                else:
                    state = read_state(stored)
                    condition = show.condition(state, now_us=store.now_us())
                    said = "  ".join(part for part in (show.clean(state.title or ""), show.words(state)) if part)
                    print(f"{state.job_id:<30} {condition:<10} {show.percent(state):>5}  {said}".rstrip())
            left -= len(page.jobs)
            if (after := page.next) is None:
                break
    finally:
        await store.close()
    return Exit.OK
