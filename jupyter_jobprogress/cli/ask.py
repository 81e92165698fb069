"""One request over HTTP, with the credential that was meant for this server and for no other."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from jupyter_jobprogress.errors import StoreDeniedError, StoreUnavailableError
from jupyter_jobprogress.settings import Settings, is_loopback, mask_url
from jupyter_jobprogress.store.remote_link import tls_context

TIMEOUT_S: Final = 10.0
ANSWER_BYTES: Final = 1024 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: what comes from elsewhere is no answer, and the token is not for it."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def post(settings: Settings, path: str, body: bytes, *, method: str = "POST") -> bytes:
    """Send JSON to a path of a server and return the body of its answer. Blocks, ``TIMEOUT_S`` at most for each step.

    Raises:
        StoreDeniedError: 401 or 403; StoreUnavailableError: everything else that is no success.
    """
    assert settings.url is not None
    label = mask_url(settings.url)
    headers = {"Authorization": f"token {settings.token}", "Content-Type": "application/json"}
    try:
        status, answer = send(settings, method, path, headers, body)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise StoreUnavailableError(label, f"{type(exc).__name__}: {exc}") from exc
    if status in (401, 403):
        raise StoreDeniedError(label, f"it answers {status}")
    if not 200 <= status < 300:
        what = "a redirect, as a login page or a stopped server does" if 300 <= status < 400 else f"{status}"
        raise StoreUnavailableError(label, f"it answers with {what}")
    return answer


def send(
    settings: Settings,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, bytes]:
    """Send a request to a path below ``settings.url`` and return its status and body. Blocks; follows no redirect.

    Raises OSError, HTTPException, ValueError.
    """
    parts = urlsplit(settings.url or "")
    root = parts.path.rstrip("/")
    if parts.scheme.endswith("+unix"):
        connection = _UnixConnection(unquote(parts.netloc), timeout_s)
        try:
            connection.request(method, f"{root}/{path}", body, headers)
            response = connection.getresponse()
            return response.status, response.read(ANSWER_BYTES)
        finally:
            connection.close()
    host = parts.hostname or ""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if parts.scheme == "https":
        context: ssl.SSLContext = tls_context(settings.ca_file, host)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    if is_loopback(host):
        handlers.append(urllib.request.ProxyHandler({}))
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{root}/{path}"
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as response:
            return response.status, response.read(ANSWER_BYTES)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(ANSWER_BYTES)
