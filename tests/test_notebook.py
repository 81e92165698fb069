"""A job in a real kernel: its bar is shown, and the end of a cell tells what an iterator cannot see."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.kernel import Kernel, kernel_environment, running_kernel
from tests.support.redis_server import RedisServer

MIME_TYPE = "application/vnd.jobprogress.v1+json"
SETUP = """
import json, time
from jupyter_jobprogress import Job, Settings, track
from jupyter_jobprogress.reporter.process import sender_for

def state(job_id):
    deadline_s = time.monotonic() + 30
    while True:
        found = sender_for(Settings()).read([job_id]).result(30).get(job_id)
        if found is not None and found.status.terminal or time.monotonic() > deadline_s:
            return json.loads(found.data)
        time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        kernel.run(SETUP)
        yield kernel


def test_a_job_shows_its_bar_in_the_cell_that_starts_it(kernel: Kernel) -> None:
    outputs = kernel.run("job = Job('shown', total=2, title='Shown')")

    (shown,) = [output for output in outputs if output["type"] == "display_data"]
    # Its first state may have come back before it is drawn.
    assert shown["data"]["text/plain"] in ("shown: Waiting for the job", "Shown: Running · 0% · 0 / 2")
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    # The store is in the kernel, where no renderer of a page could ask it.
    assert MIME_TYPE not in shown["data"]


def test_a_job_that_reports_to_a_server_is_left_to_the_renderer(kernel: Kernel) -> None:
    outputs = kernel.run("job = Job('far', url='http://127.0.0.1:9/jobprogress/')")

    (shown,) = [output for output in outputs if output["type"] == "display_data"]
    assert shown["data"][MIME_TYPE] == {"job_ids": ["far"], "states": {}}


def test_a_bar_without_a_server_is_fed_by_the_kernel(kernel: Kernel) -> None:
    kernel.run("fed = Job('fed', total=2, title='Fed')")

    # Sent from another thread, the messages belong to no cell: they are read from the channel itself.
    kernel.client.execute("fed.update(1); fed.wait(0.3); fed.complete(); fed.wait(30)")

    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        message = kernel.client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "comm_msg":
            states = message["content"]["data"].get("content", {}).get("states", {})
            if states.get("fed", {}).get("status") == "completed":
                return
    pytest.fail("the bar was not fed the end of its job")


def test_a_job_that_is_not_to_be_shown_is_not(kernel: Kernel) -> None:
    outputs = kernel.run("hidden = Job('hidden', display=False); hidden.complete()")

    assert [output["type"] for output in outputs if output["type"] in ("display_data", "stream", "error")] == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_cell_that_fails_fails_the_loop_that_it_left(kept: bool, kernel: Kernel) -> None:
    name = f"failing-{kept}"
    loop = "for item in items: 1 / (2 - item)"
    cell = f"items = track(range(5), '{name}')\n{loop}" if kept else loop.replace("items", f"track(range(5), '{name}')")

    outputs = kernel.run(cell)

    assert [output["ename"] for output in outputs if output["type"] == "error"] == ["ZeroDivisionError"]
    found = kernel.printed(f"found = state('{name}'); print(found['status'], found['n'], found['error'])")
    assert found == "failed 2 ZeroDivisionError: division by zero"


def test_an_interrupted_cell_cancels_its_loop(kernel: Kernel) -> None:
    outputs = kernel.run(
        "for item in track(range(100), 'interrupted'):\n    print('looping', flush=True)\n    time.sleep(20)",
        interrupt_on="looping",
    )

    assert [output["ename"] for output in outputs if output["type"] == "error"] == ["KeyboardInterrupt"]
    assert kernel.printed("print(state('interrupted')['status'])") == "cancelled"


def test_a_loop_left_by_break_has_stopped_when_the_cell_ends(kernel: Kernel) -> None:
    kernel.run("for item in track(range(10), 'left'):\n    if item == 3: break")

    found = kernel.printed("found = state('left'); print(found['status'], found['message'])")
    assert found == "completed Stopped at 3 of 10"


