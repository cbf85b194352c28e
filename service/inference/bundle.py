"""A bundle, loaded: its card held against its files and its graphs, and refused where they disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from service.errors import BundleError, BundleMismatch
from service.inference.calibrate import best_batch, seconds_a_step
from service.inference.card import CARD, LENGTHS, LOGITS, NEXT, Card, Evidence, FileRecord, Precision, sha256
from service.inference.sequence import Sequence
from service.inference.session import Device, Encoder, Recurrent, Session, Tensor
from service.inference.whole import TYPES, Whole, axes
from service.inference.window import Answered, Gathering, Intake, Passing, WindowReader
from service.video.decode import Emit

_FLOAT, _UINT8, _INT64 = "tensor(float)", "tensor(uint8)", "tensor(int64)"

PrecisionName = Literal["auto", "fp32", "int8"]

# The most points of accuracy that `auto` gives for speed; less than chance moves the figure on any set of clips.
_MOST_FALL = 0.5


@dataclass(frozen=True, slots=True)
class Bundle:
    """One deployable model, ready to run.

    Attributes:
        card: its truth about itself, with the golden scores of the precision in use.
        encoders: by kind of evidence.
        recurrent: the head.
        golden_clip: the encoded clip that it is checked with.
        precision: what the encoders compute in.
        max_batch: pictures in a batch.
    """

    card: Card
    encoders: Mapping[str, Encoder]
    recurrent: Recurrent
    golden_clip: bytes
    precision: Precision
    max_batch: int

    @classmethod
    def load(cls, directory: Path, device: Device, precision: PrecisionName = "fp32") -> Bundle:
        """Loads and verifies a bundle.

        Args:
            directory: where it is.
            device: where its graphs run.
            precision: `auto` takes int8 where the card says that it costs less than half a point of accuracy and this
                machine is faster with it.

        Raises:
            BundleError: no card, a card that is not valid, a file that is no graph, or int8 is asked for where there
                are no twins.
            BundleMismatch: card and files contradict each other; the detail names both sides.
        """
        card = Card.read(directory)
        check_files(directory, card)
        if card.whole is not None:
            return cls._load_whole(directory, card, card.whole, device, precision)
        loaded = {one: _encoders(directory, card, device, one) for one in _precisions(card, precision)}
        session = Session(card.path(directory, card.recurrent.file), device)
        for one, encoders in loaded.items():
            for kind in card.evidence:
                _check_tensors(_file(kind, one), encoders[kind.name].session, _encoder_tensors(kind))
                _check_picture(_file(kind, one), encoders[kind.name], kind)
        _check_tensors(card.recurrent.file, session, _recurrent_tensors(card))
        # Encoders may belong to several bundles, so that their metadata are nobody's.
        _check_metadata(card.recurrent.file, session, card)
        recurrent = Recurrent(session, {part.name: part.size for part in card.recurrent.state})
        _check_step(card, recurrent)
        chosen = _fastest(loaded, card, device.max_batch)
        return cls(
            card.served_in(chosen),
            loaded[chosen],
            recurrent,
            golden_clip=card.path(directory, card.golden.clip).read_bytes(),
            precision=chosen,
            max_batch=best_batch(lambda batch: seconds_a_step(loaded[chosen], card.evidence, batch), device.batches),
        )

    @classmethod
    def _load_whole(cls, directory: Path, card: Card, whole: Whole, device: Device, precision: PrecisionName) -> Bundle:
        """Loads a bundle whose one graph reads whole windows."""
        (used,) = _precisions(card, precision)
        (kind,) = card.evidence
        session = Session(card.path(directory, kind.file), device, half=whole.half)
        _check_tensors(kind.file, session, _window_tensors(card, whole, session))
        reader = WindowReader(session, kind, whole, card.sampling.clip_len)
        _check_window(card, reader)
        encoders = {kind.name: reader}
        return cls(
            card,
            encoders,
            Answered(session, kind.name),
            golden_clip=card.path(directory, card.golden.clip).read_bytes(),
            precision=used,
            max_batch=whole.batch
            or best_batch(lambda batch: seconds_a_step(encoders, card.evidence, batch), device.batches),
        )

    def intake(self, emit: Emit) -> Intake:
        """What the pictures of one clip go through on their way to the encoders.

        Args:
            emit: receives what encoders read.
        """
        return Passing(emit) if self.card.whole is None else Gathering(self.card.sampling.clip_len, emit)


def _precisions(card: Card, wanted: PrecisionName) -> tuple[Precision, ...]:
    """The precisions that come into question.

    Raises:
        BundleError: int8 is asked for where there are no twins.
    """
    if wanted == "int8" and card.int8 is None:
        raise BundleError(
            f"{card.name} {card.version} has no int8 twins",
            "Set KINEMA_PRECISION to auto or fp32, or make twins: `kinema quantize`, then `kinema export`.",
        )
    if wanted != "auto":
        return (wanted,)
    return ("fp32", "int8") if card.int8 and card.int8.accuracy_fall < _MOST_FALL else ("fp32",)


def _file(kind: Evidence, precision: Precision) -> str:
    return kind.int8 if precision == "int8" and kind.int8 else kind.file


def _encoders(directory: Path, card: Card, device: Device, precision: Precision) -> dict[str, Encoder]:
    return {
        kind.name: Encoder(Session(card.path(directory, _file(kind, precision)), device), kind)
        for kind in card.evidence
    }


def _fastest(loaded: Mapping[Precision, Mapping[str, Encoder]], card: Card, batch: int) -> Precision:
    if len(loaded) == 1:
        return next(iter(loaded))
    return min(loaded, key=lambda one: seconds_a_step(loaded[one], card.evidence, batch))


def metadata(card: Card) -> dict[str, str]:
    """What the metadata of a bundle's recurrent graph says: the part of the card without which it is no use."""
    return {
        "kinema.name": card.name,
        "kinema.version": card.version,
        "kinema.labels": json.dumps(card.labels),
        "kinema.sampling": json.dumps(card.sampling.model_dump()),
    }


