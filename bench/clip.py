"""The clips that are posted: real actions one after the other, H.264 with B-frames, 30 frames a second.

Made of the training clips where they are, else of the two real clips of the tests, and kept in `.cache/bench`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bench.errors import ClipNotMade

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"

# JHMDB's shortest clips last half a second; so many fill a second of clip.
_PARTS_A_SECOND = 2.1
# One thread, so that every machine makes the same bytes of the same FFmpeg.
_X264 = "-c:v libx264 -threads 1 -preset medium -crf 23 -bf 3 -g 250 -an -map_metadata -1 -movflags +faststart"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long a clip is, and how large its frames."""

    seconds: int
    width: int
    height: int

    @property
    def shape(self) -> str:
        """The filters that give every part the same frames."""
        size = f"{self.width}:{self.height}"
        return f"scale={size}:force_original_aspect_ratio=increase,crop={size},setsar=1,fps=30,format=yuv420p"

    @property
    def parts(self) -> list[Path]:
        """What it is made of."""
        return list(islice(cycle(sources()), round(self.seconds * _PARTS_A_SECOND)))


SHORT, USUAL, LONG = "2s", "10s", "60s"
RECIPES = {SHORT: Recipe(2, 320, 240), USUAL: Recipe(10, 340, 256), LONG: Recipe(60, 1280, 720)}
"""The clips by name."""


def sources() -> list[Path]:
    """The clips to make it of: the first of every action, or those that come with the tests."""
    actions = sorted((ROOT.parent / "shared" / "data" / "jhmdb").glob("*/"))
    firsts = [clip for action in actions for clip in sorted(action.glob("*.avi"))[:1]]
    return firsts or sorted((ROOT / "tests" / "clips").glob("real-*.mp4"))


def bench_clip(directory: Path = CACHE, name: str = USUAL) -> Path:
    """A clip, made at the first call.

    Args:
        directory: where it is kept.
        name: one of `RECIPES`.

    Raises:
        ClipNotMade: no FFmpeg, or one that fails.
    """
    recipe = RECIPES[name]
    told = (str(recipe.seconds), recipe.shape, _X264, *(f"{part.parent.name}/{part.name}" for part in recipe.parts))
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    made = directory / f"clip-{name}-{digest[:12]}.mp4"
    if not made.exists():
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = made.with_suffix(".part.mp4")
        _encode(recipe, unfinished)
        unfinished.replace(made)
    return made


def _encode(recipe: Recipe, output: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ClipNotMade("FFmpeg makes the bench clip: apt-get install ffmpeg, or name a clip with --clip")
    parts = recipe.parts
    # One thread for each decoder too: a minute is made of more than a hundred parts, all of them open at once.
    inputs = [word for part in parts for word in ("-threads", "1", "-i", str(part))]
    shaped = "".join(f"[{n}:v]{recipe.shape}[v{n}];" for n in range(len(parts)))
    joined = "".join(f"[v{n}]" for n in range(len(parts))) + f"concat=n={len(parts)}"
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", *inputs, "-filter_complex", shaped + joined]
    done = subprocess.run(
        [*command, "-t", str(recipe.seconds), *_X264.split(), str(output)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClipNotMade(f"FFmpeg failed to make the bench clip: {done.stderr.strip()}")
