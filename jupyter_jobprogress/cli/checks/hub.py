"""Inside a user's server of a JupyterHub: does the Hub still know this server?"""

from __future__ import annotations

import os

from jupyter_jobprogress.cli.checks.finding import Finding, failed, not_applicable, ok
from jupyter_jobprogress.cli.checks.server import get
from jupyter_jobprogress.settings import Settings, check_url, mask_url

_RESTART = "Stop and start the server from the Hub's control panel."


async def hub() -> Finding:
    """Ask the Hub with the token that it gave to this server."""
    user, url = os.environ.get("JUPYTERHUB_USER"), os.environ.get("JUPYTERHUB_API_URL")
    secret = os.environ.get("JUPYTERHUB_API_TOKEN")
    if not user:
        return not_applicable("hub", "No user of a JupyterHub runs this.")
    if not url or not secret:
        return failed(
            "hub",
            "JUPYTERHUB_API_URL and JUPYTERHUB_API_TOKEN, which a server of a JupyterHub inherits, are not set here.",
            "Run this in a terminal of that server.",
        )
    answer = await get(Settings(url=check_url(url), token=secret), "user")
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")
    if answer.status == 200 and isinstance(answer.body, dict):
        return ok(
            "hub", f"The Hub knows this server: it is that of {answer.body.get('name')!s:.80}, below {prefix:.200}."
        )
    if answer.status in (401, 403):
        return failed("hub", f"The Hub does not accept the token of this server any more ({answer.status}).", _RESTART)
    why = answer.reason or f"it answers {answer.status}"
    return failed("hub", f"The Hub at {mask_url(url)} cannot be asked: {why}.", "Ask who operates the Hub.")