def check_files(directory: Path, card: Card) -> None:
    """Holds the files of a bundle against the sha256 that its card gives.

    Raises:
        BundleMismatch: a file is missing or is another one.
    """
    for name, record in card.files.items():
        path = card.path(directory, name)
        if not path.is_file():
            raise _missing(directory, name, record)
        found = sha256(path)
        if found != record.sha256:
            raise _mismatch(f"{CARD} gives {name} the sha256 {record.sha256}", f"the file's is {found}")


Expected = tuple[list[Tensor], list[Tensor]]
"""The inputs and outputs that a graph must have."""


def _encoder_tensors(kind: Evidence) -> Expected:
    maps = [] if kind.map is None else [Tensor(Encoder.MAP, (None, *kind.map.shape), _FLOAT)]
    return (
        [Tensor(Encoder.INPUT, (None, kind.size, kind.size, 3), _UINT8)],
        [Tensor(Encoder.OUTPUT, (None, kind.features), _FLOAT), *maps],
    )


def _recurrent_tensors(card: Card) -> Expected:
    evidence = [
        Tensor(name, (None, None, *shape), _FLOAT) for kind in card.evidence for name, shape in kind.inputs.items()
    ]
    state = [Tensor(part.name, (None, part.size), _FLOAT) for part in card.recurrent.state]
    following = [Tensor(NEXT + part.name, part.shape, part.type) for part in state]
    logits = Tensor(LOGITS, (None, None, len(card.labels)), _FLOAT)
    further = [
        Tensor(one.name, (None, *(None if side == "steps" else side for side in one.axes)), _FLOAT)
        for one in card.recurrent.outputs
    ]
    familiarity = [] if card.abstention is None else [Tensor(card.abstention.output, (None, 1), _FLOAT)]
    return [*evidence, Tensor(LENGTHS, (None,), _INT64), *state], [logits, *following, *further, *familiarity]


def _window_tensors(card: Card, whole: Whole, session: Session) -> Expected:
    (kind,) = card.evidence
    sides = {"b": whole.batch, "t": card.sampling.clip_len, "c": 3, "h": kind.size, "w": kind.size}
    clip = Tensor(whole.input, tuple(sides[axis] for axis in axes(whole.layout)), TYPES[whole.type])
    zeros = [
        Tensor(one.name, tuple(whole.batch if side == "batch" else side for side in one.shape), TYPES[one.type])
        for one in whole.zeros
    ]
    lengths = [Tensor(name, (whole.batch,), _INT64) for name in whole.lengths]
    answers = [one for one in session.outputs if one.name == whole.output]
    # What an exporter writes of an output's sides may be wrong; how many labels there are, a run tells.
    return [clip, *zeros, *lengths], answers or [Tensor(whole.output, (None, len(card.labels)), TYPES[whole.type])]


def _check_window(card: Card, reader: WindowReader) -> None:
    (kind,) = card.evidence
    try:
        found = reader.encode([reader.blank(kind.size)])[kind.name].shape
    except Exception as error:  # whatever onnxruntime raises: it has no error of its own for shapes that do not fit
        raise _mismatch(f"by {CARD}, {kind.file} reads windows of that shape", f"it fails: {error}") from error
    if found != (1, len(card.labels)):
        raise _mismatch(
            f"by {CARD}, {kind.file} tells {len(card.labels)} labels apart",
            f"the graph's answer to one window is {' x '.join(map(str, found))} numbers",
        )


