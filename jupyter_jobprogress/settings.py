"""One frozen ``Settings``, made by three front doors: traits of the extension, arguments, environment.

docs/settings.md is the page for people; a test compares it with what is here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from jupyter_jobprogress.errors import SettingsError

ENVIRONMENT: Final[dict[str, str]] = {
    "JOBPROGRESS_URL": "Where jobs report: a Redis URL (docs/redis.md) or the http(s) URL of a jobprogress server.",
    "REDIS_URL": "Used where JOBPROGRESS_URL is not set.",
    "JOBPROGRESS_TOKEN": "Ticket or Jupyter token for an http(s) URL.",
    "JOBPROGRESS_CA_FILE": "PEM file with the certificate, or its authority, to trust for an https URL.",
    "JOBPROGRESS_SERVER_TOKEN": "Token that opens a standalone server; jupyter jobprogress serve reads it.",
    "JOBPROGRESS_NAMESPACE": "Prefix of all Redis names; empty for the names of the original service.",
    "JOBPROGRESS_SHARED_REDIS": "1: under a JupyterHub, use a Redis without a namespace, where all see all.",
    "JOBPROGRESS_DISABLE": "1: jobs run, report nothing and show nothing.",
    "JOBPROGRESS_PARENT": "Job of the script that a process belongs to; its bars are parts of that. run sets it.",
    "JOBPROGRESS_DISPLAY": "off, bar or lines: how jobs show themselves. Empty: as it suits the place.",
    "JOBPROGRESS_IN_JUPYTER": "1: a Jupyter server with this extension started the process. It sets that itself.",
}

REDIS_SCHEMES: Final = frozenset(
    {"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
)
REMOTE_SCHEMES: Final = frozenset({"http", "https", "http+unix", "https+unix"})


_UNREADABLE: Final = "(a URL that cannot be read)"

_CHECKS: Final[tuple[tuple[tuple[str, ...], str, Callable[[float], bool]], ...]] = (
    (
        ("ttl_s", "terminal_ttl_s"),
        "a number of seconds above 0, and at most 1e10, which is 300 years",  # stores count them in 64 bits
        lambda value: 0 < value <= 1e10,
    ),
    (
        ("deadline_s", "probe_idle_s", "probe_deadline_s", "drain_s"),
        "a number of seconds above 0",
        lambda value: math.isfinite(value) and value > 0,
    ),
    (("commands_per_s", "requests_per_s"), "a number above 0", lambda value: value > 0),
    (
        ("ping_interval_s", "first_message_s", "recheck_s", "idle_socket_s"),
        "seconds, or 0 for none",
        lambda value: value >= 0,
    ),
    (
        (
            "max_subscriptions",
            "max_subscriptions_per_user",
            "max_viewers",
            "max_viewers_per_user",
            "max_ids_per_command",
        ),
        "1 or more",
        lambda v: v >= 1,
    ),
    (("viewer_frame_bytes",), "1024 or more", lambda value: value >= 1024),
)


def mask_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, fit for logs and errors."""
    try:
        parts = urlsplit(url)
        if not parts.scheme:
            return "(a URL without a scheme)"
        if _names_hosts(parts.scheme):
            return _mask_hosts(parts)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _UNREADABLE
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def _names_hosts(scheme: str) -> bool:
    """Whether a URL may name several hosts."""
    return scheme in REDIS_SCHEMES and "+" in scheme


def _mask_hosts(parts: SplitResult) -> str:
    """Mask a URL that names several hosts. Raises ValueError."""
    hosts = parts.netloc.rpartition("@")[2]
    for host in hosts.split(","):
        urlsplit(f"//{host}").port  # noqa: B018 — raises where it is no port
    return f"{parts.scheme}://{hosts}{parts.path}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(url: str, name: str = "the store URL") -> str:
    """Return the URL if a store can be made of it.

    Raises:
        SettingsError: its scheme is not known, or it cannot be read. The URL is masked in the error.
    """
    scheme = url.partition("://")[0]
    if scheme not in REDIS_SCHEMES | REMOTE_SCHEMES:
        raise SettingsError(
            name,
            mask_url(url),
            "redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, http:// or https://, or empty for the "
            "embedded store",
        )
    # Of several hosts the store itself says what is wrong; urllib of Python 3.11.2 does not take two in brackets.
    if not _names_hosts(scheme) and mask_url(url) == _UNREADABLE:
        raise SettingsError(name, _UNREADABLE, "like http://host:8084/ or redis://host:6379")
    return url


def check_public_url(url: str, name: str) -> str:
    """Return the URL if a job elsewhere can report to it. Raises SettingsError."""
    if url.partition("://")[0] not in ("http", "https") or mask_url(url) == _UNREADABLE or not urlsplit(url).hostname:
        raise SettingsError(name, mask_url(url), "like https://hub.example.org/user/ann/jobprogress/, with its scheme")
    return url


