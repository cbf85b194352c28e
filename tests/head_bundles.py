"""Bundles of every head, small and untrained: their weights are drawn, so that each of them counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.inference.bundle import metadata
from service.inference.card import (
    CARD,
    FORMAT,
    Card,
    Evidence,
    Golden,
    Grid,
    Licences,
    Metric,
    Output,
    Recurrent,
    Sampling,
    State,
)
from service.video.spec import Flow
from tests.samples import clip

if TYPE_CHECKING:
    from model.net.classifier import Classifier, HeadName

LABELS = ("kick_ball", "<script>alert(1)</script>", "a & b $x$", "_pour", "wave", "throw")
SHARED = "encoders"
_GOLDEN = "golden.mp4"
_FEATURES, _CHANNELS = 1280, 320


def make_bundle(directory: Path, head: HeadName, sampling: Sampling, size: int = 96) -> Path:
    """Writes a bundle into `directory/head`, and encoders into `directory/encoders` where they are not there yet.

    Args:
        directory: where to.
        head: which.
        sampling: the plan.
        size: the side of a frame in pixels; the encoder's map has one position for each 32.
    """
    from model.bundle.share import record
    from model.net.classifier import MAP_HEADS
    from model.net.encoder import pretrained
    from model.onnx.graph import write_encoder, write_metadata, write_recurrent

    bundle, shared, mapped = directory / head, directory / SHARED, head in MAP_HEADS
    bundle.mkdir(parents=True)
    shared.mkdir(exist_ok=True)
    evidence = _evidence(size, size // 32 if mapped else None)
    for kind in evidence:
        if not (shared / kind.file).is_file():
            write_encoder(pretrained(with_map=kind.map is not None), kind.size, shared / kind.file)
    network = _network(head, evidence)
    write_recurrent(network, bundle / "recurrent.onnx")
    (bundle / _GOLDEN).write_bytes(clip("h264.mp4"))
    files = {kind.file: record(shared / kind.file, SHARED) for kind in evidence}
    card = Card(
        format=FORMAT,
        name=f"tiny-{head}",
        version="1.0.0",
        description="knows nothing",
        labels=LABELS,
        evidence=evidence,
        sampling=sampling,
        recurrent=Recurrent(
            head=head,
            file="recurrent.onnx",
            state=tuple(State(name=name, size=size) for name, size in network.state_sizes.items()),
            streams=network.streams,
            outputs=tuple(Output(**one._asdict()) for one in network.outputs),
        ),
        temperature=1.3,
        golden=Golden(clip=_GOLDEN, scores=(0.0,) * len(LABELS)),
        files=files | {name: record(bundle / name) for name in (_GOLDEN, "recurrent.onnx")},
        metrics=(Metric(name="accuracy", value=0.125, clips=8, split="<not> at all"),),
        licences=Licences(weights="none", data="none"),
    )
    write_metadata(bundle / "recurrent.onnx", metadata(card))
    card = card.model_copy(update={"files": card.files | {"recurrent.onnx": record(bundle / "recurrent.onnx")}})
    (bundle / CARD).write_text(card.model_dump_json(exclude_none=True), encoding="utf-8")
    return bundle


def _evidence(size: int, side: int | None) -> tuple[Evidence, ...]:
    grid = None if side is None else Grid(rows=side, columns=side, channels=_CHANNELS)
    flow = Flow(size=64, preset="ultrafast", scale=10, magnitude_scale=16)
    look = Evidence(
        name="look",
        picture="rgb",
        size=size,
        cadence=2,
        features=_FEATURES,
        map=grid,
        file="look.onnx" if grid is None else "look-map.onnx",
    )
    return look, Evidence(
        name="drift", picture="flow", size=48, cadence=1, flow=flow, features=_FEATURES, file="drift.onnx"
    )


def _network(head: HeadName, evidence: tuple[Evidence, ...]) -> Classifier:
    import torch

    from model.net.classifier import Classifier, ClassifierConfig
    from model.net.lstm import LstmConfig
    from model.net.reader import Grid as Sides

    torch.manual_seed(7)
    maps = {kind.name: Sides(*kind.map.shape) for kind in evidence if kind.map is not None}
    features = {kind.name: kind.features for kind in evidence}
    network = Classifier(
        ClassifierConfig(features, len(LABELS), head, LstmConfig(bottleneck=8, hidden=12), maps)
    ).eval()
    for name, mean in network.means.items():
        network.standardise(name, torch.rand(len(mean)), 0.5 + torch.rand(len(mean)))
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02 if name.startswith("experts") else 0.25)
    return network
