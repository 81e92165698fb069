"""papermill, as people run it from a scheduler: the notebook that it writes says how the jobs ended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.support.kernel import kernel_environment

CELLS = [
    "epochs = 2",
    "from jupyter_jobprogress import Job, JobProgress, jobs, track\n"
    "for epoch in track(range(epochs), 'loop', title='Epochs', unit='epochs'): pass",
    "with Job('train', title='Train', total=4) as job:\n    job.update(3)\n    job.fail('no more disk')",
    "open_job = Job('open', title='Sweep', total=10)\nopen_job.update(4)",
    "JobProgress('elsewhere')",
]


def bundle(cell: Any) -> dict[str, str]:
    (data,) = [output.data for output in cell.outputs if "data" in output]
    assert not [output for output in cell.outputs if output.output_type in ("stream", "error")]
    return dict(data)


def test_papermill_leaves_lines_of_text_and_static_html(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])  # type: ignore[no-untyped-call]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")  # type: ignore[no-untyped-call]

    done = subprocess.run(
        [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "epochs", "7", "--log-output"],
        cwd=tmp_path,
        env=kernel_environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert "jobprogress" not in done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells  # type: ignore[no-untyped-call]
    loop, train, going_on, elsewhere = (bundle(cell) for cell in cells[-4:])
    assert re.fullmatch(r"Epochs: Completed · in <?\d\.\d s · 7 epochs", loop["text/plain"])
    assert "Completed" in loop["text/html"]
    assert re.fullmatch(r"Train: Failed · after <?\d\.\d s · at 75% · 3 / 4 · no more disk", train["text/plain"])
    # When the kernel ended it was cancelled, and papermill had read the cell before.
    assert going_on["text/plain"].startswith(("Sweep: Running · 40% · 4 / 10", "Sweep: Cancelled · after "))
    assert elsewhere["text/plain"] == "elsewhere: Waiting for the job"