def check_isolation(url: str, namespace: str, name: str, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse what a JupyterHub's users would share unawares: one Redis with one set of names.

    Raises:
        SettingsError: this is a user's server or kernel, the URL is one of Redis, and nothing divides it.
    """
    shared = url.partition("://")[0] in REDIS_SCHEMES and not namespace
    if shared and environ.get("JUPYTERHUB_USER") and environ.get("JOBPROGRESS_SHARED_REDIS") != "1":
        raise SettingsError(
            name,
            mask_url(url),
            "under a JupyterHub a Redis with a namespace and an ACL user for each user of the Hub, or else the URL of "
            "the Hub's jobprogress service (docs/jupyterhub.md). JOBPROGRESS_SHARED_REDIS=1 says that all may see and "
            "change all jobs",
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, with its unit in its name."""

    url: str | None = None
    """The store; None for the embedded one."""

    token: str | None = None
    """Ticket or Jupyter token for an ``http(s)`` URL."""

    ca_file: str | None = None
    """PEM file to trust for an ``https`` URL; None for the system's authorities."""

    namespace: str = ""
    """Prefix of all Redis names."""

    ttl_s: float = 3600.0
    """How long a state that is not terminal is kept after the last update."""

    terminal_ttl_s: float = 7 * 86400.0
    """How long a terminal state is kept."""

    deadline_s: float = 2.0
    """Longest wait for one answer of the store."""

    probe_idle_s: float = 5.0
    """Silence of the push connection after which it is probed by a message to itself."""

    probe_deadline_s: float = 4.0
    """Longest wait for that message. Idle, deadline and one wake-up together stay under 11 s."""

    ping_interval_s: float = 30.0
    """Time between two ``ping`` messages to a viewer; 0 sends none."""

    max_subscriptions: int = 1024
    """Most jobs that one viewer may watch on one socket."""

    max_subscriptions_per_user: int = 50_000
    """Most jobs on all sockets of one user, or of one address where users have no names, in up to 1.7 KiB each.
    ``ws/jobs/{job_id}`` is not counted."""

    max_viewers: int = 10_000
    """Most sockets of one server process."""

    max_viewers_per_user: int = 2_000
    """Most sockets of one user, or of one address where users have no names."""

    viewer_frame_bytes: int = 16 * 1024
    """Largest frame of a viewer. Who may report may send what a report needs, 128 KiB."""

    commands_per_s: float = 50.0
    """Messages a second of one viewer, reports apart; 20 times as many at once."""

    max_ids_per_command: int = 256
    """Most job ids in one command."""

    requests_per_s: float = 100.0
    """REST requests and handshakes of sockets a second of one user or address; 20 times as many at once."""

    first_message_s: float = 15.0
    """Longest wait for the first message on ``ws/jobs``; 0 waits for ever."""

    drain_s: float = 15.0
    """Longest wait for a viewer to take one write."""

    recheck_s: float = 45.0
    """Time between two looks whether whoever opened a socket may still be there; 0 never looks."""

    idle_socket_s: float = 0.0
    """Time after which a socket is closed on whose end nothing runs; 0 never closes one for that."""

    database: str | None = None
    """SQLite file of the embedded store; None keeps it in memory alone."""

    def __post_init__(self) -> None:
        if self.url is not None:
            check_url(self.url)
        for names, expected, good in _CHECKS:
            for name in names:
                if not good(value := getattr(self, name)):
                    raise SettingsError(name, value, expected)

    def __repr__(self) -> str:
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "token" and value is not None:
                value = "***"
            elif field.name == "url" and value is not None:
                value = mask_url(value)
            shown.append(f"{field.name}={value!r}")
        return f"Settings({', '.join(shown)})"

    @classmethod
    def from_environment(cls, url: str | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
        """Resolve what a reporter needs: the argument, then ``JOBPROGRESS_URL``, then ``REDIS_URL``, then no URL.

        Raises:
            SettingsError: a URL has a scheme that no store has.
        """
        token, ca_file = environ.get("JOBPROGRESS_TOKEN"), environ.get("JOBPROGRESS_CA_FILE")
        inherited = environ.get("JOBPROGRESS_URL")
        for name, candidate in (
            ("url", url),
            ("JOBPROGRESS_URL", inherited),
            ("REDIS_URL", environ.get("REDIS_URL")),
        ):
            if candidate:
                check_url(candidate, name)
                if name != "url":
                    check_isolation(candidate, environ.get("JOBPROGRESS_NAMESPACE", ""), name, environ)
                return cls(
                    url=candidate,
                    token=token or None,
                    ca_file=ca_file or None,
                    namespace=environ.get("JOBPROGRESS_NAMESPACE", ""),
                )
        return cls(namespace=environ.get("JOBPROGRESS_NAMESPACE", ""))
