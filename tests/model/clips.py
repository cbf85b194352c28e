"""Tiny labelled clips for the tests of `model/`: a texture that drifts to the left or to the right."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from model.data.recipe import Recipe
from service.inference.card import Sampling
from service.video.spec import Flow, PictureSpec

TORCH = find_spec("torch") is not None and find_spec("onnx") is not None
WITHOUT_TORCH = "torch and onnx are not installed: pip install '.[train]'"

TINY = Recipe(
    evidence=(
        PictureSpec(name="look", picture="rgb", size=64, cadence=2),
        PictureSpec(
            name="drift",
            picture="flow",
            size=48,
            cadence=1,
            flow=Flow(size=64, preset="ultrafast", scale=10, magnitude_scale=16),
        ),
    ),
    sampling=Sampling(num_clips=2, clip_len=4, fps=5),
)


def write_clip(path: Path, drift: int, seed: int = 0) -> Path:
    """Writes 1.2 s of a texture that moves `drift` pixels to the left a frame, 96x72 at 10 fps."""
    noise = np.random.default_rng(seed).integers(0, 255, (72, 240, 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 72))
    for frame in range(12):
        left = 72 + drift * frame
        writer.write(np.ascontiguousarray(texture[:, left : left + 96]))
    writer.release()
    return path


def write_dataset(directory: Path, clips: int = 8) -> Path:
    """Writes clips of two actions, each from a source of its own, in two folds, and the CSV that names them."""
    lines = ["path,label,source,fold"]
    for number in range(clips):
        label, drift = (("left", 4), ("right", -4))[number % 2]
        write_clip(directory / f"{number}.avi", drift, seed=number)
        lines.append(f"{number}.avi,{label},source-{number},{number // (clips // 2)}")
    table = directory / "clips.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


@contextmanager
def quick_twins() -> Iterator[None]:
    """Twins with one scale a tensor instead of one a channel: made in a fraction of the time, and nearly as near.

    For tests of what a run does with twins, of which it makes six; `test_model_quantize` has them as they are.
    """
    from onnxruntime.quantization import quantize_static

    def quick(*given: Any, **options: Any) -> None:
        quantize_static(*given, **options | {"per_channel": False, "extra_options": {}})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.onnx.quantization.quantize_static", quick)
        yield
