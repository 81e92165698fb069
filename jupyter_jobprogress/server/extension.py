"""The Jupyter Server extension: traits become ``Settings``, handlers get their paths, kernels their environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Bool, Float, Int, Unicode, default

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.protocol.names import JOB_PATH, URL_PREFIX
from jupyter_jobprogress.server.api import CancelHandler, HealthHandler, JobHandler, JobsHandler, MetricsHandler
from jupyter_jobprogress.server.auth import TicketKey
from jupyter_jobprogress.server.kernels import kernel_environment
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.websocket import JobSocket, JobsSocket
from jupyter_jobprogress.settings import REDIS_SCHEMES, Settings

LIMITS: Final = (
    "max_subscriptions",
    "max_viewers",
    "max_viewers_per_user",
    "viewer_frame_bytes",
    "commands_per_s",
    "max_ids_per_command",
    "requests_per_s",
    "first_message_s",
)
"""Traits that are fields of ``Settings`` under the same name."""


class JobProgress(ExtensionApp):
    """Named for the section of the configuration: ``c.JobProgress.redis_url``."""

    name = "jupyter_jobprogress"
    version = __version__
    description = "Live progress of long-running jobs."
    load_other_extensions = True

    redis_url = Unicode(
        help="URL of the Redis or Valkey that holds the states of jobs: redis://, rediss:// or unix://. Empty (the "
        "default, unless JOBPROGRESS_URL names a Redis or REDIS_URL is set): the embedded store of this server."
    ).tag(config=True)
    namespace = Unicode(
        help="Prefix of all names in Redis. Empty (the default): the names of the original progress service."
    ).tag(config=True)
    database = Unicode(
        help="File of the embedded store. Default: jobprogress/jobs.sqlite in Jupyter's data folder. Empty: states "
        "are kept in memory and are lost when the server stops."
    ).tag(config=True)
    ttl_s = Float(
        3600.0, help="Seconds that a state is kept after the job's last update, above 0. Default: 3600, one hour."
    ).tag(config=True)
    terminal_ttl_s = Float(
        7 * 86400.0, help="Seconds that the state of a job that ended is kept, above 0. Default: 604800, seven days."
    ).tag(config=True)
    ping_interval_s = Float(
        30.0, help="Seconds between two keepalive messages to a viewer. 0: none are sent. Default: 30."
    ).tag(config=True)
    max_subscriptions = Int(256, help="Most jobs that one page may watch at a time, 1 or more. Default: 256.").tag(
        config=True
    )
    max_viewers = Int(10000, help="Most open sockets of this server, 1 or more. Default: 10000.").tag(config=True)
    max_viewers_per_user = Int(
        2000,
        help="Most open sockets of one user, or of one address where users have no names, 1 or more. Default: 2000.",
    ).tag(config=True)
    viewer_frame_bytes = Int(
        16384,
        help="Largest message of a page or client that may not report, in bytes, 1024 or more. Default: 16384.",
    ).tag(config=True)
    commands_per_s = Float(
        50.0,
        help="Messages a second that one page may send, reports apart, above 0; 20 times as many may come at once. "
        "Default: 50.",
    ).tag(config=True)
    max_ids_per_command = Int(256, help="Most job ids in one message, 1 or more. Default: 256.").tag(config=True)
    requests_per_s = Float(
        100.0,
        help="REST requests and handshakes of sockets a second of one user or address, above 0; 20 times as many may "
        "come at once. Default: 100.",
    ).tag(config=True)
    first_message_s = Float(
        15.0, help="Seconds in which a client of ws/jobs must send its first message. 0: no limit. Default: 15."
    ).tag(config=True)
    kernels_report_here = Bool(
        True,
        help="Whether kernels and terminals inherit JOBPROGRESS_URL and a token for this server. False: they report "
        "where their own environment says. Default: True.",
    ).tag(config=True)

    @default("redis_url")
    def _default_redis_url(self) -> str:
        for name in ("JOBPROGRESS_URL", "REDIS_URL"):
            url = os.environ.get(name, "")
            if url.partition("://")[0] in REDIS_SCHEMES:
                return url
        return ""

    @default("namespace")
    def _default_namespace(self) -> str:
        return os.environ.get("JOBPROGRESS_NAMESPACE", "")

    @default("database")
    def _default_database(self) -> str:
        return str(self._data_folder / "jobs.sqlite")

    @property
    def _data_folder(self) -> Path:
        return Path(jupyter_data_dir()) / "jobprogress"

    def initialize_settings(self) -> None:
        self._replaced: dict[str, str | None] = {}
        self._ticket_key = TicketKey(str(self._data_folder / "ticket.key"))
        self._service = Service(
            Settings(
                url=self.redis_url or None,
                namespace=self.namespace,
                database=self.database or None,
                ttl_s=self.ttl_s,
                terminal_ttl_s=self.terminal_ttl_s,
                ping_interval_s=self.ping_interval_s,
                **{name: getattr(self, name) for name in LIMITS},
            )
        )
        self.settings["jobprogress_service"] = self._service
        self.log.info("Job progress is kept in the store %s", self._service.store.label)

    def initialize_handlers(self) -> None:
        socket: dict[str, Any] = {"service": self._service, "ticket_key": self._ticket_key}
        rest = {"service": self._service}
        routes = [
            (r"ws/jobs", JobsSocket, socket),
            (rf"ws/jobs/{JOB_PATH}", JobSocket, socket),
            (r"api/jobs", JobsHandler, rest),
            (rf"api/jobs/{JOB_PATH}", JobHandler, rest),
            (rf"api/jobs/{JOB_PATH}/cancel", CancelHandler, rest),
            (r"health", HealthHandler, rest),
            (r"metrics", MetricsHandler, rest),
        ]
        self.handlers.extend((url_path_join(f"/{URL_PREFIX}", path), handler, kw) for path, handler, kw in routes)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Export the environment of kernels. The server listens now, so that its port is known."""
        if not self.kernels_report_here:
            return
        if self.redis_url:
            # Straight to Redis: a job then outlives this server.
            exported = {"JOBPROGRESS_URL": self.redis_url}
            if self.namespace:
                exported["JOBPROGRESS_NAMESPACE"] = self.namespace
        else:
            # Also over an inherited URL: that of another server, in whose terminal this one was started, would lead
            # to states which no page of this server can show.
            exported = kernel_environment(serverapp, self._ticket_key)
        self._replaced = {name: os.environ.get(name) for name in exported}
        os.environ.update(exported)

    async def stop_extension(self) -> None:
        for name, value in self._replaced.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        await self._service.close()
