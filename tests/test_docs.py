"""The samples of the documentation: all of them are Python, and those that can run are run as they are printed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jupyter_jobprogress import Job
from tests.support.celery_workers import workers
from tests.support.jobs import eventually
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def samples(page: Path) -> list[str]:
    """Return the blocks of Python of a page, and the lines in the cells of its tables that are."""
    text = page.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        # A cell that is code alone, each of its lines in backticks.
        for cell in re.findall(r"\| ((?:`[^`]+`(?:<br>)?)+) (?=\|)", row):
            lines = re.findall(r"`([^`]+)`", cell)
            if re.match(r"(from \w+ import|with|async with|for|\w+ = ) ?", lines[0]):
                blocks.append("\n".join(lines))
    return blocks


def compiled(code: str) -> Any:
    """Compile a sample as a notebook does, in which ``await`` may stand anywhere."""
    return compile(code, "sample", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


async def run(code: str, **names: object) -> dict[str, Any]:
    """Run a sample with the names that it takes for given, and return what it leaves."""
    left: dict[str, Any] = dict(names)
    result = eval(compiled(code), left)
    if inspect.isawaitable(result):
        await result
    return left


@pytest.fixture
def redis(redis_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("JOBPROGRESS_URL", redis_server.url)
    monkeypatch.setenv("JOBPROGRESS_NAMESPACE", namespace)
    with Redis(port=redis_server.port) as client:
        yield lambda job_id: json.loads(client.get(f"{namespace}:job_status:{job_id}"))


def test_every_sample_is_python() -> None:
    found = {page.name: samples(page) for page in PAGES}
    for codes in found.values():
        for code in codes:
            compiled(code)

    assert {"README.md", "celery.md", "cli.md", "reporting.md"} <= {name for name, codes in found.items() if codes}
    assert sum(map(len, found.values())) >= 13


async def test_what_a_job_can_say(redis: Any) -> None:
    (code,) = [code for code in samples(ROOT / "docs" / "reporting.md") if "set_total(120)" in code]

    left = await run(code, Job=Job, epochs=100, done_before=7, path="/checkpoint", loss=0.25, accuracy=0.5)

    assert await asyncio.to_thread(left["job"].wait, 10)
    state = redis("train-7")
    assert (state["status"], state["n"], state["total"], state["message"]) == ("completed", 8, 120, "Job completed")
    assert state["metrics"] == {"loss": 0.25, "accuracy": 0.5}
    assert state["metadata"]["checkpoint"] == "/checkpoint"


async def test_jobs_from_python(redis: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Job("job-1") as job:
        job.report(stage="fit")
        job.complete({"score": 1})
    assert await asyncio.to_thread(job.wait, 10)
    blocking, waiting = [code for code in samples(ROOT / "docs" / "cli.md") if "get_status" in code]

    left = [await run(code) for code in (blocking, waiting)]

    assert [names["state"].status for names in left] == ["completed"] * 2
    assert capsys.readouterr().out == "completed {'score': 1} None\ncomplete 1.0\n"


@pytest.mark.slow
async def test_the_task_of_the_page_about_celery(redis_server: RedisServer, tmp_path: Path) -> None:
    (code,) = samples(ROOT / "docs" / "celery.md")
    (tmp_path / "tasks.py").write_text(code)
    url = f"{redis_server.url.rpartition('/')[0]}/11"
    environment = {"CELERY_BROKER_URL": url, "REDIS_URL": url, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "-A", "tasks", "call", "tasks.render", "--args=[4]", "--queue=threads"]

    def call() -> str:
        with workers("tasks", {"threads": 1}, folder=tmp_path, environment=environment):
            done = subprocess.run(
                command,
                env=os.environ | environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            task_id = done.stdout.strip()
            asyncio.run(eventually(lambda: ended(task_id), within_s=30))
            return task_id

    with Redis.from_url(url) as client:

        async def ended(task_id: str) -> bool:
            return json.loads(client.get(f"job_status:{task_id}") or "{}").get("status") == "completed"

        task_id = await asyncio.to_thread(call)
        state = json.loads(client.get(f"job_status:{task_id}"))

    assert state["title"]
    assert state["progress"] == 1
