"""What can be set on a server, in Jupyter or alone: one section of the configuration, ``c.JobProgress``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from jupyter_core.paths import jupyter_data_dir
from traitlets import Float, Int, Unicode, default
from traitlets.config import Configurable

from jupyter_jobprogress.server.ticket_key import TicketKey
from jupyter_jobprogress.settings import REDIS_SCHEMES, REMOTE_SCHEMES, Settings, check_public_url

LIMITS: Final = (
    "max_subscriptions",
    "max_subscriptions_per_user",
    "max_viewers",
    "max_viewers_per_user",
    "viewer_frame_bytes",
    "commands_per_s",
    "max_ids_per_command",
    "requests_per_s",
    "first_message_s",
    "drain_s",
    "recheck_s",
    "idle_socket_s",
)
"""Traits that are fields of ``Settings`` under the same name."""


class JobProgress(Configurable):
    """Named for the section of the configuration. docs/settings.md is the page for people; a test compares it."""

    redis_url = Unicode(
        help="URL of the Redis or Valkey that holds the states of jobs: see docs/redis.md. Empty (the "
        "default, unless JOBPROGRESS_URL names a Redis or REDIS_URL is set): the embedded store of this server."
    ).tag(config=True)
    service_url = Unicode(
        help="http(s) URL of the server that keeps the states of jobs for this one, as a service of a JupyterHub does. "
        "Empty (the default, unless a Hub's JOBPROGRESS_URL names one): this server keeps them, or Redis."
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
    max_subscriptions = Int(1024, help="Most jobs that one page may watch at a time, 1 or more. Default: 1024.").tag(
        config=True
    )
    max_subscriptions_per_user = Int(
        50000,
        help="Most jobs that one user may watch at a time on all pages, or one address where users have no names, 1 or "
        "more. Default: 50000.",
    ).tag(config=True)
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
    max_ids_per_command = Int(
        256,
        help="Most job ids in one message, 1 or more; with fewer than 64, pages and clients of this package cannot "
        "watch many jobs. Default: 256.",
    ).tag(config=True)
    requests_per_s = Float(
        100.0,
        help="REST requests and handshakes of sockets a second of one user or address, above 0; 20 times as many may "
        "come at once. Default: 100.",
    ).tag(config=True)
    first_message_s = Float(
        15.0, help="Seconds in which a client of ws/jobs must send its first message. 0: no limit. Default: 15."
    ).tag(config=True)
    drain_s = Float(
        15.0,
        help="Seconds after which a viewer is dropped that does not take what is sent to it, above 0. Default: 15.",
    ).tag(config=True)
    recheck_s = Float(
        45.0,
        help="Seconds after which an open socket is asked again whether its user is still signed in and its ticket "
        "still good. A JupyterHub adds the 300 s for which its answers are kept. 0: never. Default: 45.",
    ).tag(config=True)
    idle_socket_s = Float(
        help="Seconds after which a socket is closed whose end neither watches nor reports a job that runs: a proxy "
        "counts its pings as activity, so that a forgotten tab would keep a user's server. 0: never. Default: 0, and "
        "1800 in a user's server of a JupyterHub."
    ).tag(config=True)
    public_url = Unicode(
        help="URL by which jobs on other machines reach this server, for tickets; in Jupyter it ends with "
        "/jobprogress/. Empty (the default): the address by which the ticket was asked for."
    ).tag(config=True)
    ticket_key_file = Unicode(
        help="File with the key that signs tickets, made where it is missing. Servers that share it accept each "
        "other's tickets. Default: jobprogress/ticket.key in Jupyter's data folder."
    ).tag(config=True)

    @default("idle_socket_s")
    def _default_idle_socket_s(self) -> float:
        return 1800.0 if os.environ.get("JUPYTERHUB_USER") else 0.0

    @default("service_url")
    def _default_service_url(self) -> str:
        # Only what a Hub has set: beside a token this is the URL of the server in whose terminal this one was started.
        url = os.environ.get("JOBPROGRESS_URL", "")
        given_by_hub = os.environ.get("JUPYTERHUB_API_TOKEN") and not os.environ.get("JOBPROGRESS_TOKEN")
        return url if given_by_hub and url.partition("://")[0] in REMOTE_SCHEMES else ""

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
        return str(Path(jupyter_data_dir()) / "jobprogress" / "jobs.sqlite")

    @default("ticket_key_file")
    def _default_ticket_key_file(self) -> str:
        return str(Path(jupyter_data_dir()) / "jobprogress" / "ticket.key")

    def service_settings(self) -> Settings:
        """Return what was set as ``Settings``. Raises SettingsError."""
        if self.public_url:
            check_public_url(self.public_url, "public_url")
        return Settings(
            url=self.service_url or self.redis_url or None,
            token=os.environ.get("JUPYTERHUB_API_TOKEN") if self.service_url else None,
            ca_file=(os.environ.get("JOBPROGRESS_CA_FILE") or None) if self.service_url else None,
            namespace=self.namespace,
            database=self.database or None,
            ttl_s=self.ttl_s,
            terminal_ttl_s=self.terminal_ttl_s,
            ping_interval_s=self.ping_interval_s,
            **{name: getattr(self, name) for name in LIMITS},
        )

    def ticket_key(self) -> TicketKey:
        return TicketKey(self.ticket_key_file)
