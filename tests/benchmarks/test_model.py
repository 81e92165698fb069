"""The arithmetic of the scaling model, beside a simulation of the same."""

from __future__ import annotations

import random

import pytest

from benchmarks.load import Load
from benchmarks.model import (
    COLD_S,
    CORE,
    Costs,
    Delivery,
    Demand,
    cold,
    core_of,
    fit,
    need,
    redis_core_of,
    subscribed,
)
from benchmarks.scaling import DEMANDS, SIZES, Check, scaling_text

COSTS = Costs(
    send_us=8.0,
    cold_us=4.0,
    update_us=20.0,
    connect_us=500.0,
    subscribe_us=40.0,
    viewer_kib=10.0,
    job_kib=1.5,
    base_mib=60.0,
    publish_us=20.0,
    push_us=2.0,
)


def test_three_loads_tell_the_cost_of_a_frame_that_of_a_cold_viewer_and_that_of_an_update() -> None:
    def delivery(viewers: int, updates_per_s: float) -> Delivery:
        """Compute a delivery by the model that is to be found again."""
        demand = Demand(viewers=viewers, jobs=1, updates_per_s=updates_per_s)
        silent = Demand(viewers=viewers, jobs=1, updates_per_s=0)
        used = core_of(COSTS, demand) - core_of(COSTS, silent)
        return Delivery(used * 1e6 / demand.frames_per_s, viewers, updates_per_s)

    found = fit(shared=delivery(1000, 20), slow=delivery(1000, 5), alone=delivery(1, 10))

    assert found == pytest.approx((COSTS.send_us, COSTS.cold_us, COSTS.update_us))


def test_a_viewer_gets_colder_in_proportion_to_the_time_between_two_frames() -> None:
    times_s = (0.001, COLD_S / 2, COLD_S, 10 * COLD_S)

    assert [cold(1 / time_s) for time_s in times_s] == pytest.approx([0.001 / COLD_S, 0.5, 1, 1])
    assert cold(0) == 1


@pytest.mark.parametrize(
    ("viewers", "jobs", "processes"), [(20_000, 1000, 8), (5000, 5000, 4), (50_000, 10, 50), (1_000_000, 50_000, 200)]
)
def test_updates_go_to_as_many_processes_as_chance_spreads_viewers_over(
    viewers: int, jobs: int, processes: int
) -> None:
    dice = random.Random(1)
    drawn = len({viewer % jobs * processes + dice.randrange(processes) for viewer in range(viewers)})
    demand = Demand(viewers=viewers, jobs=jobs, updates_per_s=1)
    silent = Demand(viewers=viewers, jobs=jobs, updates_per_s=0)
    sending_s = demand.frames_per_s / processes * (COSTS.send_us + COSTS.cold_us) / 1e6

    used = core_of(COSTS, demand, processes) - core_of(COSTS, silent, processes) - sending_s

    assert used * 1e6 / COSTS.update_us == pytest.approx(drawn / processes, rel=0.02)
    assert subscribed(demand, processes) == pytest.approx(drawn / processes, rel=0.02)


@pytest.mark.parametrize("name", DEMANDS)
@pytest.mark.parametrize("viewers", SIZES)
def test_the_least_number_of_processes_is_found(name: str, viewers: int) -> None:
    demand = DEMANDS[name](viewers)

    try:
        found = need(COSTS, demand)
    except ValueError:
        assert redis_core_of(COSTS, demand, 10_000, 500) > CORE
        return

    assert found.core == core_of(COSTS, demand, found.processes) <= CORE
    assert found.processes == 1 or core_of(COSTS, demand, found.processes - 1) > CORE
    assert found.processes * found.viewers_each >= viewers
    assert found.memory_mib == pytest.approx(
        60 + (found.viewers_each * 10 + subscribed(demand, found.processes) * 1.5) / 1024
    )
    assert found.redis_core == redis_core_of(COSTS, demand, found.processes, found.redis_shards) <= CORE
    fewer = found.redis_shards - 1
    assert not fewer or redis_core_of(COSTS, demand, found.processes, fewer) > CORE


def test_a_slower_page_spares_frames_but_not_updates() -> None:
    fast = Demand(viewers=1000, jobs=1, updates_per_s=1000)
    slow = Demand(viewers=1000, jobs=1, updates_per_s=1000, most_per_s=20)

    assert slow.frames_per_s == 20_000 == fast.frames_per_s / 50
    assert core_of(COSTS, slow) > 1000 * COSTS.update_us / 1e6


def test_more_updates_than_a_process_can_read_are_refused() -> None:
    demand = Demand(viewers=10**9, jobs=1, updates_per_s=100_000)

    with pytest.raises(ValueError, match="too many for every process to read"):
        need(COSTS, demand)


def test_nodes_of_a_cluster_pay_for_the_updates_of_all() -> None:
    demand = Demand(viewers=100_000, jobs=100_000, updates_per_s=1)
    alone, many = (redis_core_of(COSTS, demand, 10, shards) for shards in (1, 500))

    assert many < alone
    assert many > 99_000 * COSTS.bus_us / 1e6, "every update comes to every node"
    with pytest.raises(ValueError, match="too many for every node of Redis"):
        need(COSTS, Demand(viewers=10**6, jobs=10**6, updates_per_s=1))


def test_every_demand_has_a_line_of_each_size() -> None:
    load = Load(viewers=10, rate_per_s=1, seconds=1)
    text = scaling_text(COSTS, [Check(1, load, computed=0.2, measured=0.1), Check(3, load, 0.1, 0.1)])

    assert [text.count(f"| {name} ") for name in DEMANDS] == [len(SIZES)] * len(DEMANDS)
    assert "10 viewers, 1 jobs, 1/s " in text
    assert "30 viewers, 1 jobs, 1/s: one of 3 processes" in text
    assert "2.00" in text
