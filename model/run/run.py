"""A training run: the directory in which everything that it decides and finds is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ValidationError

from model.data.dataset import Clip, Dataset
from model.run.choice import Choice
from model.run.errors import RunError
from model.run.final import Final
from model.run.held_out import HeldOut
from model.run.plan import Plan
from model.run.request import Request
from model.run.survey import Survey
from model.training.trial import Trial
from model.training.twins import Twins
from model.training.variant import Variant
from model.whole import write_json
from service.inference.place import TRAINING

PLAN = "plan.json"

Kept = TypeVar("Kept", bound=BaseModel)


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
        write_json(path, request)
        return run

    def survey(self) -> Survey | None:
        """What was found out before anything was trained, if the run has come so far."""
        return self._found("survey.json", Survey)

    def keep_survey(self, survey: Survey) -> None:
        """Writes what was found out before anything was trained."""
        write_json(self.directory / "survey.json", survey)

    def keep_plan(self, plan: Plan) -> None:
        """Writes what is to be done."""
        write_json(self.directory / PLAN, plan)

    def choice(self) -> Choice | None:
        """Which head was chosen, if the run has come so far."""
        return self._found("choice.json", Choice)

    def keep_choice(self, choice: Choice) -> None:
        """Writes which head was chosen."""
        write_json(self.directory / "choice.json", choice)

    def held_out(self) -> HeldOut | None:
        """What was answered to the clips of the user's own split, if there are any."""
        return self._found("held-out.json", HeldOut)

    def keep_held_out(self, answers: HeldOut) -> None:
        """Writes what was answered to the clips of the user's own split."""
        write_json(self.directory / "held-out.json", answers)

    def plan(self) -> Plan:
        """What the run was asked to do.

        Raises:
            RunError: there is no run in the directory.
        """
        return self._read(PLAN, Plan)

    def keep_clips(self, dataset: Dataset) -> None:
        """Writes which clips the run is made of, so that it can be judged without being told them again."""
        clips = tuple(replace(clip, path=clip.path.absolute()) for clip in dataset.clips)
        write_json(self.directory / "clips.json", _Clips(clips=clips))

    def dataset(self) -> Dataset | None:
        """The clips that the run is made of; None where it does not say, since an older version made it."""
        found = self._found("clips.json", _Clips)
        return None if found is None else Dataset(found.clips)

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
        return self._found(_trial(variant, seed, fold), Trial)

    def trials(self) -> tuple[Trial, ...]:
        """All trials that have been done, in order of variant, seed and fold."""
        plan = self.plan()
        # A head that there was no time to try on every fold is not in the plan.
        done = [one for one in self._trials() if one.variant in plan.variants]
        return tuple(sorted(done, key=lambda one: (plan.variants.index(one.variant), one.seed, one.fold)))

    def trials_of(self, plan: Plan) -> dict[Variant, list[Trial]]:
        """The trials of each head that has been tried on every fold of every repetition."""
        wanted = plan.folds * plan.seeds
        done = self._trials()
        found = {one: [trial for trial in done if trial.variant == one] for one in plan.variants}
        return {one: trials for one, trials in found.items() if len(trials) == wanted}

    def keep(self, trial: Trial) -> None:
        """Writes a trial."""
        write_json(self.directory / _trial(trial.variant, trial.seed, trial.fold), trial)

    def final(self) -> Final:
        """What is known of the head that is kept.

        Raises:
            RunError: the run has not come so far.
        """
        return self._read("final.json", Final)

    def finish(self, final: Final) -> None:
        """Writes what is known of the head that is kept."""
        write_json(self.directory / "final.json", final)

    def twins(self) -> Twins | None:
        """What is known of the encoders' int8 twins, if they have been made."""
        return self._found("int8.json", Twins)

    def keep_twins(self, twins: Twins) -> None:
        """Writes what is known of the encoders' int8 twins."""
        write_json(self.directory / "int8.json", twins)

    def _trials(self) -> list[Trial]:
        """All trials that are kept, in the order of their files' names."""
        names = sorted((self.directory / "trials").glob("*.json"))
        return [self._read(f"trials/{path.name}", Trial) for path in names]

    def _found(self, name: str, model: type[Kept]) -> Kept | None:
        """What a file holds; None where the run has not come so far."""
        return self._read(name, model) if (self.directory / name).is_file() else None

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


def _trial(variant: Variant, seed: int, fold: int) -> str:
    return f"trials/{variant.name}-{seed}-{fold}.json"
