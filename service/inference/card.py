"""The card: a bundle's truth about itself.

A bundle is a directory with `card.json`, one ONNX encoder for each kind of evidence, `recurrent.onnx` and a golden
clip. The card names them all; nothing about a model is written anywhere in the code. A file that several bundles share
lies in a directory beside theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from service.errors import BundleError, faults
from service.inference.whole import Whole
from service.video.sample import SamplingPlan
from service.video.spec import Name, Part, PictureSpec

CARD = "card.json"
FORMAT = 1

LENGTHS = "lengths"
"""The recurrent graph's input that says how many steps of each row count."""
LOGITS, NEXT = "logits", "next_"
"""The recurrent graph's output of scores before the softmax, and what stands before the names of states come out."""

WHOLE = "whole"
"""The family of heads that are one graph with what they read; `whole` in the card says how it is fed."""

MAP = "_map"
"""What the name of an input of the recurrent graph ends in where it is a kind's map and not its features."""

Precision = Literal["fp32", "int8"]
"""What the encoders compute in."""

FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
"""A pattern that no path out of a directory fits."""
FileName = Annotated[str, Field(pattern=rf"^{FILE_NAME}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Sampling(Part):
    """The sampling plan as the card states it; see `service.video.sample`."""

    num_clips: PositiveInt = Field(description="the most windows that a clip is given")
    clip_len: PositiveInt = Field(description="recurrent steps in a window")
    fps: PositiveFloat = Field(description="steps a second")

    def plan(self, evidence: Iterable[PictureSpec]) -> SamplingPlan:
        """The plan to look for this evidence; it is anchored where any kind is measured between two frames."""
        anchored = any(kind.picture == "flow" for kind in evidence)
        return SamplingPlan(num_clips=self.num_clips, clip_len=self.clip_len, fps=self.fps, anchored=anchored)


class Grid(Part):
    """The sides of an encoder's map: a vector of features for each place of a grid laid over the picture."""

    rows: PositiveInt
    columns: PositiveInt
    channels: PositiveInt

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels."""
        return self.rows, self.columns, self.channels


class Evidence(PictureSpec):
    """One kind of evidence: which pictures are made, how often, and which encoder reads them."""

    features: PositiveInt = Field(description="length of the encoder's feature vector")
    map: Grid | None = Field(
        None, description="present where the head reads the encoder's map beside its features: its second output"
    )
    file: FileName
    int8: FileName | None = Field(None, description="the encoder's int8 twin, with the same input and outputs")

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """The inputs of the recurrent graph that this kind gives: by name, the shape of what each has of one step."""
        maps = {} if self.map is None else {self.name + MAP: self.map.shape}
        return {self.name: (self.features,), **maps}


class State(Part):
    """One tensor that the recurrent head carries from call to call, float32 [B, size]; it starts at zeros."""

    name: Name
    size: PositiveInt


class Output(Part):
    """What the recurrent head gives beside its logits, float32 [B, *axes], for example where it looked."""

    name: Name
    axes: tuple[PositiveInt | Literal["steps"], ...] = Field(
        description="the sides after the batch's: a number, or 'steps' for the recurrent steps of the window"
    )
    description: str

    def shape(self, steps: int) -> tuple[int, ...]:
        """Its sides after the batch's, for windows of so many steps."""
        return tuple(steps if side == "steps" else side for side in self.axes)


class Recurrent(Part):
    """The recurrent head."""

    head: Name = Field(description="the family that it belongs to, for example 'lstm'")
    file: FileName
    state: tuple[State, ...]
    streams: bool = Field(
        True,
        description="whether a clip read in chunks, with the state handed on, gets the answer of the whole clip; of a "
        "live stream, heads that do not read the last window anew for every answer",
    )
    outputs: tuple[Output, ...] = ()


class FileRecord(Part):
    """A file of the bundle."""

    sha256: Sha256
    bytes: PositiveInt
    beside: FileName | None = Field(
        None, description="a directory beside the bundle's own, in which bundles share this file"
    )


class Golden(Part):
    """A clip with the scores that this bundle gives it, by label; the service answers it before it is ready."""

    clip: FileName
    scores: tuple[float, ...]
    tolerance: PositiveFloat = 1e-3


class Int8(Part):
    """What the int8 twins of a bundle cost, all of them together, and the golden clip's scores with them."""

    accuracy_fall: float = Field(description="points of accuracy that they lose; negative where they gain")
    clips: PositiveInt = Field(description="number of clips it was measured on")
    split: str = Field(description="how those clips were kept apart from training")
    scores: tuple[float, ...] = Field(description="the golden clip's")
    # A value that lies between two integers is rounded to another one by another processor's last digit.
    tolerance: PositiveFloat = 1e-2


class Metric(Part):
    """One measured figure, with what it was measured on."""

    name: str
    value: float
    clips: PositiveInt = Field(description="number of clips it was measured on")
    split: str = Field(description="how those clips were kept apart from training")


class Strangers(Part):
    """How well clips of one kind that the model was not trained for are told from those that it was."""

    name: str
    clips: PositiveInt
    auroc: float = Field(
        ge=0, le=1, description="how often a known clip scores higher than a strange one; 0.5 is chance"
    )
    rejected: float = Field(ge=0, le=1, description="the share of them that the threshold rejects")


class Abstention(Part):
    """When an answer says that the clip is like nothing trained on.

    The score is a further output of the recurrent graph, float32 [B, 1], higher where a window is more like those
    trained on; a clip's is the mean over its windows.
    """

    output: Name
    score: str = Field(description="how the score is made, in words")
    threshold: float = Field(allow_inf_nan=False, description="a clip that scores less is abstained from")
    false_alarms: float = Field(ge=0, le=1, description="the share of known clips that the threshold rejects")
    false_alarms_int8: float | None = Field(None, ge=0, le=1, description="the same with the int8 twins")
    accuracy_cost: float = Field(description="points of accuracy lost where an answer rejected counts as wrong")
    clips: PositiveInt = Field(description="number of known clips it was measured on")
    split: str = Field(description="how those clips were kept apart from training")
    strangers: tuple[Strangers, ...] = ()


class Licences(Part):
    """Under which terms the weights may be used and the training data were published."""

    weights: str
    data: str


class Card(Part):
    """The whole card; `read` loads it, `service.inference.bundle` holds it against the graphs."""

    format: Literal[1]
    name: Name
    version: str
    description: str
    labels: tuple[str, ...] = Field(min_length=2)
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    sampling: Sampling
    recurrent: Recurrent
    whole: Whole | None = Field(None, description="present where one graph reads whole windows, and only there")
    temperature: PositiveFloat
    golden: Golden
    int8: Int8 | None = None
    abstention: Abstention | None = Field(None, description="present where the model says when it does not know a clip")
    files: dict[FileName, FileRecord]
    metrics: tuple[Metric, ...]
    licences: Licences

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for what, names in (
            ("labels", self.labels),
            ("evidence", tuple(kind.name for kind in self.evidence)),
            ("state", tuple(part.name for part in self.recurrent.state)),
            ("the recurrent graph's inputs", self._input_names),
            ("the recurrent graph's outputs", self._output_names),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} repeats a name: {', '.join(names)}")
        if not all(label.isprintable() for label in self.labels):
            raise ValueError("labels have characters that cannot be printed")
        if len(self.golden.scores) != len(self.labels):
            raise ValueError(f"{len(self.golden.scores)} golden scores for {len(self.labels)} labels")
        twins = {kind.int8 for kind in self.evidence if kind.int8}
        if bool(twins) != (self.int8 is not None):
            raise ValueError("'int8' has to say what int8 twins cost, where there are any, and only there")
        if self.int8 and len(self.int8.scores) != len(self.labels):
            raise ValueError(f"{len(self.int8.scores)} golden scores in int8 for {len(self.labels)} labels")
        unlisted = {*twins, *(kind.file for kind in self.evidence), self.recurrent.file, self.golden.clip} - set(
            self.files
        )
        if unlisted:
            raise ValueError(f"'files' does not list {', '.join(sorted(unlisted))}")
        self._has_one_graph_if_whole()
        return self

    def _has_one_graph_if_whole(self) -> None:
        if self.whole is None:
            return
        if self.abstention is not None:
            raise ValueError("with 'whole' there is no 'abstention': the graph gives nothing beside its answer")
        file = self.evidence[0].file
        if self.recurrent != Recurrent(head=WHOLE, file=file, state=(), streams=False):
            raise ValueError(f"with 'whole', 'recurrent' has the head {WHOLE!r}, the file {file} and nothing to carry")
        kinds = [(kind.picture, kind.cadence, kind.features, kind.map, kind.int8) for kind in self.evidence]
        if kinds != [("rgb", 1, len(self.labels), None, None)]:
            raise ValueError("with 'whole' there is one kind of evidence: rgb at every step, a feature for each label")

    @property
    def _input_names(self) -> tuple[str, ...]:
        evidence = (name for kind in self.evidence for name in kind.inputs)
        return (*evidence, LENGTHS, *(part.name for part in self.recurrent.state))

    @property
    def _output_names(self) -> tuple[str, ...]:
        state = (NEXT + part.name for part in self.recurrent.state)
        further = (output.name for output in self.recurrent.outputs)
        return (LOGITS, *state, *further, *(() if self.abstention is None else (self.abstention.output,)))

    @property
    def plan(self) -> SamplingPlan:
        """The sampling plan of this evidence."""
        return self.sampling.plan(self.evidence)

    def path(self, directory: Path, name: str) -> Path:
        """Where a file of the bundle is: in the bundle's directory, or in the one beside it where bundles share it.

        Args:
            directory: the bundle's; a link to it, or `.`, will do.
            name: one of `files`.

        Raises:
            KeyError: the card lists no such file.
        """
        beside, own = self.files[name].beside, directory.resolve()
        return own / name if beside is None else own.parent / beside / name

    def served_in(self, precision: Precision) -> Self:
        """The same card with the golden scores of that precision."""
        if precision == "fp32" or self.int8 is None:
            return self
        scores, tolerance = self.int8.scores, self.int8.tolerance
        return self.model_copy(
            update={"golden": self.golden.model_copy(update={"scores": scores, "tolerance": tolerance})}
        )

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads and validates `directory/card.json`.

        Raises:
            BundleError: there is no card, or it is not valid; the detail lists every field at fault.
        """
        path = directory / CARD
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BundleError(
                f"{directory} is not a bundle: {CARD} cannot be read ({error.strerror})",
                "Name a directory that `kinema export` or `kinema import` wrote.",
            ) from error
        except ValidationError as error:
            raise BundleError(
                f"{path} is not a valid card: {faults(error, 'card')}", "Export the bundle anew."
            ) from error


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
