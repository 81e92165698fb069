"""A notebook that ran with credentials in its environment has none of them in its file, nor in what is made of it."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from jupyter_jobprogress.protocol.tickets import Ticket
from tests.support.kernel import kernel_environment
from tests.support.redis_server import RedisServer
from tests.support.standalone import TOKEN, mounted

PASSWORD = "sesame/p@ss+word"
SECRETS = {
    "JUPYTERHUB_API_TOKEN": "sesame-hub-0123456789",
    "JUPYTER_TOKEN": "sesame-jupyter-0123456789",
    "JOBPROGRESS_SERVER_TOKEN": "sesame-server-0123456789",
}
# It raises as soon as the store has answered, which it waits half a second for.
REFUSED = """
reporter = ProgressReporter(os.environ[{url!r}], strict=True)
for _ in range(60): await reporter.report("not-in-the-ticket", "stage", 0.5, "message")
"""
CELLS = [
    # Jobs that end well and badly, over a Redis with a password and over a server with a ticket.
    """
import os
from jupyter_jobprogress import Job, JobProgress, ProgressReporter, Settings, jobs, track
with Job("well", title="Well", total=2) as job: job.update(2)
far = Job("far", url=os.environ["SERVER_URL"])
far.complete(); assert far.wait(20)
""",
    "for n in track(range(5), 'loop'): 1 / (2 - n)",
    # What is refused or away says so, and is masked.
    """
wrong = Job("wrong", url=os.environ["WRONG_URL"])
away = Job("away", url=os.environ["AWAY_URL"])
wrong.complete(); away.complete(); wrong.wait(2)
""",
    REFUSED.format(url="WRONG_URL"),
    REFUSED.format(url="SERVER_URL"),
    "Job('odd', url=os.environ['ODD_URL'])",
    # What people look at when something does not work.
    "print(job, Settings.from_environment())\nSettings.from_environment()",
    "open_job = Job('open', total=2)\nbar = JobProgress(['well', 'far', 'open', 'unknown'])\nbar.wait(1)\nbar",
    "jobs()",
]


async def executed(environment: dict[str, str]) -> NotebookNode:
    notebook = new_notebook(cells=[new_code_cell(cell.strip()) for cell in CELLS])  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    await client.async_execute(env=kernel_environment(**environment))
    return notebook


def hidden(secret: str) -> set[str]:
    """Return forms in which a secret could be there and not be seen."""
    return {
        secret,
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        json.dumps(secret)[1:-1],
    }


@pytest.mark.slow
async def test_no_credential_is_in_the_file_or_in_what_is_made_of_it(own_redis: RedisServer, tmp_path: Path) -> None:
    own_redis.stop()
    own_redis.start("--requirepass", PASSWORD)
    address = f"127.0.0.1:{own_redis.port}/0"
    async with mounted(tmp_path) as server:
        ticket = server.key.sign(Ticket(jobs="far", actions=("report",), expires_s=int(time.time()) + 600))
        environment = SECRETS | {
            "JOBPROGRESS_URL": f"redis://:{quote(PASSWORD, safe='')}@{address}",
            "JOBPROGRESS_TOKEN": ticket,
            "SERVER_URL": server.url,
            "WRONG_URL": f"redis://:sesame-wrong@{address}",
            "AWAY_URL": "redis://me:sesame-away@127.0.0.1:9/0",
            "ODD_URL": "postgres://me:sesame-odd@127.0.0.1/db",
        }
        notebook = await executed(environment)

    outputs = [cell.outputs for cell in notebook.cells]
    said = json.dumps(outputs)
    # It went as it should: otherwise nothing could have leaked.
    assert "Well: Completed" in said
    assert "ZeroDivisionError" in said
    assert [output.ename for cell in outputs for output in cell if output.output_type == "error"] == [
        "ZeroDivisionError",
        "StoreDeniedError",
        "StoreDeniedError",
        "SettingsError",
    ]
    assert "token='***'" in said
    file = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    assert "widget-state" in file  # as `jupyter nbconvert --execute` leaves it
    made = [HTMLExporter(), HTMLExporter(embed_images=True, template_name="classic"), MarkdownExporter()]
    texts = [file, *(exporter.from_notebook_node(notebook)[0] for exporter in made)]
    for secret in (PASSWORD, ticket, ticket.rpartition(".")[2], TOKEN, "sesame-", *SECRETS.values()):
        for form in hidden(secret):
            assert [number for number, text in enumerate(texts) if form in text] == [], form
