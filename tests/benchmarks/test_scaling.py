"""Several processes on one Redis, as ``scaling`` measures them: one is measured, and all deliver everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import servers
from benchmarks.cores import choose_cores
from benchmarks.load import Load
from benchmarks.peers import PEERS
from benchmarks.scaling import _delivering
from benchmarks.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    peer, cores = PEERS["standalone"], choose_cores()
    with (
        servers.redis_server(tmp_path) as url,
        peer.start(tmp_path, url, core=cores.server) as target,
    ):
        yield Stand(peer, target, url, cores, tmp_path, 1.0)


@pytest.mark.usefixtures("compiled", "redis_server")
def test_a_process_beside_others_is_measured_and_all_of_them_deliver(stand: Stand) -> None:
    load = Load(viewers=20, jobs=5, rate_per_s=10, seconds=1)

    figures = _delivering(load, beside=2)(stand)

    assert figures.values["delivered"] == figures.values["offered"] == 20 * (10 + 1)
    assert figures.values["cpu_us"] > 0
    assert figures.notes == []
