"""The load generator sees what a server does wrong, and nothing where it does all right."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.generator import Generator, Options, Seen, publish
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("compiled")

VIEWERS, COUNT = 20, 200


@contextmanager
def watching(redis: RedisServer, folder: Path, options: Options, *server: str) -> Iterator[tuple[Generator, Options]]:
    """Give viewers of a server in C that are ready, and options of a publisher to them."""
    job = f"job-{secrets.token_hex(4)}"
    with (
        peers.plain(folder, redis.url, core=None, arguments=server) as target,
        Generator({"port": target.port, "job": job, "greeting": peers.CONNECTED, "lossless": 1, **options}) as viewers,
    ):
        opened = viewers.ready(20)
        assert (opened.failed, opened.ready) == (0, options["viewers"])
        viewers.go()
        yield viewers, {"port": redis.port, "job": job, "rate": 2000}


def seen_with(redis: RedisServer, folder: Path, *server: str) -> Seen:
    with watching(redis, folder, {"viewers": VIEWERS}, *server) as (viewers, plan):
        published = publish({**plan, "count": COUNT, "warm_up": 2})
        assert published.sent == 2 + COUNT + 1
        return viewers.finish(1 if "--lie" in server else 5)


@pytest.mark.parametrize("server", [(), ("--join", "1")], ids=["one by one", "joined"])
def test_a_server_that_does_all_right_is_found_to(
    redis_server: RedisServer, tmp_path: Path, server: tuple[str, ...]
) -> None:
    seen = seen_with(redis_server, tmp_path, *server)

    assert seen.delivered == VIEWERS * (COUNT + 1)
    assert seen.delay.count == seen.delivered
    assert (seen.ends, seen.without_end) == (VIEWERS, 0)
    assert (seen.wrong, seen.skipped, seen.repeats, seen.first_fault) == (0, 0, 0, "")
    assert 0 < seen.delay.p50_ms <= seen.delay.p99_ms <= seen.delay.max_ms < 20_000


@pytest.mark.parametrize(
    ("lie", "figure", "words"),
    [
        ("lose", "skipped", "states are missing before this one"),
        ("swap", "out_of_order", "an older state after a newer one"),
        ("cut", "malformed", "not JSON"),
        ("bracket", "malformed", "not a state"),
        ("other", "malformed", "a state of another job"),
        ("binary", "malformed", "neither whole text"),
    ],
)
def test_a_server_that_lies_is_caught(
    redis_server: RedisServer, tmp_path: Path, lie: str, figure: str, words: str
) -> None:
    seen = seen_with(redis_server, tmp_path, "--lie", lie)

    assert getattr(seen, figure) > 0
    assert words in seen.first_fault
    # "swap" repeats a state that was there, so that nothing is lost; of "bracket" one in 61 is looked at.
    assert lie in ("swap", "bracket") or seen.delivered < VIEWERS * (COUNT + 1)


def test_a_stalled_viewer_is_in_no_figure(redis_server: RedisServer, tmp_path: Path) -> None:
    with watching(redis_server, tmp_path, {"viewers": 4, "stall": 1}) as (viewers, plan):
        publish({**plan, "count": COUNT, "bytes": 4000})
        seen = viewers.finish(5)

    assert (seen.ends, seen.delivered, seen.without_end) == (3, 3 * (COUNT + 1), 0)


def test_viewers_of_many_jobs_come_back_to_a_server_that_was_killed(redis_server: RedisServer, tmp_path: Path) -> None:
    job = f"job-{secrets.token_hex(4)}"
    plan = {"port": redis_server.port, "job": job, "jobs": 3, "rate": 1000}
    with peers.plain(tmp_path, redis_server.url, core=None) as first:
        options = {"port": first.port, "job": job, "jobs": 3, "viewers": 6, "reconnect": 1, "probe_ms": 5}
        viewers = Generator({**options, "greeting": peers.CONNECTED})
        viewers.__enter__()
        try:
            assert viewers.ready(20).ready == 6 + 1  # the one that pings is a viewer more
            viewers.go()
        except BaseException:
            viewers.__exit__(None, None, None)
            raise
    try:
        with peers.plain(tmp_path, redis_server.url, core=None, again=first):
            while viewers.state().ready < 7:
                pass
            publish({**plan, "count": 5})
            seen = viewers.finish(5)
    finally:
        viewers.__exit__(None, None, None)

    assert (seen.closed, seen.ends, seen.delivered) == (7, 6, 6 * (5 + 1))
    assert seen.probe.count > 0
