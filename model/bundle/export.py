"""From a finished run to a bundle: graphs, card, golden clip.

Everything is written to the bundle's place and then loaded and answered by the serving code, so what `kinema export`
leaves behind is known to load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.bundle.share import check_names, place, record
from model.net.classifier import Classifier
from model.net.familiar import FAMILIARITY
from model.onnx.graph import write_metadata, write_recurrent
from model.run.errors import RunError
from model.run.final import Final
from model.run.head import load_head
from model.run.held_out import HeldOut
from model.run.plan import Plan
from model.run.run import Run
from model.run.table import Row, rows
from model.training.twins import Twins
from service.alone import answer
from service.inference.bundle import Bundle, metadata
from service.inference.card import (
    CARD,
    FORMAT,
    Card,
    Evidence,
    FileRecord,
    Golden,
    Grid,
    Int8,
    Licences,
    Metric,
    Output,
    Precision,
    Recurrent,
    State,
)
from service.inference.place import written_whole
from service.inference.session import Device
from service.video.spec import PictureSpec

_RECURRENT = "recurrent.onnx"
_UNKNOWN = FileRecord(sha256="0" * 64, bytes=1)


@dataclass(frozen=True)
class Title:
    """What a card says that no run knows."""

    name: str
    version: str
    description: str
    licences: Licences


def export(run: Run, directory: Path, golden: Path, title: Title, share: Sequence[str] = ()) -> Card:
    """Writes a bundle.

    Args:
        run: a finished run.
        directory: where to; an older bundle there is replaced.
        golden: the clip whose scores the card will state.
        title: what the card says beside.
        share: directories beside the bundle in which bundles share encoders and golden clips. What is in one of them
            already is not written again; what is in none goes into the last.

    Raises:
        RunError: the run is not finished, the golden clip is not there, a directory cannot be shared, or holds another
            file of the same name.
        BundleError: `directory` holds something else, or cannot be written.
        ClipError: the golden clip cannot be decoded.
    """
    plan, final = run.plan(), run.final()
    if not golden.is_file():
        raise RunError(f"the golden clip {golden} is not there", "Name a small clip, best of one of the actions.")
    check_names(share, directory)
    with written_whole(directory) as made:
        return _make(run, plan, final, made, golden, title, share)


def _make(
    run: Run, plan: Plan, final: Final, directory: Path, golden: Path, title: Title, share: Sequence[str]
) -> Card:
    head, twins = load_head(run, final), run.twins()
    write_recurrent(head, directory / _RECURRENT)
    clip = f"golden{golden.suffix.lower()}"
    sources = {_encoder(final, kind): run.encoder(kind) for kind in final.config.features} | {clip: golden}
    if twins is not None:
        sources |= {_twin(final, kind): run.twin(kind) for kind in final.config.features}
    files = {name: place(source, directory, name, share) for name, source in sources.items()}
    metrics = (*_metrics(plan, rows(plan, run.trials())), *_held_out(run.held_out()))
    card = _card(plan, final, head, title, metrics, clip, files)
    if twins is not None:
        card = _with_twins(card, twins, plan, final)
    # The recurrent graph alone is this bundle's own: others, of another name and version, may share its encoders.
    write_metadata(directory / _RECURRENT, metadata(card))
    card = _write(directory, card.model_copy(update={"files": files | {_RECURRENT: record(directory / _RECURRENT)}}))
    golden_clip = card.path(directory, clip)
    scores = _golden_scores(directory, golden_clip, "fp32")
    card = card.model_copy(update={"golden": Golden(clip=clip, scores=scores)})
    if card.int8 is not None:
        int8 = card.int8.model_copy(update={"scores": _golden_scores(directory, golden_clip, "int8")})
        card = card.model_copy(update={"int8": int8})
    return _write(directory, card)


def _golden_scores(directory: Path, clip: Path, precision: Precision) -> tuple[float, ...]:
    bundle = Bundle.load(directory, Device.choose("cpu", 1), precision)
    return tuple(answer(bundle, clip.read_bytes()).tolist())


def _encoder(final: Final, kind: str) -> str:
    # One with a map is another file, and both can be in a directory that bundles share.
    return f"{kind}-map.onnx" if kind in final.config.maps else f"{kind}.onnx"


def _twin(final: Final, kind: str) -> str:
    return _encoder(final, kind).replace(".onnx", ".int8.onnx")


def _with_twins(card: Card, twins: Twins, plan: Plan, final: Final) -> Card:
    """The card with its twins, but for their golden scores, which are known when the files are there."""
    split = (
        f"{plan.folds}-fold cross-validation, no source in two folds, mean of {twins.seeds} repetition(s); "
        f"the same heads on both, {twins.calibrated}"
    )
    int8 = Int8(accuracy_fall=round(twins.fall, 2), clips=plan.clips, split=split, scores=(0.0,) * len(plan.labels))
    measured = (
        ("accuracy, heads trained anew", twins.accuracy),
        ("accuracy in int8, the same heads", twins.accuracy_int8),
    )
    metrics = (Metric(name=name, value=round(value, 4), clips=plan.clips, split=split) for name, value in measured)
    return card.model_copy(
        update={
            "evidence": tuple(kind.model_copy(update={"int8": _twin(final, kind.name)}) for kind in card.evidence),
            "int8": int8,
            "metrics": (*card.metrics, *metrics),
        }
    )


def _card(
    plan: Plan,
    final: Final,
    head: Classifier,
    title: Title,
    metrics: tuple[Metric, ...],
    clip: str,
    files: Mapping[str, FileRecord],
) -> Card:
    """The card, but for the head's record and the golden scores, which are known when the files are there."""
    evidence = tuple(_evidence(kind, final) for kind in plan.recipe.evidence if kind.name in final.config.features)
    return Card(
        format=FORMAT,
        name=title.name,
        version=title.version,
        description=title.description,
        labels=plan.labels,
        evidence=evidence,
        sampling=plan.recipe.sampling,
        recurrent=Recurrent(
            head=final.config.head,
            file=_RECURRENT,
            state=tuple(State(name=name, size=size) for name, size in head.state_sizes.items()),
            streams=head.streams,
            outputs=tuple(Output(**one._asdict()) for one in head.outputs if one.name != FAMILIARITY),
        ),
        temperature=final.calibrated.temperature,
        abstention=final.abstention,
        golden=Golden(clip=clip, scores=(0.0,) * len(plan.labels)),
        files={**files, _RECURRENT: _UNKNOWN},
        metrics=metrics,
        licences=title.licences,
    )


