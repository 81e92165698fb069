"""``jupyter jobprogress serve --hub``: the server as a service of a JupyterHub, for all of its users."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth  # type: ignore[import-untyped]
from tornado.web import Application
from traitlets import Unicode, default

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.server.hub import Callback, HubDoor, in_hub
from jupyter_jobprogress.server.plain import NotFound
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.running import Running
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.standalone import JobProgressServer, log_request
from jupyter_jobprogress.server.ticket_key import load_key

OWNER_PATH: Final = r"user/(?P<owner>[^/]+)/"
"""Before the path of a route: the jobs of another user, for those whom a role of the Hub lets watch them."""


class JobProgressHub(JobProgressServer):
    """Reads ``c.JobProgress``, ``c.JobProgressServer`` and ``c.HubOAuth``, and what a Hub tells its services."""

    description = "Serve the progress of jobs to the users of a JupyterHub, each his own. Started by the Hub."
    sections = frozenset(kind.__name__ for kind in HubOAuth.__mro__)
    behind_proxy = True

    tenant_key_file = Unicode(
        help="File with the key from which the names of users in the store are made, made where it is missing. Without "
        "it, their jobs are not found again. Default: tenant.key beside the key of tickets."
    ).tag(config=True)

    @default("tenant_key_file")
    def _default_tenant_key_file(self) -> str:
        return str(Path(self.ticket_key_file).with_name("tenant.key"))

    @default("base_url")
    def _default_base_url(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")

    @default("host")
    def _default_host(self) -> str:
        return urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", "")).hostname or "127.0.0.1"

    @default("port")
    def _default_port(self) -> int:
        return urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", "")).port or 8084

    @default("public_url")
    def _default_public_url(self) -> str:
        return os.environ.get("JUPYTERHUB_PUBLIC_URL", "")

    def credential(self) -> tuple[bool, str]:
        return False, ""  # nothing opens everything

    def announce(self, server: Running) -> Path | None:
        return None  # programs of whoever runs the service have no more business here than those of others

    def hosts(self) -> frozenset[str]:
        # A Hub is reached by names that it does not know itself. What comes by a wrong one has no cookie, which is of
        # the right name; whoever knows the names makes the list.
        return super().hosts() if self.public_url or self.allow_host else frozenset({"*"})

    def application(self, service: Service, token: str) -> Application:
        if not os.environ.get("JUPYTERHUB_API_TOKEN") or not os.environ.get("JUPYTERHUB_CLIENT_ID"):
            raise SettingsError(
                "JUPYTERHUB_API_TOKEN and JUPYTERHUB_CLIENT_ID",
                "empty",
                "what a JupyterHub gives to its services: let it start this one (docs/jupyterhub.md), or without a Hub "
                "leave --hub out",
            )
        door = HubDoor(
            origins=frozenset(self.allow_origin),
            hosts=self.hosts(),
            hub=HubOAuth(parent=self),
            key=load_key(Path(self.tenant_key_file)),
        )
        key = self.ticket_key()
        site = Site(service=service, key=key, door=door, root=self.root, public_url=self.public_url)
        routes: list[Any] = [
            (f"{self.root}{prefix}{path}", in_hub(core), {"site": site})
            for prefix in ("", OWNER_PATH)
            for path, core in ROUTES
        ]
        return Application(
            [(f"{self.root}oauth_callback", Callback), *routes],
            default_handler_class=in_hub(NotFound),
            default_handler_args={"site": site},
            log_function=log_request,
            door=door,
            site=site,
            # Of several processes, each reads the cookies of the others.
            cookie_secret=hmac.digest(key.key, b"cookies", "sha256"),
        )
