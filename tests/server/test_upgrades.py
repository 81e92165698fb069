"""Which requests are read without an HTTP server, and that all others are left to one."""

from __future__ import annotations

import pytest

from jupyter_jobprogress.server.upgrades import Reader, Upgrade
from tests.support.upgrades import BROWSER, request

READER = Reader("/")


def test_the_request_of_a_browser_is_read_whole() -> None:
    assert READER.read(request("/ws/jobs/train-7", **BROWSER, Cookie="a=b; c=d", Origin="http://x.example")) == Upgrade(
        job_id="train-7",
        path="/ws/jobs/train-7",
        host="127.0.0.1:8084",
        key="dGhlIHNhbXBsZSBub25jZQ==",
        origin="http://x.example",
        authorization=None,
        cookie="a=b; c=d",
    )


def test_ws_jobs_names_no_job_and_stands_below_the_root() -> None:
    upgrade = Reader("/a.b/").read(request("/a.b/ws/jobs", Authorization="token t"))

    assert upgrade is not None
    assert (upgrade.job_id, upgrade.path, upgrade.authorization) == (None, "/a.b/ws/jobs", "token t")
    assert Reader("/a.b/").read(request("/aXb/ws/jobs")) is None


def test_the_answer_is_that_of_the_standard() -> None:
    upgrade = READER.read(request("/ws/jobs"))

    assert upgrade is not None
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in upgrade.answer()


@pytest.mark.parametrize(
    "path",
    [
        "/ws/jobs/",
        "/ws/jobs?token=t",
        "/ws/jobs/a?x",
        "/ws/jobs/a%2Eb",
        "/ws/jobs/a/b",
        "/ws/jobs/../jobs",
        "/ws/jobs/-a",
        "/ws/jobs/" + 201 * "a",
        "/ws//jobs",
        "//ws/jobs",
        "http://127.0.0.1/ws/jobs",
        "/api/jobs",
        "/",
        "",
    ],
)
def test_other_paths_are_left(path: str) -> None:
    assert READER.read(request(path)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"Upgrade": "h2c"},
        {"Upgrade": None},
        {"Connection": "keep-alive"},
        {"Connection": "upgrade, close"},
        {"Host": ""},
        {"Host": None},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Key": "short=="},
        {"Sec-WebSocket-Protocol": "chat"},
        {"Sec-WebSocket-Origin": "http://evil.example"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Expect": "100-continue"},
        {"Cookie": "naïve=1"},
        {"Cookie": "a\0b"},
        {"Cookie": "a\tb"},
        {"Cookie": "a\r\n folded"},
        {"Cookie": "a\nX: y"},
        {"Cookie ": "a=b"},
        {"host": "another.example"},
        {"COOKIE": "a=b", "Cookie": "a=b"},
    ],
)
def test_other_forms_are_left(fields: dict[str, str | None]) -> None:
    assert READER.read(request("/ws/jobs", **fields)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"GET", b"POST"),
        (b"GET", b"get"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"GET ", b"GET  "),
        (b"GET ", b"\r\nGET "),
        (b"\r\n", b"\n"),
        (b"\r\n\r\n", b"\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n\x81\x80abcd"),
    ],
)
def test_what_is_not_exactly_one_head_is_left(before: bytes, after: bytes) -> None:
    whole = request("/ws/jobs")
    assert READER.read(whole) is not None

    assert READER.read(whole.replace(before, after)) is None


def test_every_head_that_is_cut_is_left() -> None:
    whole = request("/ws/jobs/job-1", **BROWSER)

    assert not any(READER.read(whole[:length]) for length in range(len(whole)))
