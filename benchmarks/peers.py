"""Who is measured: the product, the original design, the yardstick in C, and what others would take instead.

Each is a server in a process of its own, and says what it needs where that is missing.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks import native, servers, surroundings
from benchmarks.servers import Target

CONNECTED: Final = '"type":"connected"'


def _nothing() -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Peer:
    """How a server is started, and how a viewer of it talks. The texts are options of the load generator.

    ``has_state``: a viewer gets the present state when it comes. ``posts``: the path for updates, where they do not
    come over Redis. ``starts``: how it is started for a row of the table, where that is another way.
    """

    name: str
    title: str
    start: Callable[..., AbstractContextManager[Target]]
    starts: Mapping[str, Callable[..., AbstractContextManager[Target]]] = field(default_factory=dict)
    missing: Callable[[], str | None] = _nothing
    path: str = "/ws/jobs/%s"
    greeting: str = CONNECTED
    subscribe: str = ""
    ready: str = ""
    socketio: bool = False
    has_state: bool = True
    posts: str = ""
    restarts: bool = True
    is_product: bool = False


@contextlib.contextmanager
def plain(
    folder: Path, redis_url: str, *, core: int | None, again: Target | None = None, arguments: Sequence[str] = ()
) -> Iterator[Target]:
    """Run the epoll loop in C, with further arguments of native/plain_server.c."""
    port = urlsplit(redis_url).port
    command = [str(native.build("plain_server")), "--redis-port", str(port), *arguments]
    with servers.own_server(command, folder, core=core, again=again) as target:
        yield target


@contextlib.contextmanager
def _module(
    name: str, folder: Path, redis_url: str, *, core: int | None, again: Target | None = None
) -> Iterator[Target]:
    command = [sys.executable, "-m", name, "--redis-url", redis_url]
    with servers.own_server(command, folder, core=core, again=again) as target:
        yield target


_NGINX: Final = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/server.log error;
worker_rlimit_nofile 16384;
events {{ worker_connections 12000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  nchan_shared_memory_size 256m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ /pub/(.+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 20000;
    }}
    location ~ /ws/jobs/(.+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""

_NCHAN_MODULES: Final = (
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
)


def _nginx() -> str | None:
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


@contextlib.contextmanager
def nchan(folder: Path, _: str, *, core: int | None, again: Target | None = None) -> Iterator[Target]:
    """Run nginx with nchan, one process, without Redis: it takes updates by POST."""
    module = next(path for path in _NCHAN_MODULES if Path(path).exists())
    port = again.port if again else servers.free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(module=module, folder=folder, port=port))
    command = [str(_nginx()), "-c", str(config), "-e", str(folder / "server.log")]
    with servers.process_of(command, folder / "nginx.log", os.environ, core=core) as process:
        servers.wait_until(lambda: servers.listens(port), process, folder / "nginx.log")
        yield Target(process.pid, port, "", {}, "", "/")


def _missing_nchan() -> str | None:
    if _nginx() is None or not any(Path(path).exists() for path in _NCHAN_MODULES):
        return "nchan needs nginx with its module: apt install nginx-light libnginx-mod-nchan"
    return None


def _missing_standalone() -> str | None:
    if servers.standalone_binary() is None:
        return "standalone needs `jupyter jobprogress serve`, which the installed jupyter_jobprogress has not"
    return None


def _missing_socketio() -> str | None:
    names = [name for name in ("socketio", "uvicorn") if importlib.util.find_spec(name) is None]
    return "socketio needs python-socketio: pip install python-socketio 'uvicorn[standard]'" if names else None


_MORE_CONNECTIONS: Final = ("--max-connections", "20000")

PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(name="product", title="Jupyter server with jupyter_jobprogress", start=servers.product, is_product=True),
        Peer(
            name="standalone",
            title="jupyter jobprogress serve",
            start=servers.standalone,
            missing=_missing_standalone,
            is_product=True,
        ),
        Peer(
            name="original",
            title="the original design on FastAPI",
            start=servers.original,
            starts={
                # A connection for each job: redis-py's pool ends at 100.
                "jobs": functools.partial(servers.original, arguments=_MORE_CONNECTIONS),
                # It sends no state; here it does, or there would be nothing to compare.
                "connect": functools.partial(servers.original, arguments=(*_MORE_CONNECTIONS, "--with-state")),
            },
            missing=surroundings.missing_original,
            has_state=False,
        ),
        Peer(name="c", title="an epoll loop in C, one send a message", start=plain, missing=native.missing),
        Peer(
            name="c-joined",
            title="the same in C, all messages of one read in one send",
            start=functools.partial(plain, arguments=("--join", "1")),
            missing=native.missing,
        ),
        Peer(
            name="tornado",
            title="write_message for each viewer",
            start=functools.partial(_module, "benchmarks.peer_tornado"),
        ),
        Peer(
            name="socketio",
            title="python-socketio on uvicorn",
            start=functools.partial(_module, "benchmarks.peer_socketio"),
            missing=_missing_socketio,
            path="/socket.io/?EIO=4&transport=websocket",
            greeting="",
            subscribe='42["subscribe","%s"]',
            ready='"subscribed"',
            socketio=True,
        ),
        Peer(
            name="nchan",
            title="nginx with nchan, one process, updates by POST",
            start=nchan,
            missing=_missing_nchan,
            greeting="",
            has_state=False,
            posts="/pub/%s",
            restarts=False,
        ),
    )
}
"""In the order of the table's columns."""

ALWAYS: Final = ("product", "standalone", "c")
"""The product, with Jupyter and without, and the yardstick."""
BASES: Final = ("original", "c")
"""Whose figures the goals are ratios to."""
