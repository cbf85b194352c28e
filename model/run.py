"""A training run: the directory in which everything that it decides and finds is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from model.data import NO_FOLD, Clip, Dataset
from model.evaluate import Calibration, wilson
from model.net.classifier import MAP_HEADS, ClassifierConfig, HeadName
from model.recipe import Recipe
from model.train import Epoch, TrainConfig
from model.views import Augmentation
from service.errors import KinemaError
from service.inference.card import Abstention
from service.inference.place import TRAINING

PLAN = "plan.json"

Kept = TypeVar("Kept", bound=BaseModel)


class RunError(KinemaError):
    """A run directory that does not fit what is asked of it."""


_CALLED: Mapping[HeadName, str] = {"mean": "mean-pooled", "lstm": "LSTM"}
"""The heads whose names say too little."""


class Variant(BaseModel):
    """One head to cross-validate: which family, over which kinds of evidence, and how hard it is held back.

    Attributes:
        decay: the weight decay, where it is another than the plan's.
        tuned: whether it reads what tuned encoders see, those of each fold without that fold.
    """

    model_config = ConfigDict(frozen=True)

    head: HeadName
    kinds: tuple[str, ...]
    decay: float | None = None
    tuned: bool = False

    @property
    def name(self) -> str:
        """For files and tables, for example `lstm-appearance+motion`."""
        decay = "" if self.decay is None else f"-decay-{self.decay:g}"
        return f"{self.head}-{'+'.join(self.kinds)}{decay}{'-tuned' if self.tuned else ''}"

    def called(self, kinds: Sequence[str]) -> str:
        """For people, where these kinds are all: for example `LSTM, appearance alone, weight decay 10`."""
        head = _CALLED.get(self.head, self.head)
        some = "" if set(self.kinds) == set(kinds) else f", {' and '.join(self.kinds)} alone"
        decay = "" if self.decay is None else f", weight decay {self.decay:g}"
        return f"{head}{some}{decay}{', tuned encoders' if self.tuned else ''}"

    def training(self, usual: TrainConfig) -> TrainConfig:
        """How it is trained, where others are trained as usual."""
        return usual if self.decay is None else replace(usual, decay=self.decay)


def variants(head: HeadName, kinds: tuple[str, ...], *, baselines: bool) -> tuple[Variant, ...]:
    """The head to keep and what it is compared with: the mean-pooled head over all kinds, and over each kind alone."""
    alone = [Variant(head="mean", kinds=(kind,)) for kind in kinds]
    compared = [Variant(head="mean", kinds=kinds), *alone] if baselines else []
    return tuple(dict.fromkeys((Variant(head=head, kinds=kinds), *compared)))


class Plan(BaseModel):
    """All that a run was asked to do; two runs with one plan do the same.

    Attributes:
        dataset: the digest of the labelled clips.
        labels: the actions, in the order of their ids.
        clips: how many clips.
        folds: how many folds.
        views: views of each clip that training draws from.
        seeds: how many times cross-validation is repeated.
        variants: the heads to cross-validate; the first is the one to keep.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    labels: tuple[str, ...]
    clips: int
    folds: int
    recipe: Recipe
    augmentation: Augmentation
    training: TrainConfig
    views: int
    seeds: int
    variants: tuple[Variant, ...]

    def keeping(self, chosen: Variant, tried: Mapping[Variant, Sequence[Trial]]) -> Plan:
        """The same plan with the head that is kept first, and without heads that were not tried."""
        others = [one for one in self.variants if one in tried and one != chosen]
        return self.model_copy(update={"variants": (chosen, *others)})

    @property
    def mapped(self) -> str | None:
        """The kind of evidence whose encoder has a map: the first that shows frames, where a head reads a map.

        Raises:
            RunError: none shows frames.
        """
        if not any(one.head in MAP_HEADS for one in self.variants):
            return None
        frames = [kind.name for kind in self.recipe.evidence if kind.picture == "rgb"]
        if not frames:
            raise RunError("the head reads the positions of a frame, and the recipe has no rgb", "Choose another head.")
        return frames[0]

    def check(self, dataset: Dataset) -> None:
        """Holds a data set against the one that was planned for.

        Raises:
            RunError: it is another.
        """
        if dataset.digest != self.dataset:
            raise RunError("the run was trained on other clips than these", "Name the CSV that it was started with.")