def _evidence(kind: PictureSpec, final: Final) -> Evidence:
    grid = final.config.maps.get(kind.name)
    return Evidence(
        **kind.model_dump(),
        features=final.config.features[kind.name],
        map=None if grid is None else Grid(**grid._asdict()),
        file=_encoder(final, kind.name),
    )


def _metrics(plan: Plan, table: tuple[Row, ...]) -> tuple[Metric, ...]:
    """The accuracy of the head that is kept and, for comparison, of the others."""
    split = f"{plan.folds}-fold cross-validation, no source in two folds, mean of {plan.seeds} repetition(s)"
    return tuple(
        Metric(
            name="accuracy" if place == 0 else f"accuracy of {row.variant.name}, for comparison",
            value=round(row.accuracy, 4),
            clips=plan.clips,
            split=split,
        )
        for place, row in enumerate(table)
    )


def _held_out(answers: HeldOut | None) -> Iterator[Metric]:
    """The accuracy on clips that the data's own split keeps out, where it keeps any."""
    if answers is not None:
        yield Metric(
            name="accuracy on clips kept out",
            value=round(answers.right / answers.clips, 4),
            clips=answers.clips,
            split="kept out by the data's own split; the head was trained on all other clips",
        )


def _write(directory: Path, card: Card) -> Card:
    (directory / CARD).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return card
