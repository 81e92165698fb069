"""Shared fixtures: a real Redis, and namespaces of one test each."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_many import Cluster, Sentinels
from tests.support.redis_many import cluster as start_cluster
from tests.support.redis_many import sentinels as start_sentinels
from tests.support.redis_server import RedisServer


def pytest_configure() -> None:
    # A shell starts what it puts into the background with SIGINT ignored, and children would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What one process runs where several share the work: the tests of a file, and all around the one Hub.
    around_the_hub = {item.path for item in items if "hub" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("hub" if item.path in around_the_hub else str(item.path)))


def _redis_binary() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    reason = "redis-server (or valkey-server) is not on PATH: install it to run the tests of RedisStore"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a Redis that many tests share: take a ``namespace``, and do it no harm."""
    with RedisServer(_redis_binary(), tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis that one test may stop, kill, flush and reconfigure."""
    with RedisServer(_redis_binary(), tmp_path) as server:
        yield server


@pytest.fixture
def namespace() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a Redis Cluster that many tests share."""
    with start_cluster(_redis_binary(), tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    """Give a Redis behind Sentinels that many tests share."""
    with start_sentinels(_redis_binary(), tmp_path_factory.mktemp("sentinels")) as sentinels:
        yield sentinels
