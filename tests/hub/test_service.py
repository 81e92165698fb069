"""The service of a Hub, started by the configuration that docs/jupyterhub.md prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from tests.support.hub import SERVICE, Hub, until

JOBS = f"{SERVICE}api/jobs"
REPORT = """
from jupyter_jobprogress import track
for _ in track(range(4), {job_id!r}): pass
"""
CELL = """
import os, sys
from jupyter_jobprogress import Job
with Job("from-kernel", total=2) as job:
    job.update(2)
"""


def report(hub: Hub, user: str, job_id: str, **fields: object) -> None:
    body = {"progress": 0.5} | fields
    assert hub.ask(f"{JOBS}/{job_id}/updates", method="POST", body=body, token=hub.user(user)).status == 200


def status(hub: Hub, user: str, job_id: str) -> object:
    return (hub.ask(f"{JOBS}/{job_id}", token=hub.user(user)).json or {}).get("status")


def test_each_user_has_jobs_of_his_own_under_the_same_id(hub: Hub) -> None:
    report(hub, "ann", "same", progress=0.25)
    report(hub, "bob", "same", progress=0.75)

    for user, progress in (("ann", 0.25), ("bob", 0.75)):
        assert hub.ask(f"{JOBS}/same", token=hub.user(user)).json["progress"] == progress
        listed = hub.ask(JOBS, token=hub.user(user)).json["jobs"]
        assert [job["progress"] for job in listed if job["job_id"] == "same"] == [progress]


def test_a_socket_sees_what_a_request_reports(hub: Hub) -> None:
    socket = hub.socket(f"{SERVICE}ws/jobs", token=hub.user("ann"))
    assert socket.read()["type"] == "connected"
    socket.ask(type="subscribe", job_ids=["live"], interval_ms=0)

    report(hub, "bob", "live", progress=0.9)
    report(hub, "ann", "live", progress=0.1)

    assert socket.read()["progress"] == 0.1
    socket.close()


def test_a_ticket_of_the_service_is_all_that_a_job_elsewhere_needs(hub: Hub) -> None:
    made = hub.ask(f"{SERVICE}api/tickets", method="POST", body={"job_id": "remote"}, token=hub.user("ann")).json
    assert made["url"] == f"{hub.url}{SERVICE}"
    own = {"JOBPROGRESS_URL": made["url"], "JOBPROGRESS_TOKEN": made["token"]}

    subprocess.run([sys.executable, "-c", REPORT.format(job_id="remote")], env=os.environ | own, check=True, timeout=60)

    until(
        lambda: (hub.ask(f"{JOBS}/remote", token=hub.user("ann")).json or {}).get("status") == "completed", within_s=30
    )
    assert hub.ask(f"{JOBS}/remote", token=hub.user("bob")).status == 404


def test_a_users_server_shows_what_the_service_keeps_and_its_kernels_report_there(hub: Hub) -> None:
    hub.start_server("ann")
    ann = hub.user("ann")
    report(hub, "ann", "shown", message="from outside")

    assert hub.ask("user/ann/jobprogress/api/jobs/shown", token=ann).json["message"] == "from outside"
    socket = hub.run("ann", CELL)
    until(lambda: status(hub, "ann", "from-kernel") == "completed", within_s=40)
    socket.close()
    # To watch and to cancel through the page of the user's server.
    page = hub.socket("user/ann/jobprogress/ws/jobs", token=ann)
    assert page.ask(type="subscribe", job_ids=["shown"])["missing"] == []
    assert page.ask(type="cancel", job_id="shown")["found"]
    page.close()


def test_health_tells_everybody_whether_and_metrics_tell_operators_what(hub: Hub) -> None:
    assert hub.ask(f"{SERVICE}health", token=hub.user("ann")).json == {"status": "ok"}
    assert hub.ask(f"{SERVICE}metrics", token=hub.user("ann")).status == 403

    text = hub.ask(f"{SERVICE}metrics").text  # with the token of a service
    assert "jobprogress_viewers " in text
    # The bounds of a histogram's buckets, and nothing that anybody could have chosen.
    assert set(re.findall(r'[{,](\w+)="', text)) == {"le"}
    assert "ann" not in text
    assert "same" not in text


def test_thousands_of_tenants_share_the_connections_to_redis(hub: Hub) -> None:
    def clients() -> int:
        return len(hub.redis("CLIENT", "LIST").split(b"\n"))

    report(hub, "ann", "first")
    before = clients()
    sockets = [hub.socket(f"{SERVICE}ws/jobs", token=hub.user(f"many-{number}")) for number in range(20)]
    for socket in sockets:
        socket.ask(type="subscribe", job_ids=["j"])

    assert clients() <= before + 4  # the servers of users come and go at the same time
    for socket in sockets:
        socket.close()


@pytest.mark.parametrize("form", [SERVICE, "user/ann/jobprogress/"])
def test_a_ticket_that_is_taken_back_opens_nothing_and_closes_its_sockets(hub: Hub, form: str) -> None:
    ann = hub.user("ann")
    hub.start_server("ann")
    body = {"job_id": "lent", "actions": ["watch"]}
    made = hub.ask(f"{form}api/tickets", method="POST", body=body, token=ann).json
    lent = {"Authorization": f"JobProgress {made['token']}"}
    socket = hub.socket(f"{form}ws/jobs/lent", headers=lent)

    assert hub.ask(f"{form}api/tickets/{made['id']}", method="DELETE", token=hub.user("bob")).status in (204, 401)
    assert hub.refusal(f"{form}ws/jobs/lent", headers=lent) == 101
    assert hub.ask(f"{form}api/tickets/{made['id']}", method="DELETE", token=ann).status == 204

    assert hub.refusal(f"{form}ws/jobs/lent", headers=lent) == 401
    assert socket.closed() == 4401


def test_the_time_of_a_ticket_ends_a_socket_that_it_opened(hub: Hub) -> None:
    body = {"job_id": "brief", "actions": ["watch"], "expires_in_s": 2}
    made = hub.ask(f"{SERVICE}api/tickets", method="POST", body=body, token=hub.user("ann")).json
    began_s = time.monotonic()
    socket = hub.socket(f"{SERVICE}ws/jobs/brief", headers={"Authorization": f"JobProgress {made['token']}"})

    assert socket.closed() == 4401
    assert time.monotonic() - began_s > 1
