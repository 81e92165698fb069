"""Servers in processes of their own, which end with the block that needs them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

STOP_S: Final = 15.0


@asynccontextmanager
async def server_process(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the block ends; what it writes goes into a log."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def end(process: subprocess.Popen[bytes], *, within_s: float = STOP_S) -> None:
    """Ask a process to stop, and kill it if it does not. Does nothing once it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