class Trial(BaseModel):
    """One fold of one repetition, tested once.

    Attributes:
        epochs: how many were chosen, on another fold than the one tested.
        clips: the tested clips' places in the data set.
        logits: of each tested clip, one for each label.
        right: how many of them were recognised.
        chosen_by: every epoch of the training in which the number was chosen; empty where too few folds are left.
        trained: every epoch of the training that was tested.
    """

    variant: Variant
    seed: int
    fold: int
    epochs: int
    clips: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    right: int
    chosen_by: tuple[Epoch, ...]
    trained: tuple[Epoch, ...]


class Comparison(BaseModel):
    """One fold of one repetition, tested on features of the encoders and on those of their int8 twins.

    Attributes:
        clips: how many were tested.
        right, right_int8: how many of them were recognised.
        changed: to how many the twins made the answer another.
        highest_int8: the highest logit of each clip tested, in order of the data set.
    """

    seed: int
    fold: int
    clips: int
    right: int
    right_int8: int
    changed: int
    highest_int8: tuple[float, ...] = ()


class Twins(BaseModel):
    """What int8 costs: the same heads on both features, every fold of every repetition.

    Attributes:
        calibrated: on what the twins were.
    """

    comparisons: tuple[Comparison, ...]
    calibrated: str = "twins calibrated without the fold tested"

    @property
    def accuracy(self) -> float:
        """With the encoders as they are."""
        return sum(one.right for one in self.comparisons) / self._tests

    @property
    def accuracy_int8(self) -> float:
        """With their twins."""
        return sum(one.right_int8 for one in self.comparisons) / self._tests

    @property
    def seeds(self) -> int:
        """How many repetitions were measured."""
        return len({one.seed for one in self.comparisons})

    @property
    def fall(self) -> float:
        """How many points of accuracy the twins lose, negative where they gain."""
        return 100 * (self.accuracy - self.accuracy_int8)

    @property
    def changed(self) -> float:
        """The share of answers that the twins make another."""
        return sum(one.changed for one in self.comparisons) / self._tests

    @property
    def _tests(self) -> int:
        return sum(one.clips for one in self.comparisons)


class Final(BaseModel):
    """The head that is kept, trained on all folds.

    Attributes:
        config: its network.
        epochs: how many it was trained for: the mean of what the trials chose.
        uncalibrated, calibrated: before and after a temperature was fitted, on the logits that the trials gave to the
            clips that they tested.
        abstention: how the head says that it does not know a clip.
    """

    config: ClassifierConfig
    epochs: int
    uncalibrated: Calibration
    calibrated: Calibration
    trained: tuple[Epoch, ...]
    abstention: Abstention | None = None

    def knowing(self, **measured: object) -> Self:
        """The same with more known of its abstention, which it has."""
        assert self.abstention is not None
        return self.model_copy(update={"abstention": self.abstention.model_copy(update=measured)})


class Request(BaseModel):
    """What was asked for: a run is gone on with where the same is asked for.

    Attributes:
        clips: a sha256 over what was found: every clip's name, content, label and all else that is stated of it.
        head: the head asked for; None where one is to be chosen.
        views, seeds: None where they follow from the number of clips.
        folds: the most folds.
        epochs: the most epochs.
        patience: epochs without a better one after which training stops; 0 trains for all.
        minutes: the most that all may take; None for as long as it takes.
        baselines: whether each kind of evidence is cross-validated alone, too.
        int8: whether int8 twins are made.
        finetune: whether encoders are tuned, and kept where that is better.
    """

    model_config = ConfigDict(frozen=True)

    clips: str
    recipe: Recipe
    head: HeadName | None
    views: int | None
    seeds: int
    folds: int
    epochs: int
    patience: int
    minutes: float | None
    baselines: bool
    int8: bool
    finetune: bool = False


class Survey(BaseModel):
    """What was found out of the clips before anything was trained.

    Attributes:
        layout, sources, folds: sentences: how the clips lie, how sources were told, how folds were made.
        advice: sentences: what would help, what is doubtful.
        skipped: files that are not used, and why.
        clips: those that are, each with source and fold; those kept out by the user's own split have the fold -1.
        views: how many of each are looked at.
    """

    layout: str
    sources: str
    folds: str
    advice: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...]
    clips: tuple[Clip, ...]
    views: int

    @property
    def inside(self) -> Dataset:
        """The clips that are trained on."""
        return Dataset(tuple(clip for clip in self.clips if clip.fold != NO_FOLD))

    @property
    def outside(self) -> Dataset:
        """The clips that are kept out."""
        return Dataset(tuple(clip for clip in self.clips if clip.fold == NO_FOLD))


