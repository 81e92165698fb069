"""What people install: built where there is no node, whole, and enabled by installation alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from jupyter_jobprogress.server.page import FILES
from tests.support.install import clean_environment, fresh_clone, fresh_venv, path_without_node, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LABEXTENSION = "jupyter_jobprogress-0.1.0.data/data/share/jupyter/labextensions/jupyter_jobprogress"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip builds it from a clone on a machine without node."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = clean_environment(path_without_node(folder))
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, clone, env=environment)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_bundles_and_nothing_that_does_not_belong(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        package = json.loads(archive.read(f"{LABEXTENSION}/package.json"))
        enabled = json.loads(
            archive.read(
                "jupyter_jobprogress-0.1.0.data/data/etc/jupyter/jupyter_server_config.d/jupyter_jobprogress.json"
            )
        )
        bundle = archive.read("jupyter_jobprogress/static/widget.js")

    assert f"{LABEXTENSION}/{package['jupyterlab']['_build']['load']}" in names
    assert f"{LABEXTENSION}/install.json" in names
    assert enabled == {"ServerApp": {"jpserver_extensions": {"jupyter_jobprogress": True}}}
    assert b"export" in bundle
    assert {"jupyter_jobprogress/py.typed", "jupyter_jobprogress/store/publish.lua"} <= set(names)
    page = {f"jupyter_jobprogress/server/{name}" for name in ("page.html", "sign_in.html", "sign_in.css")}
    assert page | {f"jupyter_jobprogress/static/{name}" for name in FILES} <= set(names)
    assert len(names) == len(set(names))
    tops = {name.split("/")[0] for name in names}
    assert tops == {"jupyter_jobprogress", "jupyter_jobprogress-0.1.0.data", "jupyter_jobprogress-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith((".ts", ".map")) or "node_modules" in name]


def test_a_fresh_environment_imports_it_and_both_extensions_are_enabled(wheel: Path, tmp_path: Path) -> None:
    bin_folder = fresh_venv(tmp_path / "venv", [wheel, "jupyterlab>=4,<5"])
    environment = clean_environment(f"{bin_folder}:/usr/bin:/bin", JUPYTER_CONFIG_DIR=str(tmp_path), HOME=str(tmp_path))

    run(bin_folder / "python", "-c", "from jupyter_jobprogress import Job, JobProgress; JobProgress('a')", cwd=tmp_path)
    listed = subprocess.run(
        [bin_folder / "jupyter", "server", "extension", "list"], env=environment, capture_output=True, text=True
    )
    labextensions = subprocess.run(
        [bin_folder / "jupyter", "labextension", "list"], env=environment, capture_output=True, text=True
    )

    server = [line for line in (listed.stdout + listed.stderr).splitlines() if "jupyter_jobprogress" in line]
    lab = [line for line in (labextensions.stdout + labextensions.stderr).splitlines() if "jobprogress" in line]
    assert any("enabled" in line for line in server), listed.stderr
    assert any("enabled" in line and "OK" in line for line in lab), labextensions.stderr


def test_an_sdist_carries_the_bundles_and_needs_no_npm(clone: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, clone)
    (sdist,) = tmp_path.glob("*.tar.gz")
    environment = clean_environment(path_without_node(tmp_path))
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    # Without isolation nothing can bring an npm, so that a wheel means that none was needed.
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, sdist)
    run(*command, env=environment)

    assert {"jupyter_jobprogress/static/widget.js", "js/package-lock.json", "hatch_build.py"} <= names
    assert not [name for name in names if "node_modules" in name]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "jupyter_jobprogress/static/widget.js" in archive.namelist()


def test_a_wheel_without_the_bundles_cannot_be_made(tmp_path: Path) -> None:
    clone = fresh_clone(tmp_path)
    environment = clean_environment(path_without_node(tmp_path), JOBPROGRESS_SKIP_JS="1")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, clone]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "JOBPROGRESS_SKIP_JS" in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_an_editable_install_builds_and_enables_as_well(tmp_path: Path) -> None:
    clone = fresh_clone(tmp_path)
    bin_folder = fresh_venv(tmp_path / "venv", ["-e", clone])

    prefix = tmp_path / "venv"
    assert (clone / "jupyter_jobprogress" / "static" / "widget.js").is_file()
    assert (prefix / "share/jupyter/labextensions/jupyter_jobprogress/package.json").is_file()
    assert (prefix / "etc/jupyter/jupyter_server_config.d/jupyter_jobprogress.json").is_file()
    run(bin_folder / "python", "-c", "from jupyter_jobprogress import JobProgress; JobProgress('a')", cwd=tmp_path)
