"""The tests of tqdm itself, with our class in place of tqdm's, whose bars are jobs meanwhile on a real Redis."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from redis import Redis

from tests.support.redis_server import RedisServer

DOCS = Path(__file__).parents[2] / "docs" / "tqdm.md"
PLUGIN = Path(__file__).parents[1] / "support" / "tqdm_in_place.py"

EXCEPTIONS = {
    "import": ["tests_tqdm.py::test_external_write"],
    "run": [],
}
"""Tests that fail with our class, as docs/tqdm.md says and explains."""

TIMED = ["tests_perf.py", "tests_asyncio.py::test_as_completed"]
"""They compare seconds, some within a tenth, which says nothing on a machine that does other work."""

MISSING = {"tests_dask.py", "tests_keras.py"}
"""Their libraries are not installed for the tests."""

LACKING = {"tests_concurrent.py", "tests_itertools.py", "tests_gui.py", "tests_tk.py"}
"""They need Python 3.12 or 3.14, or see whether Matplotlib or tkinter can be imported, where there is one."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the tests of the tqdm that is installed, from the registry."""
    folder = tmp_path_factory.mktemp("tqdm")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary=tqdm", f"tqdm=={version('tqdm')}", "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    (sdist,) = folder.glob("tqdm-*.tar.gz")
    subprocess.run(["tar", "-xzf", sdist, "-C", folder], check=True, timeout=60)
    (tests,) = folder.glob("tqdm-*/tests")
    # Alone: beside them in the sdist is the package, which would be imported in place of the one that is installed.
    shutil.move(tests, folder / "alone" / "tests")
    shutil.move(tests.with_name("pyproject.toml"), folder / "alone")
    shutil.copy(PLUGIN, folder / "alone")
    return folder / "alone"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["import", "run"])
def test_tqdms_own_tests_pass(suite: Path, redis_server: RedisServer, namespace: str, how: str) -> None:
    left_out = [f"--deselect=tests/{name}" for name in (*EXCEPTIONS[how], *TIMED)]
    command = [sys.executable, "-m", "pytest", "-p", "tqdm_in_place", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["-q", "-rs", "--tb=short", "-W", "error", "--asyncio-mode=strict", "--timeout=60", *left_out, "tests"]
    environment = {
        "TQDM_IN_PLACE": how,
        "PYTHONPATH": str(suite),
        "JOBPROGRESS_URL": redis_server.url,
        "JOBPROGRESS_NAMESPACE": namespace,
    }

    done = subprocess.run(
        command, cwd=suite, env=os.environ | environment, capture_output=True, text=True, timeout=110, check=False
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) >= 150
    assert set(re.findall(r"^SKIPPED \[\d+\] tests/(\w+\.py)", done.stdout, re.MULTILINE)) <= MISSING | LACKING
    with Redis(port=redis_server.port) as client:
        assert len(list(client.scan_iter(f"{namespace}:job_status:*"))) > 100


def test_the_page_names_every_exception() -> None:
    page = DOCS.read_text()

    exceptions = [name.partition("::")[2] for names in EXCEPTIONS.values() for name in names]
    assert [name for name in (*exceptions, *MISSING) if f"`{name}`" not in page] == []
