"""`kinema watch` as a process, with a recogniser that tells red from blue."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.films import frames
from tests.processes import children, descriptors, heard, memory_mb
from tests.receiver import Receiver
from tests.samples import ROOT
from tests.server import PATIENCE_S, kinema
from tests.streams import PICTURE, MjpegHttp, free_port, mpegts_http, need_ffmpeg


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine seconds: red, blue, red, blue, and one of red."""
    need_ffmpeg()
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    make(path)
    return path


def make(path: Path, *options: str, rate: int = 10, seconds: int = 9) -> None:
    source = ["-f", "lavfi", "-i", PICTURE.format(rate), "-t", str(seconds)]
    command = ["ffmpeg", "-v", "error", *source, *options, "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


class Watching:
    """The command, its output read as it comes; use it in a `with` block.

    Args:
        arguments: the command's.
        stdin: what is piped in.
    """

    def __init__(self, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> None:
        with heard(signal.SIGINT):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.colours", *map(str, arguments)],
                cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        self.told: list[dict[str, Any]] = []
        self.errors = ""
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.told.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as errors:
            self.errors = errors.read()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.told if one["type"] == kind]

    def until(self, kind: str, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self.of(kind)) < count:
            assert time.monotonic() < deadline, (self.told[-3:], self.errors)
            assert self.process.poll() is None, self.errors
            time.sleep(0.02)

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.end()


def test_a_file_is_told_from_its_first_frame_to_its_last(film: Path) -> None:
    with Watching(film) as watching:
        assert watching.end() == 0, watching.errors
    assert [one["type"] for one in watching.told if one["type"] not in {"answer", "event"}] == ["opened", "ended"]
    events = [(one["label"], one["start_s"], one["end_s"]) for one in watching.of("event") if one["end_s"]]
    assert events == [("red", 0, 2), ("blue", 2, 4), ("red", 4, 6), ("blue", 6, 8), ("red", 8, 8.9)]
    assert watching.told[-1] == {
        "type": "ended", "reason": "the source has ended", "frames": 90, "missed": 0, "events": 5,
        "clips": 0, "posted": 0, "unposted": 0,
    }  # fmt: skip
    assert watching.errors == ""


@pytest.mark.parametrize(("form", "suffix"), [("mpegts", "ts"), ("matroska", "mkv"), ("mp4", "mp4")])
def test_what_is_piped_in_is_told_whole(film: Path, form: str, suffix: str, tmp_path: Path) -> None:
    piped = tmp_path / f"piped.{suffix}"
    make(piped, "-f", form, "-movflags", "frag_keyframe+empty_moov")
    with piped.open("rb") as file, Watching("-", stdin=file.fileno()) as watching:
        assert watching.end() == 0, watching.errors
    assert watching.told[-1]["frames"] == 90
    assert watching.told[-1]["events"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_that_is_stopped_ends_well(film: Path, number: signal.Signals, tmp_path: Path) -> None:
    clips, drawn = tmp_path / "clips", tmp_path / "drawn.mp4"
    with Watching(film, "--realtime", "--loop", "--save", clips, "--annotate", drawn) as watching:
        watching.until("event", 2)
        assert watching.end(number) == 0, watching.errors
    assert watching.told[-1]["reason"] == "stopped"
    assert watching.told[-2]["type"] == "clip"
    assert [one["end_s"] for one in watching.of("event")][-1] is not None
    assert len(frames(drawn)) > 10
    assert len(list(clips.glob("*.mkv"))) == len(list(clips.glob("*.json"))) == watching.told[-1]["clips"] > 0


def test_a_watch_is_stopped_while_it_waits_for_its_source() -> None:
    with Watching(f"rtsp://127.0.0.1:{free_port()}/cam") as watching:
        watching.until("lost", 2)
        assert watching.end(signal.SIGTERM) == 0, watching.errors
    assert watching.told[-1]["frames"] == 0


def test_a_source_that_never_opens_is_an_error_with_once() -> None:
    with Watching(f"http://user:secret@127.0.0.1:{free_port()}/cam?token=secret", "--once") as watching:
        assert watching.end() == 1
    assert "cannot be opened: Connection refused" in watching.errors
    assert "Traceback" not in watching.errors
    assert "secret" not in watching.errors + json.dumps(watching.told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["not-there.mp4"], "not-there.mp4 is not there"),
        (["ftp://host/x"], "ftp:// are not known"),
        (["rtsp://host/x", "--realtime"], "--realtime is for files"),
        (["0", "--annotate", "out.txt"], "--annotate writes"),
        (["0", "--webhook", "host/hook"], "--webhook needs"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments: list[str], words: str) -> None:
    done = kinema("watch", *arguments)
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_ends_the_watch(film: Path) -> None:
    command = f"{sys.executable} -m tests.colours {film} --loop | head -n 3"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


def test_a_terminal_sees_one_line_that_changes(film: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tests.colours", str(film), "--realtime"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=theirs, env=environment)
    os.close(theirs)
    shown = "".join(read(ours))
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0
    assert "red 1.00 ████████████" in shown
    assert "0:00:02.0 blue for 2.0 s" in shown
    assert "the source has ended: 90 frames" in shown


def read(descriptor: int) -> Iterator[str]:
    """What a terminal shows, until its program ends."""
    while select.select([descriptor], [], [], PATIENCE_S)[0]:
        try:
            yield os.read(descriptor, 1 << 16).decode(errors="replace")
        except OSError:
            return


def test_a_camera_that_is_cut_and_restored_is_told_kept_and_posted(tmp_path: Path) -> None:
    with MjpegHttp() as camera, Receiver() as receiver:
        receiver.statuses = [500]
        options = ("--save", tmp_path, "--webhook", receiver.url, "--before", "0.5", "--after", "0.5")
        with Watching(camera.url, *options) as watching:
            watching.until("event", 3)
            camera.cut()
            watching.until("lost")
            camera.restore()
            watching.until("reset")
            watching.until("event", 6)
            watching.until("clip")
            assert watching.end(signal.SIGTERM) == 0, watching.errors
    events = watching.of("event")
    assert [body for body, _ in receiver.received][1:] == events
    assert watching.told[-1]["posted"] == len(events)
    assert all(one["at"].endswith("Z") for one in events)
    assert watching.of("reset")[0]["reason"] == "the connection was lost"
    sidecars = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(sidecars) == watching.told[-1]["clips"] > 1
    assert all(one["source"] == camera.url.replace("token=secret", "***") for one in sidecars)


def test_a_watch_that_is_killed_leaves_no_process_and_clips_that_play(tmp_path: Path) -> None:
    with mpegts_http() as camera, Watching(camera.url, "--save", tmp_path) as watching:
        watching.until("answer", 20)
        captures = list(children(watching.process.pid))
        watching.process.kill()
        watching.end()
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in captures):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert captures
    (clip,) = tmp_path.glob("*.mkv")
    assert len(frames(clip)) > 1


@pytest.mark.alone
def test_memory_stays_flat_over_an_hour_of_looped_input(tmp_path: Path) -> None:
    need_ffmpeg()
    film = tmp_path / "film.mp4"
    make(film, rate=5, seconds=40)
    options = ("--loop", "--save", tmp_path / "clips", "--annotate", tmp_path / "drawn.mkv", "--before", "1")
    with Watching(film, *options) as watching:
        pid = watching.process.pid
        pass_hours(watching, 0.25)
        memory, files = memory_mb(pid), descriptors(pid)
        pass_hours(watching, 1.25)
        # Seven megabytes come once, where a buffer doubles; a byte kept of each frame's picture would be thousands.
        assert memory_mb(pid) < memory + 12
        assert abs(descriptors(pid) - files) < 4
        assert watching.end(signal.SIGTERM) == 0, watching.errors


def pass_hours(watching: Watching, hours: float) -> None:
    """Waits until so much of the source has been seen, and forgets what was told of it."""
    deadline = time.monotonic() + 5 * PATIENCE_S
    while not (watching.told and watching.told[-1].get("time_s", 0) > hours * 3600):
        assert time.monotonic() < deadline
        assert watching.process.poll() is None, watching.errors
        del watching.told[:-1]
        time.sleep(0.02)
