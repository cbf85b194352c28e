"""The image: what is in it, what is not, and that it runs with nothing granted."""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.container import podman
from tests.container.conftest import Golden

pytestmark = pytest.mark.container

# The official base image is 130 MB. 450 MB were the aim; the pose encoder and its twin take 15 MB more.
MOST_MB_OVER_BASE = 335


def _facts(image: str) -> dict[str, Any]:
    facts: list[dict[str, Any]] = json.loads(podman.run("podman", "image", "inspect", image))
    return facts[0]


def _megabytes(image: str) -> float:
    return float(_facts(image)["Size"]) / 1e6


def _python(image: str, code: str) -> str:
    return podman.run("podman", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code)


def test_states_how_it_wants_to_be_run(image: str) -> None:
    facts = _facts(image)
    config = facts["Config"]
    with (podman.ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]

    assert config["User"] == "10001:10001"
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"]
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert facts["Healthcheck"]["Test"] == ["CMD", "python", "-I", "-S", "/opt/kinema/healthcheck.py"]


def test_is_small(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole, base = _megabytes(image), _megabytes(podman.BASE)
    with capsys.disabled():
        print(f"\nimage: {whole:.0f} MB, of which the base image is {base:.0f} MB and Kinema {whole - base:.0f} MB")
    assert whole - base < MOST_MB_OVER_BASE


def test_holds_neither_compilers_nor_what_makes_models(image: str) -> None:
    tools = "('cc', 'gcc', 'g++', 'clang', 'ld', 'make', 'strip', 'curl', 'git')"
    modules = "('torch', 'onnx', 'pip', 'setuptools', 'model', 'tests', 'pytest')"
    found = _python(
        image,
        "import shutil; from importlib.util import find_spec;"
        f"print([name for name in {tools} if shutil.which(name)], [name for name in {modules} if find_spec(name)])",
    )
    assert found == "[] []"


def test_every_module_is_compiled(image: str) -> None:
    """Nothing can be written, so what is not compiled would be compiled at every start."""
    lacking = _python(
        image,
        "from importlib.util import cache_from_source; from pathlib import Path;"
        "every = Path('/opt/kinema/app').rglob('*.py');"
        "print([str(one) for one in every if not Path(cache_from_source(one)).exists()])",
    )
    assert lacking == "[]"


def test_commands_other_than_serve(image: str) -> None:
    hardened = ("podman", "run", "--rm", "--network=none", *podman.HARDENED, image)
    assert "CLIPS" in podman.run(*hardened, "predict", "--help").upper()
    assert podman.run(*hardened, "--version").startswith("kinema ")


def test_answers_a_clip_without_serving(image: str, golden: Golden, tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(golden.clip)
    tmp_path.chmod(0o755)  # pytest's folders are for their owner alone, and the image's user is another
    options = ("--network=none", *podman.HARDENED, f"--volume={tmp_path}:/clips:ro,z")
    answer = podman.run("podman", "run", "--rm", *options, image, "predict", "--json", "/clips/clip")
    assert json.loads(answer)["predictions"][0]["label"] == golden.label
    watched = podman.run("podman", "run", "--rm", *options, image, "watch", "/clips/clip")
    *told, ended = map(json.loads, watched.splitlines())
    assert [one for one in told if one["type"] == "answer"][-1]["smoothed"][0]["label"] == golden.label
    assert ended["reason"] == "the source has ended"


def test_becomes_healthy_with_nothing_granted(image: str) -> None:
    with podman.container(image, options=("--network=none", *podman.HARDENED)) as name:

        def healthy() -> bool:
            check = ["podman", "healthcheck", "run", name]
            return subprocess.run(check, capture_output=True, check=False).returncode == 0

        podman.eventually(healthy, "healthy")
        assert podman.inspect(name, "{{.State.Health.Status}}") == "healthy"
        assert podman.run("podman", "exec", name, "id", "-u") == "10001"
        podman.run("podman", "stop", "--time=40", name)
        assert podman.inspect(name, "{{.State.ExitCode}}") == "0"


def test_gives_up_without_a_model(image: str) -> None:
    command = ["podman", "run", "--rm", "--network=none", "--env=KINEMA_MODEL=/nowhere", image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "/nowhere is not a bundle" in done.stdout + done.stderr
