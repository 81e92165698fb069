"""A ``Job`` in a process of its own that does and says what a test tells it to, and nothing by itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

PROGRAM = """
import json, sys
from jupyter_jobprogress import Job

job = Job(sys.argv[1], total=100, unit="step", heartbeat_s=1)
for line in sys.stdin:
    method, arguments = json.loads(line)
    getattr(job, method)(**arguments)
job.wait(30)
"""


class RemoteJob:
    """``await job.call("report", n=30)`` calls the method of the job over there, soon."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def call(self, method: str, **arguments: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
        await self.process.stdin.drain()


@asynccontextmanager
async def remote_job(job_id: str, environment: Mapping[str, str]) -> AsyncIterator[RemoteJob]:
    """Run a job until the block ends. It has 100 steps, and is cancelled if it is still open then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, job_id, env=dict(environment), stdin=asyncio.subprocess.PIPE
    )
    try:
        yield RemoteJob(process)
        assert process.returncode is None, f"the process of {job_id} ended before its test"
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(40):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
