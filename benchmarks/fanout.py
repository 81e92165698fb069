"""Many viewers: the product, the original design, a yardstick in C and other servers, interleaved, on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import native, servers
from benchmarks.cores import choose_cores, pinned
from benchmarks.generator import GeneratorError
from benchmarks.peers import PEERS, Peer
from benchmarks.rows import ROWS, Row
from benchmarks.servers import StartError
from benchmarks.stand import Figures, Impossible, Stand

QUICK: Final = 0.3
"""What ``--quick`` makes of the length of a measurement."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. ``rows`` are names in ``ROWS``, ``peers`` names in ``PEERS``, in the table's order."""

    rows: tuple[str, ...]
    peers: tuple[str, ...]
    repetitions: int = 3
    scale: float = 1.0


Results = dict[str, dict[str, list[Figures]]]


class Run:
    """Measures a plan. ``failures`` says what could not be measured, and why."""

    def __init__(self, plan: Plan, *, progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._progress = progress
        self.cores = choose_cores()
        self.open_files = native.raise_open_files()
        self.failures: dict[str, str] = {}

    def measure(self) -> Results:
        """Measure every row with every peer in every repetition, each in a fresh server process.

        The peers take turns, and every other repetition goes backwards, so that what drifts on the machine favours
        none of them.

        Raises:
            StartError: Redis did not start; NativeError: the load generator cannot be compiled.
        """
        plan = self._plan
        for program in native.PROGRAMS:
            native.build(program)
        results: Results = {name: {} for name in plan.rows}
        order = [(row, peer) for row in plan.rows for peer in plan.peers if self._takes_part(ROWS[row], PEERS[peer])]
        done, all_of_them = 0, len(order) * plan.repetitions
        with pinned(self.cores.others):
            for repetition in range(plan.repetitions):
                for row, peer in order if repetition % 2 == 0 else reversed(order):
                    done += 1
                    if f"{row}, {peer}" in self.failures:
                        continue
                    self._progress(f"{done} of {all_of_them}: {row}, {peer}")
                    try:
                        figures = self._measure(row, PEERS[peer])
                    except (StartError, GeneratorError, Impossible) as exc:
                        self.failures[f"{row}, {peer}"] = str(exc)
                    else:
                        results[row].setdefault(peer, []).append(figures)
        return results

    def _takes_part(self, row: Row, peer: Peer) -> bool:
        return peer.is_product or not row.products_only

    def _measure(self, row: str, peer: Peer) -> Figures:
        start = peer.starts.get(row, peer.start)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            # A Redis for each, too: what one server left there must not be another's load.
            redis_url = stack.enter_context(servers.redis_server(folder))
            target = stack.enter_context(start(folder, redis_url, core=self.cores.server))
            return ROWS[row].measure(Stand(peer, target, redis_url, self.cores, folder, self._plan.scale))
