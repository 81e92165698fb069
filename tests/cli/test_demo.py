"""``jupyter jobprogress demo`` as people run it, and left in the midst of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.jupyter import isolated_environment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_job_and_the_server(tmp_path: Path, number: signal.Signals) -> None:
    environment = isolated_environment(tmp_path)
    demo = subprocess.Popen(
        [sys.executable, "-m", "jupyter_jobprogress", "demo", "--no-browser"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    lines = iter(demo.stdout.readline, "")
    page = next(line for line in lines if "token=" in line)
    assert re.fullmatch(r"    http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{64}\n", page)
    assert next(line for line in lines if line.startswith("demo  processing"))
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert "Traceback" not in errors
    assert list((tmp_path / "run").glob("jobprogress-*.json")) == []
