"""From a graph and what is known of it to a bundle that has answered its golden clip."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from service.alone import answer
from service.errors import BundleError, ImportRefused
from service.foreign.file import GraphFile
from service.foreign.given import Given, Title
from service.foreign.settle import Settled, settle
from service.foreign.signature import Signature
from service.foreign.trial import Tried, trial
from service.inference.bundle import Bundle
from service.inference.card import (
    CARD,
    FILE_NAME,
    FORMAT,
    WHOLE,
    Card,
    Evidence,
    FileRecord,
    Golden,
    Recurrent,
    Sampling,
    sha256,
)
from service.inference.place import written_whole
from service.inference.session import Device, Session

_KIND = "clip"
_GRAPH = "clip.onnx"
_CLIP = "golden.clip"
_CPU = Device.choose("cpu", 1)


@dataclass(frozen=True, slots=True)
class Imported:
    """A bundle that was made of somebody's graph, and what that rests on."""

    card: Card
    settled: Settled
    tried: Tried


def import_graph(graph: Path, given: Given, title: Title, directory: Path) -> Imported:
    """Wraps a graph into a bundle.

    Args:
        graph: an ONNX file that reads whole windows.
        given: what the caller tells of it.
        title: what the card says beside.
        directory: where the bundle is put; an older one there is replaced.

    Raises:
        ImportRefused: the graph cannot be served, or not all that has to be known is.
        ClipError: the golden clip cannot be decoded.
    """
    if not graph.is_file():
        raise ImportRefused(f"{graph} is no file", "Name an ONNX file.")
    session = _load(graph, half=True)  # safe whatever the graph is, and good enough to look at it
    file = GraphFile.read(graph)
    signature = Signature.read(session)
    settled = settle(signature, given)
    half = file.half or "float16" in {signature.type, *(state.type for state in signature.zeros)}
    tried = trial(session if half else _load(graph, half=False), signature, settled, half=half)
    with written_whole(directory) as made:
        card = _write([graph, *_beside(graph, file)], settled, tried, title, made)
    return Imported(card, settled, tried)


def _load(graph: Path, *, half: bool) -> Session:
    try:
        return Session(graph, _CPU, half=half)
    except BundleError as error:
        raise ImportRefused(error.detail, "Export it anew; weights in other files have to lie beside it.") from error


def _beside(graph: Path, file: GraphFile) -> list[Path]:
    """The files beside a graph that its weights lie in."""
    strange = [name for name in file.weights if not re.fullmatch(FILE_NAME, name) or name in {CARD, _CLIP}]
    if strange:
        raise ImportRefused(
            f"{graph.name} keeps weights in {', '.join(strange)}, and a bundle cannot hold a file of that name",
            "Save it with its weights inside, or in a file beside it with a plain name.",
        )
    return [graph.parent / name for name in file.weights]


def _write(files: list[Path], settled: Settled, tried: Tried, title: Title, made: Path) -> Card:
    """Writes a bundle of files of which the first is the graph."""
    own = files[0].name if re.fullmatch(FILE_NAME, files[0].name) else _GRAPH
    for path in files:
        shutil.copyfile(path, made / (own if path is files[0] else path.name))
    clip = made / _CLIP
    clip.write_bytes(settled.golden)
    records = {path.name: FileRecord(sha256=sha256(path), bytes=path.stat().st_size) for path in sorted(made.iterdir())}
    card = Card(
        format=FORMAT,
        name=title.name,
        version=title.version,
        description=title.description,
        labels=settled.labels,
        evidence=(
            Evidence(name=_KIND, picture="rgb", size=settled.size, cadence=1, features=len(settled.labels), file=own),
        ),
        sampling=Sampling(num_clips=settled.num_clips, clip_len=settled.clip_len, fps=settled.fps),
        recurrent=Recurrent(head=WHOLE, file=own, state=(), streams=False),
        whole=tried.whole,
        temperature=1.0,
        golden=Golden(clip=clip.name, scores=(0.0,) * len(settled.labels), tolerance=tried.tolerance),
        files=records,
        metrics=(),
        licences=title.licences,
    )
    bundle = Bundle.load(_put(made, card), _CPU)
    scores = tuple(answer(bundle, settled.golden).tolist())
    card = card.model_copy(update={"golden": card.golden.model_copy(update={"scores": scores})})
    Bundle.load(_put(made, card), _CPU)
    return card


def _put(directory: Path, card: Card) -> Path:
    (directory / CARD).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return directory