def test_an_error_after_a_break_is_none_of_the_loop(kernel: Kernel) -> None:
    kernel.run("for item in track(range(10), 'before'):\n    if item == 3: break\n1 / 0")

    found = kernel.printed("found = state('before'); print(found['status'], found['message'])")
    assert found == "completed Stopped at 3 of 10"


def test_a_cell_that_fails_fails_its_asynchronous_loop(kernel: Kernel) -> None:
    kernel.run("async def items():\n    for n in range(5): yield n")
    kernel.run("async for item in track(items(), 'async', total=5): 1 / (2 - item)")

    assert kernel.printed("found = state('async'); print(found['status'], found['n'])") == "failed 2"


def test_an_iterator_may_go_on_in_the_next_cell(kernel: Kernel) -> None:
    kernel.run("items = track(range(3), 'on', display=False); first = next(items)")

    assert kernel.printed("print(first, list(items), items.job.status)") == "0 [1, 2] completed"


def test_jobs_of_forked_workers_report_and_say_nothing_in_the_name_of_the_kernel(
    redis_server: RedisServer, namespace: str
) -> None:
    work = """
import logging, multiprocessing, traitlets.log
from jupyter_jobprogress import Job, track

class Remembers(logging.Handler):
    said = []
    def emit(self, record):
        self.said.append(record.getMessage()[:60])

def work(number):
    traitlets.log.get_logger().addHandler(Remembers())
    with Job(f"forked-{number}") as own:
        loop = track(range(3), f"loop-{number}")
        for item in loop:
            own.update()
    own.wait(30), loop.job.wait(30)
    return Remembers.said
"""
    with running_kernel(REDIS_URL=redis_server.url, JOBPROGRESS_NAMESPACE=namespace) as kernel:
        kernel.run(work)
        said = kernel.printed(
            "with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(work, range(3)))"
        )

    assert said == "[[], [], []]"
    with redis.Redis.from_url(redis_server.url) as client:
        for name in ("forked-0", "loop-2"):
            state = json.loads(client.get(f"{namespace}:job_status:{name}"))
            assert (state["status"], state["n"]) == ("completed", 3)


def test_a_bar_of_a_job_in_another_process_can_be_observed_waited_for_and_awaited(
    redis_server: RedisServer, namespace: str
) -> None:
    environment = {"REDIS_URL": redis_server.url, "JOBPROGRESS_NAMESPACE": namespace}
    script = """
from jupyter_jobprogress import Job
job = Job("far", total=4, title="Far")
job.update(3), job.log(loss=0.5), input()
job.complete({"answer": 42}), job.wait(20)
"""
    with running_kernel(**environment) as kernel:
        kernel.run("from jupyter_jobprogress import JobProgress\nimport time\nseen, bar = [], JobProgress('far')")
        kernel.run("bar.observe(lambda it: seen.append((it['name'], it['new'])), ['status', 'n', 'metrics'])")
        assert kernel.printed("print(bar.wait(0.05), bar.status == '')") == "False True"

        far = subprocess.Popen(
            [sys.executable, "-c", script], env=kernel_environment(**environment), stdin=subprocess.PIPE, text=True
        )
        kernel.run("while not (bar.n == 3 and bar.metrics): time.sleep(0.01)")
        found = kernel.printed("print(bar.status, bar.progress, bar.total, bar.wait(0.05))")
        assert found == "processing 0.75 4.0 False"
        far.communicate("go on\n", timeout=30)

        assert kernel.printed("print(await bar is bar, bar.status, bar.result)") == "True completed {'answer': 42}"
        assert kernel.printed("print(bar.wait(30), bar.state['title'], bar.error == '')") == "True Far True"
        assert kernel.printed("print(('n', 3.0) in seen, ('metrics', {'loss': 0.5}) in seen)") == "True True"
        assert kernel.printed("print(seen[-1] == ('status', 'completed'))") == "True"
