"""A worker that reports loads nothing of Jupyter, and no client of a store before it reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

JUPYTER = ("tornado", "jupyter_server", "ipywidgets", "anywidget", "IPython", "traitlets")
CLIENTS = ("redis", "websockets", "sqlite3")


@pytest.mark.parametrize(
    ("script", "absent"),
    [
        ("import jupyter_jobprogress", (*JUPYTER, *CLIENTS, "asyncio", "msgspec")),
        ("from jupyter_jobprogress import Job, ProgressReporter, track", (*JUPYTER, *CLIENTS)),
        (
            "from jupyter_jobprogress import ProgressReporter; ProgressReporter('redis://127.0.0.1:1')",
            JUPYTER + CLIENTS,
        ),
        ("from jupyter_jobprogress import get_status, wait, watch", (*JUPYTER, *CLIENTS, "rich")),
        ("from jupyter_jobprogress import Job\nwith Job('a') as job: pass\njob.wait(5)", (*JUPYTER, "redis", "rich")),
        ("import jupyter_jobprogress.tqdm", (*JUPYTER, *CLIENTS)),
        ("import jupyter_jobprogress.integrations.celery", (*JUPYTER, *CLIENTS)),
        (
            "from jupyter_jobprogress.integrations.hook import install; install()",
            (*JUPYTER, *CLIENTS, "asyncio", "msgspec", "tqdm", "jupyter_jobprogress.reporter"),
        ),
        (
            "from jupyter_jobprogress.cli.main import parser; parser()",
            (*JUPYTER, *CLIENTS, "asyncio", "msgspec", "rich"),
        ),
        (
            "import jupyter_jobprogress.server.standalone",
            (
                "jupyter_server",
                "jupyter_client",
                "zmq",
                "jinja2",
                "IPython",
                "anywidget",
                "redis",
                "websockets",
                "rich",
            ),
        ),
        ("import jupyter_jobprogress.integrations.asgi", (*JUPYTER, *CLIENTS, "fastapi", "starlette")),
    ],
    ids=["package", "names", "reporter", "clients", "job", "tqdm", "celery", "hook", "command", "server", "asgi"],
)
def test_nothing_is_loaded_that_is_not_used(script: str, absent: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("JOBPROGRESS_URL", "REDIS_URL")}
    check = f"\nimport sys; print(*[name for name in {absent!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", script + check],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )

    assert done.stdout.split() == []
