"""A real kernel without a page: cells are run over its channels, as every front end does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel


class Kernel:
    """A kernel that runs one cell at a time."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str, *, interrupt_on: str | None = None) -> list[dict[str, Any]]:
        """Run a cell, and return the messages of its output. Interrupts it once it has printed ``interrupt_on``."""
        outputs = []

        def hook(message: dict[str, Any]) -> None:
            outputs.append({"type": message["msg_type"], **message["content"]})
            if interrupt_on is not None and interrupt_on in message["content"].get("text", ""):
                self.manager.interrupt_kernel()

        self.client.execute_interactive(code, output_hook=hook, timeout=60, allow_stdin=False)
        return outputs

    def printed(self, code: str) -> str:
        return "".join(output["text"] for output in self.run(code) if output["type"] == "stream").strip()


def kernel_environment(**more: str) -> dict[str, str]:
    """Return an environment in which a kernel finds this tree and no store but those of ``more``."""
    environment = {
        name: value for name, value in os.environ.items() if "JOBPROGRESS" not in name and name != "REDIS_URL"
    }
    return environment | {"PYTHONPATH": str(Path(__file__).parents[2])} | more


@contextmanager
def running_kernel(**environment: str) -> Iterator[Kernel]:
    """Run a kernel until the block ends."""
    manager, client = start_new_kernel(env=kernel_environment(**environment))
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
