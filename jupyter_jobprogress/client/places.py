"""Where the jobs are that somebody wants to see."""

from __future__ import annotations

import os
from dataclasses import replace

from jupyter_jobprogress.errors import NoServerError
from jupyter_jobprogress.server.running import place, running_servers, server_at
from jupyter_jobprogress.settings import REMOTE_SCHEMES, Settings


def find(url: str | None) -> Settings:
    """Resolve where the jobs are: the argument, the environment, or a server of this user that runs here.

    Raises:
        SettingsError, NoServerError
    """
    settings = Settings.from_environment(url)
    inherited = os.environ.get("JOBPROGRESS_URL")
    if url and inherited and place(url) != place(inherited):
        # The token in the environment is for the URL beside it, and no other server may see it.
        settings = replace(settings, token=None, ca_file=None)
    if settings.url is None:
        if not (servers := running_servers()):
            raise NoServerError
        settings = replace(settings, url=servers[0].url, token=None)
    assert settings.url is not None
    if settings.token or settings.url.partition("://")[0] not in REMOTE_SCHEMES:
        return settings
    server = server_at(settings.url)
    if server is None:
        return settings
    return replace(settings, token=server.token or None, ca_file=settings.ca_file or server.ca_file or None)
