"""``jupyter jobprogress cancel``: ask jobs to stop."""

from __future__ import annotations

from argparse import Namespace

from jupyter_jobprogress.cli.exits import Exit
from jupyter_jobprogress.cli.running import complain
from jupyter_jobprogress.client.places import find
from jupyter_jobprogress.store import connect


async def command(options: Namespace) -> Exit:
    store = connect(find(options.url))
    code = Exit.OK
    try:
        for job_id in options.job_ids:
            if not await store.request_cancel(job_id):
                complain(f"No job {job_id!r} is running: it is not known, or has ended.")
                code = Exit.UNKNOWN_JOB
    finally:
        await store.close()
    return code
