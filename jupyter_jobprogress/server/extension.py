"""The Jupyter Server extension: traits become ``Settings``, handlers get their paths, kernels their environment."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Bool, Float

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.protocol.names import URL_PREFIX
from jupyter_jobprogress.server.activity import Activity
from jupyter_jobprogress.server.jupyter import JupyterDoor, in_jupyter
from jupyter_jobprogress.server.kernels import kernel_environment
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.sockets import lengthen_queue
from jupyter_jobprogress.server.traits import JobProgress
from jupyter_jobprogress.settings import check_isolation


class JobProgressExtension(JobProgress, ExtensionApp):
    """Reads the sections ``c.JobProgress`` and, of the standalone server, the file with the same name."""

    name = "jupyter_jobprogress"
    version = __version__
    description = "Live progress of long-running jobs."
    load_other_extensions = True

    _service: Service | None = None
    _activity: Activity | None = None
    _replaced: Mapping[str, str | None] = {}

    kernels_report_here = Bool(
        True,
        help="Whether kernels and terminals inherit JOBPROGRESS_URL and a token for this server. False: they report "
        "where their own environment says. Default: True.",
    ).tag(config=True)

    keep_alive_while_running = Bool(
        False,
        help="Whether a job that runs keeps this server from being called idle, and so from being shut down or culled: "
        "a job that reports to it, or runs on its machine, or is watched on a page of it. Default: False.",
    ).tag(config=True)
    keep_alive_longest_s = Float(
        86400.0,
        help="Longest time for which one run of a job keeps this server, in seconds. Default: 86400, one day.",
    ).tag(config=True)
    keep_alive_look_s = Float(
        30.0, help="Seconds between two looks whether a job runs that keeps this server. Default: 30."
    ).tag(config=True)

    def _config_file_name_default(self) -> str:
        return "jupyter_jobprogress_config"

    def initialize_settings(self) -> None:
        settings = self.service_settings()
        check_isolation(settings.url or "", settings.namespace, "c.JobProgress.redis_url")
        self._service = Service(settings)
        self._site = Site(
            service=self._service,
            key=self.ticket_key(),
            door=JupyterDoor(),
            root=url_path_join(self.settings["base_url"], URL_PREFIX, "/"),
            public_url=self.public_url,
        )
        self.settings["jobprogress_service"] = self._service
        self.log.info("Job progress is kept in the store %s", self._service.store.label)

    def initialize_handlers(self) -> None:
        self.handlers.extend((f"/{URL_PREFIX}/{path}", in_jupyter(core), {"site": self._site}) for path, core in ROUTES)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Let many viewers come at once, and export the environment of kernels. The server listens now."""
        if self._service is None:
            return  # a setting was refused, and the log has said why: nothing is served to which a kernel could report
        lengthen_queue(serverapp.http_server)
        # What a Jupyter server consists of stays to its end. The garbage collector took 100 ms to look at all of it,
        # now and then, in which no viewer and no kernel was served.
        gc.freeze()
        if self.keep_alive_while_running:
            settings = serverapp.web_app.settings

            def mark() -> None:
                # Every setting of such a name counts in ``web_app.last_activity``, which the server's own timeout asks,
                # and jupyterhub-singleuser for what it reports to the Hub.
                settings["jobprogress_last_activity"] = utcnow()

            self._activity = Activity(
                self._service, mark, look_s=self.keep_alive_look_s, longest_s=self.keep_alive_longest_s
            )
            self._activity.start()
        if not self.kernels_report_here:
            return
        if self.service_url:
            exported = {"JOBPROGRESS_URL": self.service_url, "JOBPROGRESS_TOKEN": os.environ["JUPYTERHUB_API_TOKEN"]}
        elif self.redis_url:
            # Straight to Redis: a job then outlives this server.
            exported = {"JOBPROGRESS_URL": self.redis_url}
            if self.namespace:
                exported["JOBPROGRESS_NAMESPACE"] = self.namespace
        else:
            # Also over an inherited URL: that of another server, in whose terminal this one was started, would lead
            # to states which no page of this server can show.
            exported = kernel_environment(serverapp, self._site.key)
        exported["JOBPROGRESS_IN_JUPYTER"] = "1"
        self._replaced = {name: os.environ.get(name) for name in exported}
        os.environ.update(exported)

    def current_activity(self) -> bool:
        """Say whether a job runs for which the server is not to end itself, however short its timeout is."""
        return self._activity is not None and self._activity.running

    async def stop_extension(self) -> None:
        if self._activity is not None:
            await self._activity.close()
        for name, value in self._replaced.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._service is not None:  # or it was refused at the start
            await self._service.close()
