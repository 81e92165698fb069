"""A real training run in PyTorch with and without reporting, in turns: what it adds to the wall time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median
from typing import Final

from benchmarks.worker import with_project

GOAL: Final = 0.01
"""Most that reporting may add to the wall time."""

_RUN: Final = """
import contextlib, json, sys, time
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from jupyter_jobprogress import Job, track

report, epochs = sys.argv[1] == "report", int(sys.argv[2])
torch.manual_seed(0)
torch.set_num_threads(1)
digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=32, shuffle=True, num_workers=1)
model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters())
loss_of = torch.nn.CrossEntropyLoss()
for _ in loader:  # the first workers, and what they import, are not what is measured
    pass
job = Job("training", total=epochs, unit="epochs", display=False) if report else contextlib.nullcontext()
begun = time.perf_counter()
with job:
    for epoch in range(epochs):
        batches = track(loader, f"epoch-{epoch}", display=False) if report else loader
        for pixels, target in batches:
            optimizer.zero_grad()
            loss = loss_of(model(pixels), target)
            loss.backward()
            optimizer.step()
            if report:
                job.log(loss=loss)
        if report:
            job.update()
print(json.dumps([time.perf_counter() - begun, float(loss.detach())]))
"""


def missing() -> str | None:
    """Say what is not installed, or None."""
    try:
        import sklearn.datasets  # noqa: F401
        import torch  # noqa: F401
    except ImportError as exc:
        return f"{exc.name} is not installed: pip install torch scikit-learn (a CPU build is enough)"
    return None


def measure(*, pairs: int, epochs: int, redis_url: str | None = None) -> list[tuple[float, float]]:
    """Return the wall time in seconds of each pair: without reporting, and with. Every other pair goes backwards."""
    found = []
    for pair in range(pairs):
        took = {}
        for how in ("plain", "report") if pair % 2 else ("report", "plain"):
            environment = with_project(os.environ)
            if redis_url:
                environment["JOBPROGRESS_URL"] = redis_url
            command = [sys.executable, "-c", _RUN, how, str(epochs)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            took[how], _ = json.loads(done.stdout)
        found.append((took["plain"], took["report"]))
    return found


def training_text(pairs: list[tuple[float, float]]) -> str:
    """Return what is printed."""
    added = median(reported / plain - 1 for plain, reported in pairs)
    plain_s, reported_s = (median(values) for values in zip(*pairs, strict=True))
    lines = [f"pair {number}: {plain:.3f} s, {reported:.3f} s" for number, (plain, reported) in enumerate(pairs, 1)]
    verdict = "met" if added <= GOAL else "missed"
    return "\n".join(
        [
            *lines,
            f"median: {plain_s:.3f} s without reporting, {reported_s:.3f} s with; median of the pairs {added:+.2%}",
            f"goal: at most {GOAL:+.0%}: {verdict}",
        ]
    )
