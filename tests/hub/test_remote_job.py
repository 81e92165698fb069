"""A job on another machine reports to a user's server behind a real JupyterHub, with nothing but a ticket."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.hub import Hub, until

USER = "ext-eve"
JOB = """
import sys
from jupyter_jobprogress import Job
with Job("train-7", total=4, title="Train", heartbeat_s=1) as job:
    for line in sys.stdin:
        job.update()
sys.exit(0 if job.wait(30) else 1)
"""


@pytest.mark.timeout(240)
def test_a_ticket_is_all_that_a_remote_job_needs(hub: Hub) -> None:
    hub.start_server(USER)
    eve, api = hub.user(USER), f"user/{USER}/jobprogress/api/"

    made = hub.ask(api + "tickets", method="POST", body={"job_id": "train-7"}, token=eve)
    assert made.status == 201
    ticket = made.json
    assert ticket["url"] == f"{hub.url}user/{USER}/jobprogress/"

    def state() -> Any:
        return hub.ask(api + "jobs/train-7", token=eve).json or {}

    own = {"JOBPROGRESS_URL": ticket["url"], "JOBPROGRESS_TOKEN": ticket["token"]}
    with subprocess.Popen([sys.executable, "-c", JOB], env=os.environ | own, stdin=subprocess.PIPE, text=True) as job:
        assert job.stdin is not None
        job.stdin.write("\n")
        job.stdin.flush()
        until(lambda: state().get("n") == 1, within_s=30)

        # The Hub stops the server, as it culls idle ones; the job goes on and delivers its whole state afterwards.
        hub.stop_server(USER)
        job.stdin.write("\n\n")
        job.stdin.flush()
        hub.start_server(USER)
        until(lambda: state().get("n") == 3, within_s=40)
        job.stdin.write("\n")
        job.stdin.close()
        assert job.wait(40) == 0

    assert (state()["status"], state()["n"], state()["title"]) == ("completed", 4, "Train")
    # Nobody else's credential: the ticket reads nothing, and opens no other job.
    as_ticket = {"Authorization": f"JobProgress {ticket['token']}"}
    assert hub.ask(api + "jobs/train-7", headers=as_ticket).status == 401
    assert hub.ask(api + "jobs/other/updates", method="POST", body={"progress": 1}, headers=as_ticket).status == 401
