"""The page for people, at the root and at ``jobs/{job_id}``, with the form to sign in and the files that it loads."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, quote

from tornado.httputil import url_concat
from tornado.template import Template
from tornado.web import HTTPError

from jupyter_jobprogress.server.auth import Actions, Guarded

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE.parent / "static"

FILES: Final = {
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What the page loads, with its types. Each holds one build, and its URL the digest of it."""

_CLOSED: Final = "default-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

# Images in the page itself are for the icon of a tab that tells of an end.
PAGE_POLICY: Final = (
    f"{_CLOSED}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@cache
def read(name: str) -> tuple[bytes, str]:
    """Return a file of the page and its version. Read once: an update needs a restart, as the code itself does."""
    content = (_STATIC / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:16]


@cache
def _template(name: str) -> Template:
    return Template((_HERE / name).read_text(encoding="utf-8"), autoescape="xhtml_escape", name=name)


@cache
def _style() -> tuple[str, str]:
    """Return the style of the form, which loads nothing, and its digest for the policy."""
    text = (_HERE / "sign_in.css").read_text(encoding="utf-8")
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class PageHandler(Guarded):
    """The same HTML for all paths: which jobs are shown is in the URL, and the page's own business."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    async def get(self, job_id: str | None = None) -> None:
        if self.get_query_argument("token", None) is not None:
            self.enter()
            return
        # Relative, and so right behind a proxy that serves this under another path.
        root = "./" if job_id is None else "../"
        versions = {name: read(name)[1] for name in FILES}
        self.show(_template("page.html").generate(root=root, versions=versions), policy=PAGE_POLICY)

    def enter(self) -> None:
        """Take the token out of the address bar, once it was exchanged for a cookie."""
        # Relative as the page's own links; Tornado's redirect would name the path by which the request came in here.
        # The dot keeps a job id with a colon from being a scheme.
        self.set_status(303)
        self.set_header("Location", f"./{self.here().rpartition('/')[2]}")
        self.finish()

    def here(self) -> str:
        """Return the path and query of this request, without a token."""
        asked = parse_qsl(self.request.query, keep_blank_values=True)
        return url_concat(self.request.path, [pair for pair in asked if pair[0] != "token"])

    def login_url(self) -> str:
        """Return where a user signs in; nothing where it is here, with the token."""
        return ""

    def show(self, html: bytes, *, policy: str) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Cache-Control", "no-store")
        # With no-referrer a browser sends the form with the origin "null".
        self.set_header("Referrer-Policy", "same-origin")
        self.finish(html)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Ask people who are not signed in to do so."""
        if status_code != 401:
            super().write_error(status_code, **kwargs)
            return
        style, digest = _style()
        html = _template("sign_in.html").generate(
            style=style,
            icon=quote(read("icon.svg")[0]),
            login_url=self.login_url(),
            wrong=self.get_argument("token", None) is not None,
        )
        self.show(html, policy=f"{_CLOSED}; style-src 'sha256-{digest}'; img-src data:")


class PageFileHandler(Guarded):
    """``static/{name}``. The version in the URL is a digest: what was loaded once is never asked for again."""

    actions: ClassVar[Actions] = {"GET": "watch"}

    async def get(self, name: str) -> None:
        if name not in FILES:
            raise HTTPError(404)
        content, version = read(name)
        fresh = self.get_query_argument("v", None) == version
        self.set_header("Content-Type", FILES[name])
        # Private: what is behind a sign-in is not for the cache of a proxy.
        self.set_header("Cache-Control", "private, max-age=31536000, immutable" if fresh else "no-cache")
        self.finish(content)
