"""``jupyter jobprogress serve``: the server without Jupyter."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn
from urllib.parse import quote, urlsplit

from jupyter_core.application import JupyterApp
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from traitlets import Bool, Int, List, TraitError, Unicode, default, observe, validate
from traitlets.config import Application as TraitletsApplication
from traitlets.config import Config
from traitlets.config.loader import KVArgParseConfigLoader

from jupyter_jobprogress._version import __version__
from jupyter_jobprogress.errors import JobProgressError, SettingsError
from jupyter_jobprogress.server.plain import NotFound, PlainDoor, alone
from jupyter_jobprogress.server.routes import ROUTES
from jupyter_jobprogress.server.running import Running, announce
from jupyter_jobprogress.server.service import Service
from jupyter_jobprogress.server.short_way import ShortWay
from jupyter_jobprogress.server.site import Site
from jupyter_jobprogress.server.sockets import listen, tls, unlink
from jupyter_jobprogress.server.traits import JobProgress

GOODBYE_S: Final = 2.0
"""Longest wait for viewers to confirm that the server stops."""

BODY_BYTES: Final = 64 * 1024
"""Largest body of a request whose handler sets no other limit."""

_EVERY_ADDRESS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}

_ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#@\s]+")

_access = logging.getLogger("jupyter_jobprogress.access")


class _Strict(KVArgParseConfigLoader):
    """Refuses what it does not know: a misspelt ``--certfile`` would serve plain text."""

    def load_config(self, *arguments: Any, **keywords: Any) -> Config:
        """Read the command line. Exits with 2 where something of it is no option."""
        config = super().load_config(*arguments, **keywords)
        if self.extra_args:
            self._handle_unrecognized_alias(self.extra_args[0])
        return config

    def _handle_unrecognized_alias(self, arg: str) -> None:
        _no_option(arg)


def _no_option(name: str) -> NoReturn:
    print(f"jupyter jobprogress serve: Expected an option of --help, got {name!r}.", file=sys.stderr)
    sys.exit(2)


class JobProgressServer(JobProgress, JupyterApp):
    """Reads ``c.JobProgress``, which it shares with the extension, and ``c.JobProgressServer``."""

    name = "jupyter-jobprogress"
    version = __version__
    raise_config_file_errors = True
    sections: ClassVar[frozenset[str]] = frozenset()
    """Classes besides this one that a command line may configure."""

    behind_proxy = False
    """Whether X-Forwarded-For and -Proto are those of a proxy that nobody goes around."""

    description = "Serve the progress of jobs without Jupyter. Prints the URL to open; stop it with Ctrl-C or SIGTERM."

    host = Unicode("127.0.0.1", help="Address to listen on. 0.0.0.0: every one. Default: 127.0.0.1.").tag(config=True)
    port = Int(8084, min=0, max=65535, help="Port to listen on. 0: any that is free. Default: 8084.").tag(config=True)
    socket = Unicode(help="Path of a unix socket to listen on, in place of host and port.").tag(config=True)
    base_url = Unicode("/", help="Path under which everything is served, behind a proxy. Default: /.").tag(config=True)
    token = Unicode(
        help="Token that opens everything. Default: JOBPROGRESS_SERVER_TOKEN, or else a new one at each start. Other "
        "users of this machine can read an argument; the variable and the configuration file they cannot."
    ).tag(config=True)
    no_auth = Bool(False, help="Let everybody in who can reach the server. Default: False.").tag(config=True)
    allow_origin = List(
        Unicode(), help="Origins of other sites whose pages may ask, exactly as a browser sends them. Default: none."
    ).tag(config=True)
    allow_host = List(
        Unicode(), help="Names of this server besides localhost, its host and that of public_url; '*' for any."
    ).tag(config=True)
    certfile = Unicode(help="PEM file with the certificate for TLS, and its chain.").tag(config=True)
    keyfile = Unicode(help="PEM file with the key of the certificate. Default: it is in certfile.").tag(config=True)
    reuse_port = Bool(
        False,
        help="Let several processes listen on one port (SO_REUSEPORT). Needs Redis and a token. Default: False.",
    ).tag(config=True)

    aliases = dict(JupyterApp.aliases) | {
        name.replace("_", "-"): f"JobProgressServer.{name}"
        for name in (
            *("host", "port", "socket", "base_url", "token", "allow_origin", "allow_host", "certfile", "keyfile"),
            *("redis_url", "namespace", "database", "public_url"),
        )
    }
    flags = dict(JupyterApp.flags) | {
        "no-auth": ({"JobProgressServer": {"no_auth": True}}, "Let everybody in who can reach the server."),
        "reuse-port": ({"JobProgressServer": {"reuse_port": True}}, "Let several processes listen on one port."),
    }

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("JOBPROGRESS_SERVER_TOKEN", "")

    @validate("certfile", "keyfile", "socket")
    def _absolute(self, proposal: Any) -> str:
        return os.path.abspath(proposal["value"]) if proposal["value"] else ""

    @validate("allow_origin")
    def _origins(self, proposal: Any) -> list[str]:
        for origin in proposal["value"]:
            if _ORIGIN.fullmatch(origin) is None:
                # It would never match, and nothing would say so.
                expected = "like https://app.example.org, as a browser sends it: with http(s), without a / at its end"
                raise TraitError(str(SettingsError("allow_origin", origin, expected)))
        return list(proposal["value"])

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _Strict(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)

    @validate("config_file")
    def _config_file(self, proposal: Any) -> str:
        named = str(proposal["value"])
        if named and not any(os.path.isfile(f"{named}{ending}") for ending in ("", ".py", ".json")):
            # Jupyter goes on without it; here TLS may be set in it.
            raise TraitError(str(SettingsError("config", named, "the path of a file")))
        return named

    @observe("config")
    def _config_changed(self, change: Any) -> None:
        """Take the configuration without the log line of the base class, in which a token would stand."""
        super(TraitletsApplication, self)._config_changed(change)

    def migrate_config(self) -> None:
        """Do nothing: there is no configuration from before."""

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT. Exits with 1, and the reason, where it cannot begin."""
        super().start()
        self.refuse_unknown()
        for name in ("jupyter_jobprogress", "tornado"):
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = self.log.handlers, False
            logger.setLevel(self.log.level)
        # What is here stays, and the garbage collector need not look at it whenever some hundred viewers have come.
        gc.freeze()
        try:
            asyncio.run(self.serve())
        except (OSError, JobProgressError) as exc:
            where = self.socket or f"{self.host}:{self.port}"
            sys.exit(f"jupyter jobprogress serve: cannot serve on {where}: {exc}")

    def refuse_unknown(self) -> None:
        """Exit with 2 where something is set that there is not: traitlets warns of a trait, and not of a class."""
        ours, traits = {kind.__name__ for kind in type(self).__mro__}, self.traits(config=True)
        for section in self.cli_config.keys() - ours - self.sections:
            _no_option(section)
        for section in ours & self.config.keys():
            # What a file has of JobProgress may be for the extension, which reads it, too.
            given = self.cli_config if section == "JobProgress" else self.config
            for name in given.get(section, {}).keys() - traits.keys():
                _no_option(f"{section}.{name}")

    async def serve(self, stop: asyncio.Event | None = None) -> None:
        """Serve until ``stop`` is set, or without one until a signal comes."""
        generated, token = self.credential()
        if self.socket and self.certfile:
            raise SettingsError("certfile", self.certfile, "empty together with a unix socket, which needs no TLS")
        context = tls(self.certfile, self.keyfile)
        listening = listen(host=self.host, port=self.port, path=self.socket, reuse_port=self.reuse_port)
        port = 0 if self.socket else listening[0].getsockname()[1]
        service = Service(self.service_settings())
        http = self.http_server(self.application(service, token), ssl_options=context)
        if stop is None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        http.add_sockets(listening)
        url = self.local_url(port)
        file = self.announce(Running(url=url, token=token, pid=os.getpid(), ca_file=self.certfile))
        try:
            self.tell(url, token if generated else "", service.store.label, file)
            await stop.wait()
        finally:
            if file is not None:
                file.unlink(missing_ok=True)
            http.stop()
            await service.close()
            await service.sockets.gone(within_s=GOODBYE_S)
            await http.close_all_connections()
            unlink(self.socket)

    def http_server(self, application: Application, **options: Any) -> HTTPServer:
        """Return the server of an application, before it listens."""
        options |= {
            "max_body_size": BODY_BYTES,
            "max_header_size": 16 * 1024,
            "idle_connection_timeout": 120,
            "xheaders": self.behind_proxy,
        }
        site: Site = application.settings["site"]
        if isinstance(site.door, PlainDoor):
            return ShortWay(application, site=site, door=site.door, **options)
        return HTTPServer(application, **options)

    def credential(self) -> tuple[bool, str]:
        """Return the token that opens everything, empty where none does, and before it whether it was made here."""
        return not self.no_auth and not self.token, "" if self.no_auth else self.token or secrets.token_hex(32)

    def announce(self, server: Running) -> Path | None:
        """Tell the programs of this user where the server is. Returns the file that does, for the caller to remove."""
        return announce(server)

    @property
    def root(self) -> str:
        return f"/{self.base_url.strip('/')}/".replace("//", "/")

    def hosts(self) -> frozenset[str]:
        """Return the names of this server besides localhost and addresses."""
        names = {self.host, *self.allow_host, urlsplit(self.public_url).hostname or ""}
        return frozenset(name.lower() for name in names if name)

    def application(self, service: Service, token: str) -> Application:
        """Return the Tornado application: every route below the base URL, and nothing beside it."""
        root = self.root
        door = PlainDoor(token=token, origins=frozenset(self.allow_origin), hosts=self.hosts())
        site = Site(service=service, key=self.ticket_key(), door=door, root=root, public_url=self.public_url)
        routes: list[Any] = [(f"{root}{path}", alone(core), {"site": site}) for path, core in ROUTES]
        return Application(
            routes,
            default_handler_class=alone(NotFound),
            default_handler_args={"site": site},
            log_function=log_request,
            door=door,
            site=site,
        )

    def local_url(self, port: int) -> str:
        """Return the URL by which a process on this machine reaches the server."""
        path = self.root
        scheme = "https" if self.certfile else "http"
        if self.socket:
            return f"http+unix://{quote(self.socket, safe='')}{path}"
        host = _EVERY_ADDRESS.get(self.host, self.host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"

    def tell(self, url: str, token: str, store: str, file: Path | None) -> None:
        """Print once where the server is. The only place where a token is printed, and only one made here."""
        public = f"{self.public_url.rstrip('/')}/" if self.public_url else url
        page = url if self.socket else f"{public}{f'?token={token}' if token else ''}"
        lines = [f"Job progress is served from the store {store} at", "", f"    {page}", ""]
        if file is None:
            lines += ["Users sign in by JupyterHub.", ""]
        elif self.no_auth:
            lines += ["WARNING: NO AUTHENTICATION. Everybody who reaches this address sees and cancels every job.", ""]
        else:
            lines += [f"Programs of yours on this machine find the token in {file}.", ""]
        if not self.socket and not self.certfile and url.partition("://")[2].partition(":")[0] != self.host:
            lines += ["WARNING: no TLS. The token and all states travel as plain text over the network.", ""]
        print("\n".join(lines), flush=True)


def log_request(handler: RequestHandler) -> None:
    """Log one request, without its query, in which a token may be."""
    request = handler.request
    level = logging.ERROR if handler.get_status() >= 500 else logging.DEBUG
    took_ms = 1000 * request.request_time()
    _access.log(level, "%d %s %s %.1f ms", handler.get_status(), request.method, request.path[:200], took_ms)
