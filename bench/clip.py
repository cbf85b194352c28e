"""The clip that is posted: 10 s of real actions, 340x256, H.264 with B-frames, 30 frames a second.

Made of the training clips where they are, else of the two real clips of the tests, and kept in `.cache/bench`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from itertools import cycle, islice
from pathlib import Path

from bench.errors import ClipNotMade

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"

_SECONDS = 10
# JHMDB's shortest clips last half a second; so many fill the ten.
_PARTS = 21
_SHAPE = "scale=340:256:force_original_aspect_ratio=increase,crop=340:256,setsar=1,fps=30,format=yuv420p"
# One thread, so that every machine makes the same bytes of the same FFmpeg.
_X264 = "-c:v libx264 -threads 1 -preset medium -crf 23 -bf 3 -g 250 -an -map_metadata -1 -movflags +faststart"


def sources() -> list[Path]:
    """The clips to make it of: the first of every action, or those that come with the tests."""
    actions = sorted((ROOT.parent / "shared" / "data" / "jhmdb").glob("*/"))
    firsts = [clip for action in actions for clip in sorted(action.glob("*.avi"))[:1]]
    return firsts or sorted((ROOT / "tests" / "clips").glob("real-*.mp4"))


def bench_clip(directory: Path = CACHE) -> Path:
    """The bench clip, made at the first call.

    Args:
        directory: where it is kept.

    Raises:
        ClipNotMade: no FFmpeg, or one that fails.
    """
    parts = list(islice(cycle(sources()), _PARTS))
    recipe = "\n".join((str(_SECONDS), _SHAPE, _X264, *(f"{part.parent.name}/{part.name}" for part in parts)))
    made = directory / f"clip-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.mp4"
    if not made.exists():
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = made.with_suffix(".part.mp4")
        _encode(parts, unfinished)
        unfinished.replace(made)
    return made


def _encode(parts: list[Path], output: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ClipNotMade("FFmpeg makes the bench clip: apt-get install ffmpeg, or name a clip with --clip")
    inputs = [word for part in parts for word in ("-i", str(part))]
    shaped = "".join(f"[{n}:v]{_SHAPE}[v{n}];" for n in range(len(parts)))
    joined = "".join(f"[v{n}]" for n in range(len(parts))) + f"concat=n={len(parts)}"
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", *inputs, "-filter_complex", shaped + joined]
    done = subprocess.run(
        [*command, "-t", str(_SECONDS), *_X264.split(), str(output)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClipNotMade(f"FFmpeg failed to make the bench clip: {done.stderr.strip()}")
