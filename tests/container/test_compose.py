"""docker-compose.yml, up for real: a clip goes in through the published port; stopping answers what was admitted."""

import http.client
import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from service.inference.card import CARD
from tests.container import podman
from tests.container.conftest import BUNDLE, Golden
from tests.samples import CLIPS

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def project(tag: str) -> Iterator[podman.Project]:
    with podman.project(tag) as up:
        yield up


def test_answers_a_clip_through_the_published_port(project: podman.Project, golden: Golden) -> None:
    answer = httpx.post(f"{project.url}/predict", files={"file": ("clip", golden.clip)}, timeout=60)

    assert answer.status_code == 200, answer.text
    best = answer.json()["predictions"][0]
    assert best["label"] == golden.label
    assert best["score"] == pytest.approx(golden.score, abs=1e-3)


def test_answers_live_frames_through_the_published_port(project: podman.Project) -> None:
    still = (CLIPS / "picture.jpg").read_bytes()
    with connect(project.url.replace("http", "ws") + "/stream") as socket:
        socket.send(json.dumps({"every_s": 0, "top_k": 1}))
        assert json.loads(socket.recv())["type"] == "ready"
        for number in range(3):
            socket.send(struct.pack(">d", number / 10) + still)
        answer = json.loads(socket.recv())
        assert (answer["type"], len(answer["predictions"])) == ("answer", 1)


def test_holds_what_it_promises(project: podman.Project) -> None:
    host = json.loads(podman.inspect(project.container, "{{json .HostConfig}}"))
    assert host["ReadonlyRootfs"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (6 << 30, 2_000_000_000, 512)
    assert podman.inspect(project.container, "{{.EffectiveCaps}}") == "[]"

    with pytest.raises(AssertionError, match="Read-only file system"):
        podman.run("podman", "exec", "--user=0", project.container, "touch", "/opt/kinema/new")
    podman.run("podman", "exec", project.container, "touch", "/tmp/new")
    podman.run("podman", "healthcheck", "run", project.container)


def test_stopping_answers_what_was_admitted(tag: str, golden: Golden) -> None:
    with podman.project(tag) as project:
        upload = http.client.HTTPConnection(urlsplit(project.url).netloc, timeout=60)
        upload.putrequest("POST", "/predict")
        upload.putheader("Content-Type", "application/octet-stream")
        upload.putheader("Content-Length", str(len(golden.clip)))
        upload.endheaders(golden.clip[:1000])
        podman.eventually(lambda: _in_progress(project) == 1, "admitted")

        stopping = project.stopping()
        podman.eventually(lambda: podman.status(f"{project.url}/readyz") == 503, "unready", timeout_s=20)
        refused = httpx.post(f"{project.url}/predict", content=golden.clip)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert podman.status(f"{project.url}/livez") == 200

        upload.send(golden.clip[1000:])
        answered = upload.getresponse()
        assert answered.status == 200
        assert json.loads(answered.read())["predictions"][0]["label"] == golden.label
        upload.close()

        assert stopping.wait(60) == 0
        assert podman.inspect(project.container, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"


def test_serves_a_model_of_ones_own(tag: str, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    card = json.loads((bundle / CARD).read_text())
    (bundle / CARD).write_text(json.dumps({**card, "description": "of one's own"}))

    with podman.project(tag, "docker/compose.model.yml", env={"KINEMA_BUNDLE": str(bundle)}) as project:
        served = httpx.get(f"{project.url}/models/{card['name']}")
        assert served.json()["description"] == "of one's own"


def _in_progress(project: podman.Project) -> float:
    metrics = httpx.get(f"{project.url}/metrics").text
    found = re.search(r"^kinema_requests_in_progress(?:\{.*\})? (\S+)$", metrics, re.MULTILINE)
    assert found, metrics
    return float(found[1])