class Contender(BaseModel):
    """One head of those to choose from.

    Attributes:
        nll: the mean negative log-likelihood of the right label over all clips, each answered by a head that was not
            trained on it, after a temperature was fitted; in nats.
        behind: how much more than the least that is.
        error: one standard error of that difference, over sources.
        accuracy: the share of the clips that it got right.
    """

    variant: Variant
    nll: float
    behind: float
    error: float
    accuracy: float


class Choice(BaseModel):
    """Which head was chosen, of which.

    Attributes:
        why: a sentence.
    """

    contenders: tuple[Contender, ...]
    chosen: Variant
    why: str


class HeldOut(BaseModel):
    """What was answered to clips that the user's own split keeps out.

    Attributes:
        logits: of each clip, by the head that is kept.
        right, mean_right: how many it, and the mean-pooled head, got right.
    """

    logits: tuple[tuple[float, ...], ...]
    right: int
    mean_right: int

    @property
    def clips(self) -> int:
        """How many there are."""
        return len(self.logits)

    @property
    def sentence(self) -> str:
        """How good that is, for people."""
        interval = wilson(self.right, self.clips)
        return (
            f"Of the {self.clips:,} clips that your split keeps out, {100 * self.right / self.clips:.1f} % are right "
            f"(95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f}); the mean-pooled head "
            f"{100 * self.mean_right / self.clips:.1f} %."
        )


class _Clips(BaseModel):
    """The clips that a run is made of."""

    clips: tuple[Clip, ...]


