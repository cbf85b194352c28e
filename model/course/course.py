"""The course of `kinema train`: from clips in a folder to a model that can be served, stage by stage.

Each stage writes what it found before the next begins, and one that finds its result written does nothing. So a run
that was interrupted at any moment goes on where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID

from model.bundle.export import Title, export
from model.bundle.golden import golden_clip
from model.console import console, progress
from model.course.finish import finish
from model.course.int8 import quantize
from model.data.dataset import Clip, DataError, Dataset
from model.data.views import Augmentation
from model.folder.gather import Found
from model.folder.sources import Sources
from model.metrics.calibration import softmax
from model.onnx.encoders import share_encoder
from model.report.facts import DataFacts, ReportFacts
from model.report.page import write_report
from model.run.choice import choose, contenders, told_of_tuning
from model.run.clock import Clock
from model.run.head import load_head
from model.run.held_out import HeldOut
from model.run.looks import Looks, extractor, look
from model.run.plan import Plan
from model.run.request import Request
from model.run.run import Run
from model.run.survey import Survey, evenly, survey, views, while_time
from model.run.tunings import Tunings
from model.training.cross_validation import configure, trial
from model.training.fit import TrainConfig, fit, predict
from model.training.trial import Trial, mean_epochs
from model.training.variant import Variant, variants
from service.inference.card import Card
from service.inference.place import REPORT

# Of the time that there is, so much may be used up when the last head to choose from, and the last baseline, is tried.
_CHOOSING, _COMPARING = 0.85, 0.88
# And when the last encoder is tuned.
_TUNING = 0.85
# Twins are made where so much of the time would be left after them.
_SPARE = 0.05
# Looking in int8 takes about as long as a view of all clips, and as long again for calibration and trials.
_TWINS = 2.5
# The least that looking at a clip takes one process.
_LOOK_S = 0.1


class _OutOfTime(Exception):
    """Tuning takes longer than there is time."""


@dataclass
class Course:
    """One run of `kinema train`.

    Attributes:
        model: the directory of the model.
        run: its run.
        request: what was asked for.
        title: what the card says that no run knows.
        golden: the golden clip; None where it is to be chosen.
        cache: where features are kept.
        jobs: processes that look at clips.
        clock: how long all may take.
        took_s: what took how many seconds.
    """

    model: Path
    run: Run
    request: Request
    title: Title
    golden: Path | None
    cache: Path
    jobs: int
    clock: Clock
    took_s: dict[str, float] = field(default_factory=dict)

    def take(self, found: Found, sources: Sources) -> Card:
        """Goes through all stages.

        Raises:
            DataError: the clips cannot be learned from; the advice says what would help.
            BundleError: the directory cannot be used.
        """
        # One thread, because sums over several depend on how many there are, and a model should not.
        torch.set_num_threads(1)
        seen = self._surveyed(found, sources)
        plan = self._plan(seen)
        self.run.keep_plan(plan)
        looks = self._looks(plan, seen)
        tunings = Tunings(self.run, plan, seen.inside, looks, self.jobs, self.request.finetune)
        plan = self._chosen(plan, seen, looks, tunings)
        kept = self._tuned_on_all(tunings) if plan.variants[0].tuned else looks
        if not (self.run.directory / "final.json").is_file():
            self._finish(plan, seen, looks, kept)
        self._quantize(plan, seen)
        with self._stage("writing the model"):
            card = self._export(plan, seen, kept)
            self._report(seen)
        if self.request.finetune:
            tunings.forget(all_of_it=not plan.variants[0].tuned)
        return card

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began_s = self.clock.passed_s
        yield
        self.took_s[name] = self.took_s.get(name, 0.0) + self.clock.passed_s - began_s

    def _surveyed(self, found: Found, sources: Sources) -> Survey:
        kept = self.run.survey()
        if kept is not None:
            return kept
        first = self._plan(None)
        self._share_encoders(first)
        broken: dict[Clip, DataError] = {}
        began_s = self.clock.passed_s
        order = evenly(found.clips)
        fewest = min(len(order), 4 * len({clip.label for clip in order}))
        with self._stage("looking at clips"), progress() as bar:
            task = bar.add_task("looking at clips", total=len(order))
            wanted = while_time(order, self.clock, fewest)
            looker = extractor(self.run, first, self.cache, frozen=True)
            looked = look(looker, wanted, 1, self.jobs, lambda: bar.advance(task), broken)
        done = survey(found, sources, self.request.recipe, looked, broken, self.request.folds)
        once_s = self.clock.passed_s - began_s
        number = views(self.request.views, len(done.inside.clips), self.clock, once_s)
        done = done.model_copy(update={"views": number})
        self.run.keep_survey(done)
        self.run.keep_clips(done.inside)
        return done

    def _plan(self, seen: Survey | None) -> Plan:
        """What is to be done; before the survey, as much of it as looking at clips needs."""
        if self.run.choice() is not None:
            return self.run.plan()
        dataset = Dataset(()) if seen is None else seen.inside
        kinds = tuple(kind.name for kind in self.request.recipe.evidence)
        heads = contenders(self.request.head, kinds)
        compared = variants(heads[0].head, kinds, baselines=self.request.baselines)
        beside = [one for one in compared if self.request.head is None or one not in heads]
        return Plan(
            dataset=dataset.digest,
            labels=dataset.labels,
            clips=len(dataset.clips),
            folds=len(dataset.folds),
            recipe=self.request.recipe,
            augmentation=Augmentation(),
            training=TrainConfig(horizon=self.request.epochs, patience=self.request.patience),
            views=1 if seen is None else seen.views,
            seeds=self.request.seeds,
            variants=tuple(dict.fromkeys((*heads, *beside))),
        )

    def _share_encoders(self, plan: Plan) -> None:
        for kind in plan.recipe.evidence:
            mapped = kind.name == plan.mapped
            network, path = plan.recipe.network(kind.name), self.run.frozen(kind.name)
            share_encoder(self.cache / "encoders", network, kind.size, path, with_map=mapped)

    def _looks(self, plan: Plan, seen: Survey) -> Looks:
        self._share_encoders(plan)
        clips = seen.inside.clips
        with self._stage("looking at clips"), progress() as bar:
            task = bar.add_task(f"looking at {plan.views} views", total=len(clips))
            looker = extractor(self.run, plan, self.cache, frozen=True)
            files = look(looker, clips, plan.views, self.jobs, lambda: bar.advance(task))
        return Looks.of(plan, seen.inside, files, self.run.directory)

    def _chosen(self, plan: Plan, seen: Survey, looks: Looks, tunings: Tunings) -> Plan:
        """The plan with the head that is kept first, and without those that there was no time for."""
        folds = np.array([clip.fold for clip in seen.inside.clips])
        todo = list(itertools.product(plan.variants, range(plan.seeds), seen.inside.folds))
        heads = contenders(self.request.head, plan.variants[0].kinds)
        with self._stage("choosing a head"), progress() as bar:
            task = bar.add_task("cross-validating", total=len(todo))
            for variant, seed, fold in todo:
                # The first has to be tried whatever it takes: without it there is no model.
                share = _CHOOSING if variant in heads else _COMPARING
                tried = self.run.trial(variant, seed, fold)
                if tried is None and (variant == plan.variants[0] or self.clock.left_s(share) > 0):
                    self.run.keep(trial(variant, plan.training, looks.read_by(variant), folds, seed, fold))
                bar.advance(task)
        if self.run.choice() is not None:
            return plan
        done = self.run.trials_of(plan)
        tried_heads = {one: done[one] for one in heads if one in done}
        labels = np.array([plan.labels.index(clip.label) for clip in seen.inside.clips])
        sources = [clip.source for clip in seen.inside.clips]
        choice = choose(tried_heads, labels, sources)
        if self.request.finetune:
            frozen = choice.chosen
            done |= self._tuned(plan, frozen, done[frozen], tunings)
            # Those that were published are the simpler ones, and come first.
            tried_heads |= {one: trials for one, trials in done.items() if one.tuned}
            choice = told_of_tuning(choose(tried_heads, labels, sources), frozen)
        plan = plan.keeping(choice.chosen, done)
        self.run.keep_plan(plan)
        self.run.keep_choice(choice)
        return plan

    def _tuned(
        self, plan: Plan, frozen: Variant, known: Sequence[Trial], tunings: Tunings
    ) -> dict[Variant, list[Trial]]:
        """The trials of a head on what the encoders see that were tuned without the fold tested.

        Its epochs are those that were chosen before: the fold that would be watched has been tuned on. Nothing, where
        there is not time for every fold, and for all clips in the end.
        """
        variant = frozen.model_copy(update={"tuned": self.request.finetune})
        todo = {fold: self._untried(variant, known, fold) for fold in tunings.dataset.folds}
        try:
            with self._stage("tuning encoders"), progress() as bar:
                if any(todo.values()):
                    self._see_positions(tunings, bar)
                task = bar.add_task("tuning encoders", total=tunings.epochs * (len(todo) + 1))
                for place, (fold, trials) in enumerate(todo.items(), 1):
                    began_s = self.clock.passed_s
                    if trials:
                        tunings.tune(fold, lambda: self._in_time(bar, task))
                        self._try(variant, trials, plan, tunings)
                    bar.update(task, completed=tunings.epochs * place)
                    # The folds that are left, and once more for all clips.
                    if self.clock.left_s(_TUNING) < (self.clock.passed_s - began_s) * (len(todo) + 1 - place):
                        raise _OutOfTime
        except _OutOfTime:
            console.print("There is not time to tune the encoders for every fold: they stay as they are.")
            return {}
        kept = (self.run.trial(variant, one.seed, one.fold) for one in known)
        return {variant: [one for one in kept if one is not None]}

    def _untried(self, variant: Variant, known: Sequence[Trial], fold: int) -> list[Trial]:
        """Those of a fold that have not been repeated with another head."""
        return [one for one in known if one.fold == fold and self.run.trial(variant, one.seed, fold) is None]

    def _try(self, variant: Variant, known: Sequence[Trial], plan: Plan, tunings: Tunings) -> None:
        """Repeats trials of one fold on what the encoders see that were tuned without it."""
        folds = np.array([clip.fold for clip in tunings.dataset.clips])
        windows = tunings.looks(known[0].fold).read_by(variant)
        for one in known:
            self.run.keep(trial(variant, plan.training, windows, folds, one.seed, one.fold, one.epochs))

    def _see_positions(self, tunings: Tunings, bar: Progress) -> None:
        task = bar.add_task("looking for tuning", total=len(tunings.dataset.clips))
        tunings.prepare(lambda: self._in_time(bar, task))
        bar.update(task, completed=len(tunings.dataset.clips))

    def _in_time(self, bar: Progress, task: TaskID) -> None:
        if self.clock.left_s(_TUNING) < 0:
            raise _OutOfTime
        bar.advance(task)

    def _tuned_on_all(self, tunings: Tunings) -> Looks:
        """What the encoders see that are kept: tuned on all clips, as long as those of each fold."""
        with self._stage("tuning encoders"), progress() as bar:
            task = bar.add_task("tuning encoders on all clips", total=tunings.epochs)
            tunings.tune(None, lambda: bar.advance(task))
            for kind in tunings.kinds:
                tunings.encoder(kind, None)
            bar.update(task, completed=tunings.epochs)
            return tunings.looks(None)

    def _finish(self, plan: Plan, seen: Survey, looks: Looks, kept: Looks) -> None:
        with self._stage("training the head"):
            self._answer_held_out(plan, seen, looks, kept)
            folds = np.array([clip.fold for clip in seen.inside.clips])
            finish(self.run, plan, kept.read_by(plan.variants[0]), folds)

    def _answer_held_out(self, plan: Plan, seen: Survey, looks: Looks, kept: Looks) -> None:
        """Tests heads that were trained on all other clips on those that the user's own split keeps out."""
        clips = seen.outside.clips
        if not clips:
            return
        mean = next((one for one in plan.variants if one.head == "mean"), plan.variants[0])
        truth = np.array([plan.labels.index(clip.label) for clip in clips])
        answered: list[NDArray[np.float64]] = []
        for variant in (plan.variants[0], mean):
            looker = extractor(self.run, plan, self.cache, frozen=not variant.tuned)
            files = look(looker, clips, 1, self.jobs, lambda: None)
            outside = Looks.of(plan, seen.outside, files, self.run.directory)
            inside = (kept if variant.tuned else looks).read_by(variant)
            epochs = mean_epochs([one for one in self.run.trials() if one.variant == variant])
            training = variant.training(plan.training)
            config = configure(variant, inside)
            head = fit(config, training, inside, np.arange(plan.clips), seed=0, epochs=epochs).head
            logits = predict(head, outside.read_by(variant), np.arange(len(clips)))
            answered.append(logits.numpy().astype(np.float64))
        right, mean_right = (int((logits.argmax(1) == truth).sum()) for logits in answered)
        self.run.keep_held_out(
            HeldOut(logits=tuple(map(tuple, answered[0].tolist())), right=right, mean_right=mean_right)
        )

    def _quantize(self, plan: Plan, seen: Survey) -> None:
        """Makes int8 twins where they are wanted and there is time."""
        if not self.request.int8 or self.run.twins() is not None:
            return
        # What was kept from an earlier training took no time, and tells nothing of what looking takes.
        once_s = max(self.took_s.get("looking at clips", 0.0) / plan.views, _LOOK_S * plan.clips / self.jobs)
        if self.clock.left_s(1 - _SPARE) < _TWINS * once_s:
            console.print("There is no time left for int8 twins; `kinema quantize` makes them.")
            return
        with self._stage("making int8 twins"):
            quantize(self.run, seen.inside, self.cache, self.jobs, each_fold=False)

    def _export(self, plan: Plan, seen: Survey, looks: Looks) -> Card:
        final = self.run.final()
        golden = self.golden
        if golden is None:
            own = looks.read_by(plan.variants[0])
            logits = predict(load_head(self.run, final), own, np.arange(plan.clips)).numpy().astype(np.float64)
            scores = softmax(logits, final.calibrated.temperature)
            window_s = plan.recipe.plan.window_s
            made = self.run.directory / "golden"
            golden = golden_clip(seen.inside.clips, scores, own.labels.numpy(), window_s, made)
        return export(self.run, self.model, golden, self.title)

    def _report(self, seen: Survey) -> None:
        told = DataFacts(seen.layout, f"{seen.sources} {seen.folds}", seen.skipped, seen.advice)
        choice = self.run.choice()
        write_report(
            self.model / REPORT,
            replace(
                ReportFacts.of_run(
                    self.run,
                    seen.inside,
                    title=self.title.name,
                    found=told,
                    why="" if choice is None else choice.why,
                ),
                took_s=self.took_s,
            ),
        )
