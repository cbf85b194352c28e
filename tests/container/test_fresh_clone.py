"""A stranger's first minute: a clone, a bare Debian with Python, one command."""

import subprocess
import tarfile
from pathlib import Path

import httpx
import pytest

from tests.container import podman
from tests.container.conftest import Golden
from tests.require import need


def _clone(target: Path) -> None:
    """What a clone of this working tree would hold."""
    files = podman.run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    archive = target / "files.tar"
    with tarfile.open(archive, "w") as tar:
        for file in filter(None, files):
            if (podman.ROOT / file).exists():
                tar.add(podman.ROOT / file, file)
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()


@pytest.mark.container
def test_serve_needs_python_and_nothing_else(tmp_path: Path, golden: Golden) -> None:
    need("containers", podman.available(), "podman and podman-compose have to be installed")
    _clone(tmp_path)
    port = podman.free_port()
    options = (f"--publish=127.0.0.1:{port}:8000", f"--volume={tmp_path}:/kinema:z")
    with podman.container(podman.BASE, "/kinema/scripts/serve", "--host=0.0.0.0", options=options) as name:
        podman.eventually(lambda: podman.status(f"http://127.0.0.1:{port}/readyz") == 200, "ready", timeout_s=300)
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=golden.clip, timeout=60)
        assert answer.json()["predictions"][0]["label"] == golden.label

        assert not podman.run("podman", "exec", name, "/kinema/scripts/install"), "nothing is left to install"
        podman.run("podman", "stop", "--time=40", name)
        assert podman.inspect(name, "{{.State.ExitCode}}") == "0"


def test_an_old_python_is_refused_in_one_line(tmp_path: Path) -> None:
    _clone(tmp_path)
    # What an old Python says to the question whether it is new enough.
    command = ["env", "PYTHON=false", str(tmp_path / "scripts" / "install")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "scripts/install: needs Python 3.11 or newer; PYTHON=python3.12 names one\n"
    assert not (tmp_path / ".venv").exists()