class Run:
    """The files of a run.

    Each result is written whole when it is found, so an interrupted run goes on from there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.head = directory / "head.pt"
        self.table = directory / "table.csv"
        self.log = directory / "log.jsonl"
        self.confusion = directory / "confusion.csv"
        self.int8 = directory / "int8.csv"

    @property
    def name(self) -> str:
        """That of its model's directory, where it is in one, else of its own."""
        own = self.directory.resolve()
        return own.parent.name if own.name == TRAINING else own.name

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run in a directory, or that of the model in it, which keeps its run in `training/`."""
        inside = path / TRAINING
        return cls(inside if (inside / PLAN).is_file() else path)

    @classmethod
    def start(cls, model: Path, request: Request, *, resume: bool) -> Self:
        """Opens the run of a model, new or interrupted.

        Args:
            model: the model's directory; the run is in its `training/`.
            request: what is asked of it.
            resume: whether to go on with one that is there.

        Raises:
            RunError: the directory holds a run and is not to be resumed, or the run in it was asked for something else,
                or it holds something else.
        """
        run = cls(model / TRAINING)
        path = run.directory / "request.json"
        if path.is_file():
            if not resume:
                raise RunError(f"{model} holds a run already", "`--resume` goes on with it.")
            if run._read("request.json", Request) != request:
                raise RunError(
                    f"the run in {model} has another plan, or its clips have changed",
                    "Repeat its options, or name a new directory.",
                )
        elif model.exists() and (not model.is_dir() or any(model.iterdir())):
            raise RunError(f"{model} is not empty and holds no run", "Name a new directory.")
        _write(path, request)
        return run

    def survey(self) -> Survey | None:
        """What was found out before anything was trained, if the run has come so far."""
        return self._read("survey.json", Survey) if (self.directory / "survey.json").is_file() else None

    def keep_survey(self, survey: Survey) -> None:
        """Writes what was found out before anything was trained."""
        _write(self.directory / "survey.json", survey)

    def keep_plan(self, plan: Plan) -> None:
        """Writes what is to be done."""
        _write(self.directory / PLAN, plan)

    def choice(self) -> Choice | None:
        """Which head was chosen, if the run has come so far."""
        return self._read("choice.json", Choice) if (self.directory / "choice.json").is_file() else None

    def keep_choice(self, choice: Choice) -> None:
        """Writes which head was chosen."""
        _write(self.directory / "choice.json", choice)

    def held_out(self) -> HeldOut | None:
        """What was answered to the clips of the user's own split, if there are any."""
        return self._read("held-out.json", HeldOut) if (self.directory / "held-out.json").is_file() else None

    def keep_held_out(self, answers: HeldOut) -> None:
        """Writes what was answered to the clips of the user's own split."""
        _write(self.directory / "held-out.json", answers)

    def plan(self) -> Plan:
        """What the run was asked to do.

        Raises:
            RunError: there is no run in the directory.
        """
        return self._read(PLAN, Plan)

    def keep_clips(self, dataset: Dataset) -> None:
        """Writes which clips the run is made of, so that it can be judged without being told them again."""
        clips = tuple(replace(clip, path=clip.path.absolute()) for clip in dataset.clips)
        _write(self.directory / "clips.json", _Clips(clips=clips))

    def dataset(self) -> Dataset | None:
        """The clips that the run is made of; None where it does not say, since an older version made it."""
        if not (self.directory / "clips.json").is_file():
            return None
        return Dataset(self._read("clips.json", _Clips).clips)

    def encoder(self, kind: str) -> Path:
        """The ONNX encoder of a kind of evidence that the model has: the tuned one, where it is kept."""
        tuned = self.tuned(kind, None)
        return tuned if tuned.is_file() else self.frozen(kind)

    def frozen(self, kind: str) -> Path:
        """The ONNX encoder of a kind of evidence as it was published."""
        return self.directory / "encoders" / f"{kind}.onnx"

    def tuned(self, kind: str, fold: int | None) -> Path:
        """The ONNX encoder that was tuned without a fold, or on all clips; its weights lie beside it."""
        return self.directory / "encoders" / ("tuned" if fold is None else f"fold-{fold}") / f"{kind}.onnx"

    def twin(self, kind: str) -> Path:
        """The int8 twin of a kind's encoder."""
        return self.directory / "encoders" / f"{kind}.int8.onnx"

    def trial(self, variant: Variant, seed: int, fold: int) -> Trial | None:
        """A trial, if it has been done."""
        name = f"trials/{variant.name}-{seed}-{fold}.json"
        return self._read(name, Trial) if (self.directory / name).is_file() else None

    def trials(self) -> tuple[Trial, ...]:
        """All trials that have been done, in order of variant, seed and fold."""
        plan = self.plan()
        names = sorted((self.directory / "trials").glob("*.json"))
        read = (self._read(f"trials/{path.name}", Trial) for path in names)
        # A head that there was no time to try on every fold is not in the plan.
        done = [one for one in read if one.variant in plan.variants]
        return tuple(sorted(done, key=lambda one: (plan.variants.index(one.variant), one.seed, one.fold)))

    def trials_of(self, plan: Plan) -> dict[Variant, list[Trial]]:
        """The trials of each head that has been tried on every fold of every repetition."""
        wanted = plan.folds * plan.seeds
        names = sorted((self.directory / "trials").glob("*.json"))
        done = [self._read(f"trials/{path.name}", Trial) for path in names]
        found = {one: [trial for trial in done if trial.variant == one] for one in plan.variants}
        return {one: trials for one, trials in found.items() if len(trials) == wanted}

    def keep(self, trial: Trial) -> None:
        """Writes a trial."""
        _write(self.directory / f"trials/{trial.variant.name}-{trial.seed}-{trial.fold}.json", trial)

    def final(self) -> Final:
        """What is known of the head that is kept.

        Raises:
            RunError: the run has not come so far.
        """
        return self._read("final.json", Final)

    def finish(self, final: Final) -> None:
        """Writes what is known of the head that is kept."""
        _write(self.directory / "final.json", final)

    def twins(self) -> Twins | None:
        """What is known of the encoders' int8 twins, if they have been made."""
        return self._read("int8.json", Twins) if (self.directory / "int8.json").is_file() else None

    def keep_twins(self, twins: Twins) -> None:
        """Writes what is known of the encoders' int8 twins."""
        _write(self.directory / "int8.json", twins)

    def _read(self, name: str, model: type[Kept]) -> Kept:
        path = self.directory / name
        try:
            return model.model_validate_json(path.read_bytes())
        except OSError as error:
            raise RunError(
                f"{self.directory} holds no {'finished ' if name == 'final.json' else ''}run: no {name} in it",
                "`kinema train` makes one, and `--resume` goes on with one that was interrupted.",
            ) from error
        except ValidationError as error:
            raise RunError(f"{path} cannot be read: {error.errors()[0]['msg']}", "Start a new run.") from error


def _write(path: Path, content: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
