"""`scripts/bench` as a whole, shortly."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.require import need
from tests.samples import CLIPS, ROOT

pytestmark = pytest.mark.alone


def test_the_whole_bench_runs(tmp_path: Path) -> None:
    figures = tmp_path / "bench.json"
    options = ["--seconds", "0.3", "--rounds", "1", "--clip", str(CLIPS / "real-golf.mp4"), "--json", str(figures)]
    done = subprocess.run(
        ["scripts/bench", *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["bound", "kinema x 1", "kinema x 8", "decode alone", "encode alone"]
    assert all(row["clips"] > 0 and row["errors"] == {} for row in rows.values())
    assert rows["bound"]["ratio"]["median"] == 1
    assert set(rows["kinema x 8"]["stages_ms"]) == {"receive", "queue", "decode", "encode", "recur", "total"}
    assert all(row["cpu_s_a_clip"]["median"] > 0 and row["peak_mb"] > 50 for row in rows.values())
    for name in ("bound", "kinema x 1", "kinema x 8"):
        assert f"| {name} " in done.stdout


def test_a_bundle_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        ["scripts/bench", "--model", str(tmp_path), "--clip", str(CLIPS / "real-golf.mp4")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "card.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_comparison_runs_and_its_tables_and_chart_are_made(tmp_path: Path) -> None:
    need("ffmpeg", shutil.which("ffmpeg") is not None, "FFmpeg is not installed")
    figures, picture = tmp_path / "compare.json", tmp_path / "chart.svg"
    options = ["--system", "bound", "--system", "kinema", "--clip", "2s", "--clients", "1,2", "--seconds", "0.3"]
    python = str(ROOT / ".venv" / "bin" / "python")
    commands = (
        ["scripts/bench", "compare", *options, "--json", str(figures)],
        [python, "-m", "bench.table", str(figures)],
        [python, "-m", "bench.chart", str(figures), "--clip", "2s", "--clients", "2", "--to", str(picture)],
    )
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        if "bench.table" in command:
            assert "| kinema x 2 |" in done.stdout
    found = json.loads(figures.read_text())["findings"]
    assert [(one["system"], one["case"][4]) for one in found] == [("bound", 0), ("kinema", 1), ("kinema", 2)]
    assert all(one["times_s"] and not one["errors"] for one in found)
    assert picture.read_text().startswith("<svg")


def test_what_a_comparison_does_not_know_is_refused_in_words() -> None:
    for option, name in (("--system", "nobody"), ("--scenario", "nothing"), ("--kinema", "PATH=/")):
        done = subprocess.run(
            ["scripts/bench", "compare", option, name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert name in done.stderr or "KINEMA_NAME=VALUE" in done.stderr


def test_the_peers_are_listed() -> None:
    done = subprocess.run(["scripts/peers"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "litserve" in done.stdout
    done = subprocess.run(
        ["scripts/peers", "install", "nobody"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "no peer nobody" in done.stderr


def test_the_cost_of_a_moment_is_measured(tmp_path: Path) -> None:
    figures = tmp_path / "moment.json"
    options = ["--repeats", "1", "--clip", str(CLIPS / "real-golf.mp4"), "--json", str(figures)]
    done = subprocess.run(
        ["scripts/bench", "moment", *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| **together, fp32** |" in done.stdout
    costs = json.loads(figures.read_text())["costs"]
    assert {(one["kind"], one["precision"], one["batch"]) for one in costs} == {
        (kind, precision, batch)
        for kind in ("appearance", "motion", "pose")
        for precision in ("fp32", "int8")
        for batch in (1, 4)
    }
    for one in costs:
        assert one["moment_ms"] == one["picture_ms"] + one["encode_ms"] / one["cadence"] > 0


def test_live_streams_are_measured(tmp_path: Path) -> None:
    figures = tmp_path / "live.json"
    python = str(ROOT / ".venv" / "bin" / "python")
    extent = ["--seconds", "1", "--idle", "4", "--fed", "3", "--settle", "0.1", "--connects", "8"]
    extent += ["--frames", "400", "--each", "10", "--carried", "2"]
    what = ["alone", "idle", "connects", "cost", "beside"]
    done = subprocess.run(
        [python, "-m", "bench.live", *what, *extent, "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    assert set(what) < set(found)
    assert [one["streams"] for one in found["idle"]] == [0, 1, 4, 0]
    assert [one["streams"] for one in found["connects"]] == [0, 0, 0]
    assert all(one["cpu_ms"] > 0 for one in found["cost"])
    assert len(found["beside"]["cases"]) == 3
    assert "| one stream " in done.stdout


def test_what_is_not_measured_of_streams_is_refused_in_words() -> None:
    python = str(ROOT / ".venv" / "bin" / "python")
    done = subprocess.run(
        [python, "-m", "bench.live", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "nothing" in done.stderr
