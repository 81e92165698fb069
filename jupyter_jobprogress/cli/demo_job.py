"""The job of ``jupyter jobprogress demo``, in a process of its own: real work, with whatever is installed.

With scikit-learn a network learns to read digits. Without, the modules of the standard library are compressed, to see
how small Python gets.
"""

from __future__ import annotations

import hashlib
import lzma
import signal
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from jupyter_jobprogress import Job

_EPOCHS, _BATCH = 60, 32
_SKIPPED = frozenset({"site-packages", "dist-packages", "test", "tests", "__pycache__"})


def learn(job_id: str) -> None:
    """Train a network on scikit-learn's digits."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(images / 16, labels, random_state=0, stratify=labels)
    model = MLPClassifier(hidden_layer_sizes=(64,), learning_rate_init=0.003, random_state=0)
    shuffle = np.random.default_rng(0)
    batches = len(seen) // _BATCH
    with Job(job_id, title="Learn to read digits", total=_EPOCHS * batches, unit="batches", display=False) as job:
        for epoch in range(1, _EPOCHS + 1):
            job.report(stage=f"epoch {epoch} of {_EPOCHS}")
            for batch in shuffle.permutation(len(seen))[: batches * _BATCH].reshape(batches, _BATCH):
                model.partial_fit(seen[batch], seen_labels[batch], classes=np.arange(10))
                job.update()
            job.log(loss=model.loss_, accuracy=model.score(unseen, unseen_labels))
        accuracy = model.score(unseen, unseen_labels)
        job.complete({"accuracy": accuracy}, message=f"{accuracy:.1%} of unseen digits read right")


def compress(job_id: str) -> None:
    """Compress every module of the standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    modules = [path for path in sorted(root.rglob("*.py")) if not _SKIPPED & set(path.relative_to(root).parts)]
    digest, packed = hashlib.sha256(), 0
    with Job(job_id, title="How small is Python?", total=len(modules), unit="modules", display=False) as job:
        read = 0
        for path in modules:
            job.report(stage=path.relative_to(root).parts[0])
            source = path.read_bytes()
            small = lzma.compress(source, preset=9)
            digest.update(small)
            read, packed = read + len(source), packed + len(small)
            job.update()
            job.log(ratio=packed / read)
        said = f"{read / 1e6:.1f} MB of source fit into {packed / 1e6:.1f} MB"
        job.complete({"bytes": read, "compressed_bytes": packed, "sha256": digest.hexdigest()}, message=said)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which ends it; a shell may have let it be ignored
    work = learn if find_spec("sklearn") is not None else compress
    try:
        work(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
