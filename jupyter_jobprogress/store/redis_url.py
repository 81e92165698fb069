"""What a Redis URL says: where to connect, with what, and whether Sentinels or a Cluster stand in between.

    redis://  rediss://  unix://                            one server
    redis+sentinel://user:password@host:26379,host/service  whichever server is the master of ``service`` now
    redis+cluster://user:password@host:6379,host            a Cluster, found through any of the nodes

``rediss+sentinel`` and ``rediss+cluster`` connect with TLS. After a question mark stand the options that redis-py
knows, and for Sentinels ``sentinel_username`` and ``sentinel_password``; before the ``@`` is the credential of the
servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jupyter_jobprogress.errors import SettingsError
from jupyter_jobprogress.settings import Settings, mask_url

Address = tuple[str, int]

SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379

_IGNORED_OPTIONS: Final = ("max_connections", "timeout", "retry_on_error", "legacy_responses", "encoding_errors")
_EXPECTED: Final = {
    "": "a Redis URL with options that redis-py knows",
    "sentinel": "redis+sentinel://host:port,host:port/service or …/service/database",
    "cluster": "redis+cluster://host:port,host:port without a database",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """``options`` are arguments of ``connection_class``; ``hosts`` are Sentinels or nodes of a Cluster."""

    connection_class: type[AbstractConnection]
    options: dict[str, Any]
    kind: str = ""
    hosts: tuple[Address, ...] = ()
    service: str = ""
    sentinel_options: dict[str, Any]


def is_cluster(settings: Settings) -> bool:
    """Whether the URL names a Cluster, where the names of a job share a hash tag."""
    return _split(settings.url or "")[1] == "cluster"


def read_url(settings: Settings) -> Target:
    """Read ``settings.url``.

    Options in the URL (database, TLS, client name) are kept, but not those that would undo the deadline or the
    format of replies.

    Raises:
        SettingsError: the URL has not the form above, or redis-py cannot make a connection of it. It is masked.
    """
    url = settings.url or ""
    scheme, kind, rest = _split(url)
    wrong = SettingsError("the store URL", mask_url(url), _EXPECTED.get(kind, _EXPECTED[""]))
    hosts: tuple[Address, ...] = ()
    service = ""
    own: dict[str, str] = {}
    if kind:
        try:
            rest, hosts, service, own = _several(rest, kind)
        except ValueError:
            hosts = ()
        # Outside of the handler: the text of what it caught may hold a part of the URL.
        if not hosts:
            raise wrong
    made = _made(f"{scheme}://{rest}", settings.deadline_s)
    if made is None:
        raise wrong
    connection_class, options = made
    return Target(
        connection_class=connection_class,
        options=options,
        kind=kind,
        hosts=hosts,
        service=service,
        sentinel_options=_sentinel_options(options, own, len(hosts), settings.deadline_s),
    )


def _split(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.partition("://")
    scheme, _, kind = scheme.partition("+")
    return scheme, kind, rest


def _several(rest: str, kind: str) -> tuple[str, tuple[Address, ...], str, dict[str, str]]:
    """Return the URL's rest with one host in place of many, all hosts, the service and options for Sentinels.

    Raises ValueError.
    """
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    credential, at, hosts = place.rpartition("@")
    addresses = tuple(_address(host, SENTINEL_PORT if kind == "sentinel" else REDIS_PORT) for host in hosts.split(","))
    service, _, database = path.strip("/").partition("/")
    if kind == "cluster":
        service, database = "", service
        if database not in ("", "0"):
            raise ValueError
    elif not service:
        raise ValueError
    options = dict(parse_qsl(query, keep_blank_values=True))
    own = {name[9:]: options.pop(name) for name in ("sentinel_username", "sentinel_password") if name in options}
    one = f"{credential}{at}localhost/{database}"
    return f"{one}?{urlencode(options)}" if options else one, addresses, unquote(service), own


def _address(text: str, port: int) -> Address:
    host, colon, given = text.strip().rpartition(":")
    if not colon or given.endswith("]"):  # no port, perhaps after an IPv6 address in brackets
        host, given = text.strip(), str(port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not given.isdecimal():
        raise ValueError
    return host, int(given)


def _made(url: str, deadline_s: float) -> tuple[type[AbstractConnection], dict[str, Any]] | None:
    try:
        parsed: dict[str, Any] = dict(parse_url(url))
    except ValueError:
        # Its text may hold a part of the URL, so that it must not become the context of what is raised, either.
        parsed = {"connection_class": None}
    connection_class = parsed.pop("connection_class", Connection)
    options = {name: value for name, value in parsed.items() if name not in _IGNORED_OPTIONS}
    options |= {
        "protocol": 2,  # half the cost per message of RESP3 in redis-py
        "decode_responses": False,
        # The deadline is around the whole of a command; timers of redis-py within it would only cost time.
        "socket_timeout": None,
        "socket_connect_timeout": deadline_s,
        # By default redis-py tries 11 times: 59 s with a Redis that hangs.
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
    }
    try:
        connection_class(**options)
    except (TypeError, ValueError, RedisError):
        return None
    return connection_class, options


def _sentinel_options(options: dict[str, Any], own: dict[str, str], hosts: int, deadline_s: float) -> dict[str, Any]:
    """Return what Sentinels are asked with: the TLS of the servers, a credential of their own, and such patience that
    the last of them can still answer within the deadline."""
    patience_s = deadline_s / (hosts + 1)
    kept = {name: value for name, value in options.items() if name.startswith("ssl_")}
    timeouts = {"socket_timeout": patience_s, "socket_connect_timeout": patience_s}
    return kept | own | timeouts | {"retry": Retry(NoBackoff(), 0), "protocol": 2}
