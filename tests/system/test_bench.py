"""`scripts/bench` as a whole, shortly."""

import json
import subprocess
from pathlib import Path

from tests.samples import CLIPS, ROOT


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
