"""``jupyter jobprogress demo`` as people run it: to its end, in a terminal, and left in the midst of it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.support.jupyter import isolated_environment

COMMAND = [sys.executable, "-m", "jupyter_jobprogress", "demo", "--no-browser", "--port", "0"]
END_S = 200.0
"""The job is real work, which takes its time on a machine that has other work to do."""

pytestmark = pytest.mark.timeout(300)

LINGER = """
import atexit, signal, sys, time
if "jupyter_jobprogress.cli.demo_job" in sys.orig_argv:
    atexit.register(time.sleep, 600)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
"""


@pytest.mark.parametrize(
    ("number", "before"),
    [(signal.SIGINT, []), (signal.SIGTERM, ["env", "--ignore-signal=INT"])],
    ids=["ctrl-c", "sigterm in the background"],
)
def test_an_interrupt_ends_the_job_and_the_server(tmp_path: Path, number: signal.Signals, before: list[str]) -> None:
    # A shell without job control lets what it puts into the background ignore SIGINT.
    demo = subprocess.Popen(
        [*before, *COMMAND],
        env=isolated_environment(tmp_path),
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
    rest, errors = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert "completed" not in rest
    assert "Traceback" not in errors
    assert list((tmp_path / "run").glob("jobprogress-*.json")) == []


def test_it_shows_the_job_to_its_end_and_does_not_wait_for_a_process_that_will_not_leave(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LINGER)
    environment = isolated_environment(tmp_path, PYTHONPATH=str(tmp_path))

    demo = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=END_S, check=False)

    assert (demo.returncode, demo.stderr) == (0, "")
    assert re.search(r"^demo  processing +\d+ %", demo.stdout, re.MULTILINE)
    assert re.search(r"\ndemo  completed +100 %  .+\n\Z", demo.stdout)


def test_in_a_terminal_its_page_stays_until_ctrl_c(tmp_path: Path) -> None:
    with terminal(tmp_path) as (demo, screen):
        seen = read_until(screen, "The page stays until Ctrl-C.")
        page = re.search(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{64}", seen)
        assert page is not None
        with build_opener(HTTPCookieProcessor()).open(page[0], timeout=10) as answer:
            assert (answer.status, "token" in answer.url) == (200, False)
        os.write(screen, b"\x03")

        assert demo.wait(30) == 0


@contextmanager
def terminal(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the demo with a terminal of its own, whose other end is given."""
    screen, inner = pty.openpty()
    demo = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *COMMAND],
        env=isolated_environment(folder, TERM="xterm", COLUMNS="120"),
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    try:
        yield demo, screen
    finally:
        demo.kill()
        demo.wait()
        os.close(screen)


def read_until(screen: int, text: str) -> str:
    deadline_s = time.monotonic() + END_S
    seen = b""
    while text.encode() not in seen:
        assert time.monotonic() < deadline_s, seen
        seen += os.read(screen, 65536)
    return seen.decode(errors="replace")
