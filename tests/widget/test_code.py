"""What a page loads and a notebook stores of our code."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_jobprogress import JobProgress, jobs
from jupyter_jobprogress.widget.bar import MIME_TYPE
from jupyter_jobprogress.widget.code import bundle

MAX_BYTES = 25 * 1024
MAX_STORED_BYTES = 2 * 1024
LABEXTENSION = Path(__file__).parents[2] / "build" / "labextension" / "static"


@pytest.mark.parametrize("name", ["bar", "live", "more"])
def test_a_bundle_of_the_widget_is_small(name: str) -> None:
    assert bundle(f"{name}.js").stat().st_size <= MAX_BYTES


def test_the_labextension_is_small_and_takes_little_of_the_start_of_jupyterlab() -> None:
    sizes = {path.name.partition(".")[0]: path.stat().st_size for path in LABEXTENSION.glob("*.js")}

    assert set(sizes) == {"bar", "live", "more", "remoteEntry"}
    assert max(sizes.values()) <= MAX_BYTES
    assert sizes["remoteEntry"] <= 3 * 1024


def test_ten_bars_store_the_code_once() -> None:
    bars = [JobProgress(f"job-{number}") for number in range(10)]

    assert len({bar.code for bar in bars}) == 1
    assert all(len(str(bar._esm)) <= MAX_STORED_BYTES for bar in bars)


def test_the_table_is_a_widget_and_an_output_of_ours() -> None:
    data, _ = jobs("failed", text="gpu")._repr_mimebundle_()

    assert data[MIME_TYPE] == {"job_ids": [], "states": {}, "table": {"status": "failed", "text": "gpu"}}
    assert "application/vnd.jupyter.widget-view+json" in data


def test_an_unknown_status_of_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="broken"):
        jobs("broken")
