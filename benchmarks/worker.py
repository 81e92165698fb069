"""Two ends of a helper process: it lives through a whole run, and takes one JSON line for each thing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent


class Worker:
    """Runs ``python -m <module>`` and talks to it. What it prints to stderr goes to ours."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __enter__(self) -> Worker:
        command = [sys.executable, "-m", self._module]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=with_project(os.environ), text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.terminate()  # it may be in the middle of something
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def tell(self, request: Mapping[str, object]) -> None:
        """Give it something to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for its next answer. Its own deadlines bound the wait.

        Raises:
            RuntimeError: it has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended before it answered; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def answer(reply: Mapping[str, object]) -> None:
    """Say, in the helper process, what ``hear`` returns."""
    print(json.dumps(reply), flush=True)


def serve(carry_out: Callable[[dict[str, Any]], None]) -> None:
    """Carry out requests until the other end closes."""
    for line in sys.stdin:
        carry_out(json.loads(line))


def with_project(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which this copy of the project is imported, installed or not."""
    path = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}
