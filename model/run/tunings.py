"""The tuned encoders of a run: one for each fold, trained without it, and those trained on all clips.

Each fold's heads are trained and tested on features of the encoders that were tuned without that fold. So what
cross-validation says of tuned encoders is as honest as what it says of heads.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.dataset import Dataset
from model.data.features import ClipFeatures, Extractor
from model.net.encoder import pretrained
from model.net.stage import Stage, trunk
from model.onnx.graph import write_encoder
from model.run.looks import Advance, Looks, look
from model.run.plan import Plan
from model.run.run import Run
from model.training import familiarity
from model.training.finetuning import Seen, TuneConfig, see, tune
from model.training.shelf import Shelf
from model.training.windows import Held, Windows
from model.whole import write_whole
from service.inference.card import MAP
from service.video.spec import PictureSpec


@dataclass
class Tunings:
    """Tunes the encoders of a run, and looks at its clips with them.

    Attributes:
        run: whose `encoders/` keeps what is trained.
        plan: its plan.
        dataset: the clips that it is made of.
        frozen: what encoders that were not tuned see in them.
        jobs: processes that look at clips.
        kinds: those whose encoders are tuned.
        config: how encoders are tuned.
    """

    run: Run
    plan: Plan
    dataset: Dataset
    frozen: Looks
    jobs: int
    kinds: tuple[str, ...]
    config: TuneConfig = field(default_factory=TuneConfig)
    _seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How many there are in tuning all of them once."""
        return self.config.epochs * len(self.kinds)

    def prepare(self, advance: Advance) -> None:
        """Looks at all clips with the trunks, unless that has been done; `advance` hears of every clip."""
        if self._seen:
            return
        with TemporaryDirectory() as directory:
            trunks = {kind.name: Path(directory) / f"{kind.name}.onnx" for kind in self._evidence()}
            for kind in self._evidence():
                write_encoder(trunk(pretrained()), kind.size, trunks[kind.name])
            recipe = self.plan.recipe.model_copy(update={"evidence": self._evidence(), "networks": {}})
            looker = Extractor(recipe, trunks, self.plan.augmentation, self._kept)
            files = look(looker, self.dataset.clips, self.plan.views, self.jobs, advance)
        labels = self.frozen.steps.labels
        views = (map(ClipFeatures.load, files[clip]) for clip in self.dataset.clips)
        windows = Windows.of(views, labels.tolist(), self.kinds, self.run.directory)
        for name in self.kinds:
            held = windows.inputs[name + MAP]
            self._seen[name] = Seen(held.values, _pictures(windows, held, len(labels)), labels)

    def tune(self, fold: int | None, advance: Advance) -> None:
        """Tunes the encoders without a fold, or on all clips, unless that has been done.

        Args:
            fold: which is left out; None where all clips are trained on.
            advance: hears of every epoch, and may end it by raising: then nothing of the encoder under way is kept.
        """
        folds = np.array([clip.fold for clip in self.dataset.clips])
        trained = np.arange(len(folds)) if fold is None else np.flatnonzero(folds != fold)
        for kind in self.kinds:
            weights = self.run.tuned(kind, fold).with_suffix(".pt")
            if not weights.is_file():
                self.prepare(lambda: None)
                stage = tune(Stage(pretrained()), self._seen[kind], trained, self.config, 0, advance)
                write_whole(weights, partial(torch.save, stage.state_dict()))

    def encoder(self, kind: str, fold: int | None) -> Path:
        """The ONNX file of a kind's encoder, of a fold or of all; of a kind that is not tuned, the one there is."""
        if kind not in self.kinds:
            return self.run.frozen(kind)
        path = self.run.tuned(kind, fold)
        if not path.is_file():
            whole = pretrained(with_map=kind == self.plan.mapped)
            Stage(whole).load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
            size = next(one.size for one in self._evidence() if one.name == kind)
            write_whole(path, lambda unfinished: write_encoder(whole, size, unfinished))
        return path

    def looks(self, fold: int | None) -> Looks:
        """What the tuned encoders of a fold, or those of all, see in all clips; a fold's means are kept as well."""
        self.prepare(lambda: None)
        inputs = dict(self.frozen.steps.inputs)
        for kind, seen in self._seen.items():
            stage = Stage(pretrained())
            stage.load_state_dict(torch.load(self.run.tuned(kind, fold).with_suffix(".pt"), weights_only=True))
            features = Shelf(self.run.directory)
            maps = Shelf(self.run.directory) if kind + MAP in inputs else None
            see(stage.eval(), seen.positions, features, maps)
            inputs[kind] = Held(features, inputs[kind].places)
            if maps is not None:
                inputs[kind + MAP] = Held(maps, inputs[kind + MAP].places)
        steps = replace(self.frozen.steps, inputs=inputs)
        if fold is not None:
            kinds = familiarity.kinds_read(self.plan.recipe, self.plan.variants[0].kinds)
            means = familiarity.clip_means(steps, kinds, len(self.dataset.clips))
            write_whole(_means(self.run, fold), lambda path: _save(path, means))
        return Looks(steps, steps.pooled(self.run.directory))

    def forget(self, *, all_of_it: bool) -> None:
        """Takes away what the trunks saw, and where the tuned encoders are not kept, those as well."""
        self._seen.clear()
        shutil.rmtree(self._kept, ignore_errors=True)
        for fold in self.dataset.folds if all_of_it else ():
            shutil.rmtree(_means(self.run, fold).parent, ignore_errors=True)

    @property
    def _kept(self) -> Path:
        return self.run.directory / "positions"

    def _evidence(self) -> tuple[PictureSpec, ...]:
        return tuple(kind for kind in self.plan.recipe.evidence if kind.name in self.kinds)


def means_apart(run: Run, plan: Plan) -> Mapping[int, familiarity.Means] | None:
    """What clips show on average to the encoders that were tuned without each fold, by fold; None where none were."""
    if not plan.variants[0].tuned:
        return None
    found: dict[int, familiarity.Means] = {}
    for fold in {trial.fold for trial in run.trials()}:
        with np.load(_means(run, fold)) as arrays:
            found[fold] = {kind: arrays[kind] for kind in arrays if kind in plan.variants[0].kinds}
    return found


def _means(run: Run, fold: int) -> Path:
    return run.tuned("means", fold).with_suffix(".npz")


def _pictures(windows: Windows, held: Held, clips: int) -> list[list[NDArray[np.int64]]]:
    """The places of the pictures of each clip's views."""
    found: list[list[NDArray[np.int64]]] = [[] for _ in range(clips)]
    for clip, view in sorted(set(zip(windows.clips.tolist(), windows.views.tolist(), strict=True))):
        rows = (windows.clips == clip) & (windows.views == view)
        found[clip].append(np.unique(held.places[rows]))
    return found


def _save(path: Path, means: familiarity.Means) -> None:
    with path.open("wb") as file:  # to a path, numpy would add an ending
        np.savez(file, allow_pickle=False, **means)
