"""The ONNX encoders, written once and shared by all runs that look alike."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch

from model.data.recipe import Network, RecipeError
from model.net import encoder as network
from model.net.encoder import pretrained
from model.net.movenet import SIZE
from model.onnx import graph
from model.onnx.graph import write_encoder

_CODE = (graph, network)
"""What decides the bytes of an encoder, beside torch: when it changes, those that were kept are others."""

POSE = Path(__file__).parents[1] / "artifacts" / "default" / "pose.onnx"
"""The pose encoder, as `model.onnx.pose` writes it; its weights come from no package of Python's."""


def share_encoder(cache: Path, of: Network, size: int, path: Path, *, with_map: bool) -> None:
    """Puts the pretrained encoder for pictures of a size at a path: a link to the one that is kept, where that can be.

    Args:
        cache: the directory in which encoders are kept.
        of: which network it is.
        size: the side of a picture in pixels.
        path: where it is wanted; what is there stays.
        with_map: whether it gives its map, too.

    Raises:
        RecipeError: the network has no map, or reads pictures of another size.
    """
    if path.is_file():
        return
    if of == "movenet":
        if with_map or size != SIZE:
            raise RecipeError(f"the pose encoder has no map and reads pictures of {SIZE} pixels, not of {size}")
        _link(POSE, path)
        return
    kept = cache / f"{_identity(size, with_map=with_map)}.onnx"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=kept.parent, suffix=".unfinished", delete=False) as unfinished:
            write_encoder(pretrained(with_map=with_map), size, Path(unfinished.name))
        Path(unfinished.name).replace(kept)
    _link(kept, path)


def _link(kept: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.hardlink_to(kept)
    except OSError:  # another file system, or one without links
        shutil.copyfile(kept, path)


def _identity(size: int, *, with_map: bool) -> str:
    code = "".join(hashlib.sha256(Path(str(one.__file__)).read_bytes()).hexdigest() for one in _CODE)
    return hashlib.sha256(f"{torch.__version__}/{code}/{size}/{with_map}".encode()).hexdigest()
