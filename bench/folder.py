"""What `kinema train` takes on a folder of clips: wall time, CPU time and the most memory.

    .venv/bin/python -m bench.folder DATA.csv -o DIRECTORY [--classes 6] [--clips 20] [--seconds 3]

makes clips of so many seconds of those that DATA.csv names, clips of one source one after the other and again from the
start, and trains a model on them with an empty cache.
"""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

_FPS = 30.0
_MB = 1024.0


def frames(paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """All frames of some clips, one clip after the other."""
    for path in paths:
        capture = cv2.VideoCapture(str(path))
        while True:
            there, frame = capture.read()
            if not there:
                break
            yield np.asarray(frame, dtype=np.uint8)
        capture.release()


def join(paths: list[Path], seconds: float, made: Path) -> None:
    """Writes so many seconds of clips, over and over."""
    made.parent.mkdir(parents=True, exist_ok=True)
    shown = list(frames(paths))
    height, width = shown[0].shape[:2]
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*"mp4v"), _FPS, (width, height))
    for number in range(round(seconds * _FPS)):
        writer.write(cv2.resize(shown[number % len(shown)], (width, height)))
    writer.release()


def make(data: Path, folder: Path, classes: int, clips: int, seconds: float) -> None:
    """Makes a folder: so many classes, so many clips of each, no two of them beginning with the same clip."""
    root = data.with_suffix("")
    of: defaultdict[str, defaultdict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    with data.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            of[row["label"]][row["source"]].append(root / row["path"])
    for label in sorted(of)[:classes]:
        number = 0
        for source, same in sorted(of[label].items()):
            for first in range(len(same)):
                if number < clips:
                    join(same[first:] + same[:first], seconds, folder / label / source / f"{first}.mp4")
                    number += 1


def main(
    data: Annotated[Path, typer.Argument(help="A CSV of clips with the columns path, label and source.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new directory.")],
    classes: int = 6,
    clips: int = 20,
    seconds: float = 3.0,
) -> None:
    """Makes the folder, trains on it, and prints what that took."""
    make(data, output / "clips", classes, clips, seconds)
    command = [sys.executable, "-m", "service.cli", "train", output / "clips", "-o", output / "model"]
    began_s = time.monotonic()
    subprocess.run([*map(str, command), "--cache", str(output / "cache")], check=True)
    wall_s = time.monotonic() - began_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, largest_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / _MB
    typer.echo(f"{wall_s:.0f} s, {cpu_s:.0f} s of CPU, the largest process {largest_mb:.0f} MB")


if __name__ == "__main__":
    typer.run(main)
