"""A browser's camera as a live stream: the programs of docs/stream.md in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.test_docs import CHROMIUM, FLAGS
from tests.require import need
from tests.samples import CLIPS, ROOT
from tests.server import PATIENCE_S, Server

_PROGRAM = re.compile(r"^```javascript\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def camera(folder: Path) -> Path:
    """What the browser's fake camera plays: a golf swing, in the only format of video that it reads."""
    film = folder / "golf.y4m"
    command = ["ffmpeg", "-loglevel", "error", "-i", str(CLIPS / "real-golf.mp4"), "-pix_fmt", "yuv420p", str(film)]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    return film


PROGRAMS = _PROGRAM.findall((ROOT / "docs" / "stream.md").read_text())


@pytest.mark.parametrize("program", PROGRAMS, ids=["frames", "MediaRecorder"])
def test_the_documents_programs_stream_a_browsers_camera(program: str, server: Server, tmp_path: Path) -> None:
    need("browser", CHROMIUM is not None, "Chromium has to be installed")
    need("ffmpeg", shutil.which("ffmpeg") is not None, "ffmpeg makes what the camera shows")
    fake = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera(tmp_path)}",
    ]
    told: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *fake])
        try:
            page = browser.new_page()
            page.on("console", lambda message: told.extend(one.json_value() for one in message.args))
            page.goto(f"{server.url}/livez")
            page.evaluate("document.body.innerHTML = '<video muted playsinline></video>'")
            page.add_script_tag(
                type="module", content=program.replace("ws://localhost:8000", server.url.replace("http", "ws"))
            )
            while not [one for one in told if one["type"] == "answer"][2:]:
                page.wait_for_timeout(100)
        finally:
            browser.close()
    answers = [one for one in told if one["type"] == "answer"]
    assert told[0]["type"] == "ready"
    assert "golf" in [answer["smoothed"][0]["label"] for answer in answers], json.dumps(answers)
    assert answers[-1]["camera_fps"] > answers[-1]["model_fps"]
