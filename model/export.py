"""From a finished run to a bundle: graphs, card, golden clip.

Everything is written to the bundle's place and then loaded and answered by the serving code, so what `kinema export`
leaves behind is known to load.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model.answer import answer
from model.graph import write_metadata, write_recurrent
from model.net.classifier import Classifier
from model.report import Row, rows
from model.run import Final, Plan, Run, RunError, Twins
from service.inference.bundle import Bundle, metadata
from service.inference.card import (
    CARD,
    FORMAT,
    Card,
    Evidence,
    FileRecord,
    Golden,
    Int8,
    Licences,
    Metric,
    Precision,
    Recurrent,
    State,
    sha256,
)
from service.inference.session import Device

_RECURRENT = "recurrent.onnx"
_UNKNOWN = FileRecord(sha256="0" * 64, bytes=1)


@dataclass(frozen=True)
class Title:
    """What a card says that no run knows."""

    name: str
    version: str
    description: str
    licences: Licences


def load_head(run: Run, final: Final) -> Classifier:
    """The head of a finished run, in evaluation mode.

    Raises:
        RunError: its weights are missing.
    """
    head = Classifier(final.config)
    try:
        head.load_state_dict(torch.load(run.head, weights_only=True))
    except OSError as error:
        raise RunError(f"{run.head} cannot be read: {error.strerror}", "`kinema train --resume` makes it.") from error
    return head.eval()


def export(run: Run, directory: Path, golden: Path, title: Title) -> Card:
    """Writes a bundle.

    Args:
        run: a finished run.
        directory: where to; an older bundle there is replaced.
        golden: the clip whose scores the card will state.
        title: what the card says beside.

    Raises:
        RunError: the run is not finished, the golden clip is not there, or `directory` holds something else.
        ClipError: the golden clip cannot be decoded.
    """
    plan, final = run.plan(), run.final()
    if not golden.is_file():
        raise RunError(f"the golden clip {golden} is not there", "Name a small clip, best of one of the actions.")
    if directory.exists() and not (directory / CARD).is_file() and any(directory.iterdir()):
        raise RunError(f"{directory} is not empty and holds no bundle", "Name a new directory.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=directory.parent) as beside:
        made = Path(beside) / directory.name
        made.mkdir()
        card = _make(run, plan, final, made, golden, title)
        shutil.rmtree(directory, ignore_errors=True)
        made.rename(directory)
    return card


def _make(run: Run, plan: Plan, final: Final, directory: Path, golden: Path, title: Title) -> Card:
    head = load_head(run, final)
    clip = directory / f"golden{golden.suffix.lower()}"
    shutil.copyfile(golden, clip)
    for kind in final.config.features:
        shutil.copyfile(run.encoder(kind), directory / f"{kind}.onnx")
    write_recurrent(head, directory / _RECURRENT)
    card = _card(plan, final, head, title, _metrics(plan, rows(plan, run.trials())), clip.name)
    twins = run.twins()
    if twins is not None:
        for kind in final.config.features:
            shutil.copyfile(run.twin(kind), directory / _twin(kind))
        card = _with_twins(card, twins, plan)
    # The recurrent graph alone is this bundle's own: others, of another name and version, may share its encoders.
    write_metadata(directory / _RECURRENT, metadata(card))
    records = {name: _record(card.path(directory, name), old) for name, old in card.files.items()}
    card = _write(directory, card.model_copy(update={"files": records}))
    scores = _golden_scores(directory, clip, "fp32")
    card = card.model_copy(update={"golden": Golden(clip=clip.name, scores=scores)})
    if card.int8 is not None:
        int8 = card.int8.model_copy(update={"scores": _golden_scores(directory, clip, "int8")})
        card = card.model_copy(update={"int8": int8})
    return _write(directory, card)


def _record(path: Path, old: FileRecord) -> FileRecord:
    return old.model_copy(update={"sha256": sha256(path), "bytes": path.stat().st_size})


def _golden_scores(directory: Path, clip: Path, precision: Precision) -> tuple[float, ...]:
    bundle = Bundle.load(directory, Device.choose("cpu", 1), precision)
    return tuple(answer(bundle, clip.read_bytes()).tolist())


def _twin(kind: str) -> str:
    return f"{kind}.int8.onnx"


def _with_twins(card: Card, twins: Twins, plan: Plan) -> Card:
    """The card with its twins, but for their golden scores, which are known when the files are there."""
    split = (
        f"{plan.folds}-fold cross-validation, no source in two folds, mean of {plan.seeds} repetition(s); "
        "the same heads on both, twins calibrated without the fold tested"
    )
    int8 = Int8(accuracy_fall=round(twins.fall, 2), clips=plan.clips, split=split, scores=(0.0,) * len(plan.labels))
    measured = (
        ("accuracy, heads trained anew", twins.accuracy),
        ("accuracy in int8, the same heads", twins.accuracy_int8),
    )
    metrics = (Metric(name=name, value=round(value, 4), clips=plan.clips, split=split) for name, value in measured)
    return card.model_copy(
        update={
            "evidence": tuple(kind.model_copy(update={"int8": _twin(kind.name)}) for kind in card.evidence),
            "int8": int8,
            "files": card.files | dict.fromkeys((_twin(kind.name) for kind in card.evidence), _UNKNOWN),
            "metrics": (*card.metrics, *metrics),
        }
    )


def _card(plan: Plan, final: Final, head: Classifier, title: Title, metrics: tuple[Metric, ...], clip: str) -> Card:
    """The card, but for the files' records and the golden scores, which are known when the files are there."""
    evidence = tuple(
        Evidence(**kind.model_dump(), features=final.config.features[kind.name], file=f"{kind.name}.onnx")
        for kind in plan.recipe.evidence
        if kind.name in final.config.features
    )
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
        ),
        temperature=final.calibrated.temperature,
        golden=Golden(clip=clip, scores=(0.0,) * len(plan.labels)),
        files=dict.fromkeys((*(kind.file for kind in evidence), _RECURRENT, clip), _UNKNOWN),
        metrics=metrics,
        licences=title.licences,
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


def _write(directory: Path, card: Card) -> Card:
    (directory / CARD).write_text(card.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return card
