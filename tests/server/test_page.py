"""The page of both servers: who gets it, what a browser is told with it, and how one signs in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPResponse

from tests.support.standalone import TOKEN, Mounted, fetch, mounted

ASKED = r'(?:src|href)="(static/[^"]+)"'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mounted]:
    async with mounted(tmp_path, base_url="/a/b") as server:
        yield server


HEADERS = {"Authorization": f"token {TOKEN}"}


async def sign_in(url: str, token: str, **headers: str) -> HTTPResponse:
    return await fetch(url, method="POST", body=urlencode({"token": token}), headers=headers)


async def test_its_files_are_named_by_their_content_and_kept_by_the_browser(server: Mounted) -> None:
    page = await fetch(server.url, headers=HEADERS)
    files = re.findall(ASKED, page.body.decode())

    assert len(files) == 3
    for file in files:
        answer = await fetch(server.url + file.replace("&amp;", "&"), headers=HEADERS)
        assert answer.code == 200
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert hashlib.sha256(answer.body).hexdigest().startswith(file.rpartition("=")[2])
        stale = await fetch(f"{server.url}{file}0", headers=HEADERS)
        assert stale.headers["Cache-Control"] == "no-cache"
    assert (await fetch(f"{server.url}static/widget.js", headers=HEADERS)).code == 404
    assert page.headers["Cache-Control"] == "no-store"


async def test_its_policy_lets_in_nothing_but_its_own_files(server: Mounted) -> None:
    page = await fetch(f"{server.url}jobs/job-1", headers=HEADERS)
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))

    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert policy["img-src"] == "'self' data:"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    html = page.body.decode()
    assert '<base href="../">' in html
    assert not re.search(r"https?://|<style|<script>| style=| on\w+=", html)


async def test_a_browser_without_a_token_is_asked_for_it(server: Mounted) -> None:
    page = await fetch(f"{server.url}jobs/job-1")
    html = page.body.decode()
    (style,) = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert page.code == 401
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<form method="post">' in html
    assert "is not the token" not in html
    assert f"style-src 'sha256-{digest}'" in page.headers["Content-Security-Policy"]
    assert "script-src" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["", "jobs/job-1", "jobs/a:b", "?job=a&job=b", "?job=a%2Fb"])
async def test_the_right_token_is_exchanged_for_a_cookie_and_leads_back(server: Mounted, path: str) -> None:
    url = server.url + path
    posted = await sign_in(url, TOKEN, Origin=server.url.split("/a/")[0])
    linked = await fetch(f"{url}{'&' if '?' in path else '?'}token={TOKEN}")

    for answer in (posted, linked):
        assert answer.code == 303
        assert not answer.headers["Location"].startswith("/")  # a proxy may have taken a path away
        assert urljoin(url, answer.headers["Location"]) == url
        cookie = answer.headers["Set-Cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=Strict", "Path=/a/b/"} <= set(re.split(r"; ?", cookie))
        assert (await fetch(url, headers={"Cookie": cookie.partition(";")[0]})).code == 200


async def test_a_wrong_token_is_said_to_be_wrong_and_not_repeated(server: Mounted) -> None:
    answer = await sign_in(server.url, "guessed-by-somebody")

    assert answer.code == 401
    assert "is not the token" in answer.body.decode()
    assert "guessed-by-somebody" not in answer.body.decode() + str(dict(answer.headers))
    assert "Set-Cookie" not in answer.headers


async def test_a_page_of_another_site_signs_nobody_in(server: Mounted) -> None:
    assert (await sign_in(server.url, TOKEN, Origin="http://evil.example")).code == 403


async def test_programs_are_answered_as_ever(server: Mounted) -> None:
    wrong = await fetch(f"{server.url}jobs/-", headers=HEADERS)

    assert (wrong.code, json.loads(wrong.body)["code"]) == (400, "invalid_job_id")
    assert json.loads((await fetch(f"{server.url}api/jobs")).body)["code"] == "unauthorized"


async def test_without_authentication_the_page_is_there_at_once(tmp_path: Path) -> None:
    async with mounted(tmp_path, no_auth=True, token="") as server:
        page = await fetch(server.url)
        linked = await fetch(f"{server.url}?token=old")

    assert page.code == 200
    assert (linked.code, linked.headers["Location"]) == (303, "./")
    assert "Set-Cookie" not in linked.headers


async def test_a_jupyter_server_has_it_too_and_asks_to_sign_in_as_usual(
    jp_serverapp: ServerApp, http_server: Any, jp_auth_header: dict[str, str]
) -> None:
    port = http_server._sockets[next(iter(http_server._sockets))].getsockname()[1]
    root = f"{jp_serverapp.base_url}jobprogress/"
    url = f"http://127.0.0.1:{port}{root}"

    page = await fetch(f"{url}jobs/job-1", headers=jp_auth_header)
    files = re.findall(ASKED, page.body.decode())
    script = await fetch(url + files[-1], headers=jp_auth_header)
    nobody = await fetch(f"{url}jobs/job-1?token=wrong")

    assert page.code == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "_xsrf=" in page.headers["Set-Cookie"]
    assert (script.code, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert nobody.code == 401
    assert f"login?next={quote(root, safe='')}jobs%2Fjob-1" in nobody.body.decode()
    assert "wrong" not in nobody.body.decode()
