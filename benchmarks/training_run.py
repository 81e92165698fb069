"""The training that is measured: a process of its own, ``python -m benchmarks.training_run``, which prints JSON.

A small convolutional network learns the digits that scikit-learn ships, as people write it: batches of 64, two workers
of a DataLoader that augment the images, Adam. Every other run reports, by default settings: a job for the training, a
tracked loop for each epoch, a metric for each batch; and, where asked for, each image by the worker that made it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Final

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

from jupyter_jobprogress import Job, Settings, track
from jupyter_jobprogress.protocol.messages import decode_state
from jupyter_jobprogress.store import connect

WORKERS: Final = 2
BATCH: Final = 64


class Digits(Dataset[Any]):
    """Images of eight by eight, shifted and blurred at random. ``job`` counts those that are made, in the workers."""

    def __init__(self, job: Job | None) -> None:
        digits = load_digits()
        self.images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        self.targets = torch.tensor(digits.target)
        self.job = job

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        by = torch.randint(-1, 2, (2,)).tolist()
        image = torch.roll(self.images[index], by, (1, 2)) + 0.02 * torch.randn(1, 8, 8)
        if self.job is not None:
            self.job.update()
        return image, self.targets[index]


def train(job: Job | None, *, epochs: int, in_workers: bool) -> float:
    """Train from the beginning, and return the last loss."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 10)),
    )
    optimizer, loss_of = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    digits = Digits(job if in_workers else None)
    loader = DataLoader(digits, batch_size=BATCH, shuffle=True, num_workers=WORKERS)
    for epoch in range(epochs):
        batches: Iterable[Any] = loader
        if job is not None:
            batches = track(loader, f"{job.id}.{epoch}", parent_id=job.id, display=False)
        for images, targets in batches:
            optimizer.zero_grad()
            loss = loss_of(model(images), targets)
            loss.backward()
            optimizer.step()
            if job is not None:
                job.log(loss=loss)
        if job is not None and not in_workers:
            job.update()
    return float(loss.detach())


def run(name: str, *, reports: bool, epochs: int, in_workers: bool) -> dict[str, Any]:
    """Train once. Times are in seconds, CPU time is that of this process and its workers."""
    cpu_s, begun_s = _cpu_s(), time.perf_counter()
    total = epochs * (len(load_digits().images) if in_workers else 1)
    job = Job(name, total=total, display=False) if reports else None
    with job or nullcontext():
        loss = train(job, epochs=epochs, in_workers=in_workers)
    found = {"wall_s": time.perf_counter() - begun_s, "cpu_s": _cpu_s() - cpu_s, "loss": loss}
    if job is not None:
        assert job.wait(10), "the end of the training did not reach the store"
        state = asyncio.run(_stored(name))
        assert (state.status.value, state.n) == ("completed", total), state
        parts = [asyncio.run(_stored(f"{name}.{epoch}")) for epoch in range(epochs)]
        assert all(part.status.value == "completed" and part.n == part.total for part in parts), parts
        found["counted"] = state.n
    return found


async def _stored(job_id: str) -> Any:
    store = connect(Settings.from_environment())
    try:
        return decode_state((await store.read([job_id]))[job_id].data)
    finally:
        await store.close()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Run pairs, every other one backwards, and print each run as a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--in-workers", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for number in range(-1, arguments.pairs):  # the first pair, with all imports and the connection, is not measured
        order = (False, True) if number % 2 else (True, False)
        for reports in order:
            found = run(f"training{number}", reports=reports, epochs=arguments.epochs, in_workers=arguments.in_workers)
            if number >= 0:
                print(json.dumps({"pair": number, "reports": reports, **found}), flush=True)


if __name__ == "__main__":
    main()