def _check_tensors(file: str, session: Session, expected: Expected) -> None:
    for side, wanted, found in zip(("input", "output"), expected, (session.inputs, session.outputs), strict=True):
        for tensor in _differing(wanted, {one.name: one for one in found}):
            raise _mismatch(
                f"by {CARD}, {file} has the {side} {tensor}",
                f"the graph's {side}s are {'; '.join(map(str, found))}",
            )
        surplus = {one.name for one in found} - {one.name for one in wanted}
        if surplus and side == "input":
            raise _mismatch(f"{CARD} knows no input {', '.join(sorted(surplus))} of {file}", "the graph needs it")


def _check_metadata(file: str, session: Session, card: Card) -> None:
    for key, value in metadata(card).items():
        stated = session.metadata.get(key)
        if stated is None or (stated != value and _plain(stated) != _plain(value)):
            raise _mismatch(f"{CARD} gives {key} as {value}", f"the metadata of {file} as {stated}")


def _plain(value: str) -> object:
    """What a JSON text says, however it is spaced; what is none says itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _check_picture(file: str, encoder: Encoder, kind: Evidence) -> None:
    """Encodes a picture where the graph leaves open what its features and its map measure."""
    if all(None not in tensor.shape[1:] for tensor in encoder.session.outputs):
        return
    for name, rows in encoder.encode([np.zeros((kind.size, kind.size, 3), dtype=np.uint8)]).items():
        if rows.shape[1:] != kind.inputs[name]:
            raise _mismatch(
                f"by {CARD}, {file} gives {name} of {kind.inputs[name]} for a picture", f"the graph {rows.shape[1:]}"
            )


def _check_step(card: Card, recurrent: Recurrent) -> None:
    """Takes steps from zeros: an exported graph may leave open how many labels it has, and what its state measures."""
    steps = 2  # one could not be told from a side of 1
    sequence = Sequence(card.evidence)
    for kind in card.evidence:
        for step in range(0, steps, kind.cadence):
            for name, shape in kind.inputs.items():
                sequence.put(name, 0, step, np.zeros(shape, dtype=np.float32))
    try:
        read = recurrent.read(sequence.inputs((steps,)), outputs=[output.name for output in card.recurrent.outputs])
    except Exception as error:  # whatever onnxruntime raises: it has no error of its own for shapes that do not fit
        raise _mismatch(f"by {CARD}, {card.recurrent.file} reads what encoders give", f"it fails: {error}") from error
    given = {LOGITS: read.logits} | {NEXT + name: part for name, part in read.state.items()}
    sizes = {LOGITS: len(card.labels)} | {NEXT + part.name: part.size for part in card.recurrent.state}
    for name, size in sizes.items():
        if given[name].shape != (1, size):
            raise _mismatch(
                f"by {CARD}, {card.recurrent.file} gives {name} of {size} numbers a step",
                f"the graph gives {', '.join(map(str, given[name].shape[1:]))}",
            )
    for output in card.recurrent.outputs:
        found = read.outputs[output.name].shape
        if found != (1, *output.shape(steps)):
            raise _mismatch(
                f"by {CARD}, {card.recurrent.file} gives {output.name} of {output.shape(steps)} for {steps} steps",
                f"the graph gives {found[1:]}",
            )


def _differing(wanted: list[Tensor], found: Mapping[str, Tensor]) -> Iterator[Tensor]:
    for tensor in wanted:
        there = found.get(tensor.name)
        # A graph may leave open what the card fixes, since the card then decides; never the reverse.
        fits = there is not None and there.type == tensor.type and len(there.shape) == len(tensor.shape)
        if (
            there is None
            or not fits
            or any(has is not None and has != wants for has, wants in zip(there.shape, tensor.shape, strict=True))
        ):
            yield tensor


def _mismatch(one_side: str, other_side: str) -> BundleMismatch:
    return BundleMismatch(f"{one_side}, but {other_side}", "Export the bundle anew, or fetch it again whole.")


def _missing(directory: Path, name: str, record: FileRecord) -> BundleMismatch:
    if record.beside is None:
        return _mismatch(f"{CARD} lists {name}", f"{directory} has no such file")
    own = directory.resolve()
    return BundleMismatch(
        f"{CARD} lists {name} in {record.beside}, but {own.parent / record.beside} has no such file",
        f"Bundles that share files have to be kept together: put the directory {record.beside} beside {own.name}.",
    )
