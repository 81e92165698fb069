"""One Hub for all tests: it takes longer to start than they do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hub import Hub, running_hub
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), redis_server.url) as running:
        yield running
