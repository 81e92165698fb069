"""What a Hub learns of the activity of a user's server, by which it is culled."""

from __future__ import annotations

import time

from tests.support.hub import Hub, until

USER = "ext-eve"
API = f"user/{USER}/jobprogress/api/"


def test_a_running_job_is_reported_to_the_hub_as_activity_until_it_ends(hub: Hub) -> None:
    hub.start_server(USER)

    def report(**fields: object) -> None:
        answer = hub.ask(f"{API}jobs/kept/updates", method="POST", body=fields, token=hub.user(USER))
        assert answer.status == 200

    def activity() -> str:
        return str(hub.ask(f"hub/api/users/{USER}").json["servers"][""]["last_activity"])

    def grows() -> bool:
        # As long as two reports of the server to the Hub take.
        before, deadline_s = activity(), time.monotonic() + 2.5
        while time.monotonic() < deadline_s:
            if activity() > before:
                return True
            time.sleep(0.1)
        return False

    until(lambda: not grows(), within_s=60)
    report(progress=0.5, heartbeat_s=60)
    until(grows, within_s=30)
    report(status="completed")
    until(lambda: not grows(), within_s=60)
