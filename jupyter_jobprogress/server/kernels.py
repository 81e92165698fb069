"""How the kernels and terminals of a Jupyter server find their way back to it.

They inherit the server's environment, so that three variables there are enough, for every kind of kernel manager.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from jupyter_jobprogress.protocol.names import URL_PREFIX
from jupyter_jobprogress.protocol.tickets import Ticket
from jupyter_jobprogress.server.ticket_key import TicketKey

TICKET_LIFE_S: Final = 30 * 86400
"""A kernel that lives longer than this was started by a server that does, too, and its bars go on; its reports end."""

_EVERY_ADDRESS: Final = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


def local_url(serverapp: ServerApp) -> str:
    """Return the URL under which a process on this machine reaches the server. Right once it listens.

    Not ``serverapp.connection_url``: that one is for people, and names the host that they type.
    """
    scheme = "https" if serverapp.certfile else "http"
    path = url_path_join("/", serverapp.base_url, URL_PREFIX, "/")
    if serverapp.sock:
        return f"http+unix://{quote(serverapp.sock, safe='')}{path}"
    host = _EVERY_ADDRESS.get(serverapp.ip, serverapp.ip)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{scheme}://{host}:{serverapp.port}{path}"


def kernel_environment(serverapp: ServerApp, key: TicketKey) -> dict[str, str]:
    """Return what a kernel must inherit in order to report to, and watch, the embedded store of this server."""
    ticket = Ticket(jobs="*", actions=("report", "watch", "cancel"), expires_s=int(time.time()) + TICKET_LIFE_S)
    environment = {"JOBPROGRESS_URL": local_url(serverapp), "JOBPROGRESS_TOKEN": key.sign(ticket)}
    if serverapp.certfile:
        environment["JOBPROGRESS_CA_FILE"] = serverapp.certfile
    return environment
