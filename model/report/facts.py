"""What `report.html` tells of: plain facts, of a run or of a judgement on new clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.data.dataset import Dataset
from model.metrics.judgement import Judgement
from model.run.run import Run
from model.run.table import rows
from model.training.trial import Trial, out_of_fold
from service.inference.card import Abstention


@dataclass(frozen=True)
class DataFacts:
    """What was found before anything was looked at; all of it may be left out.

    Attributes:
        layout: a sentence that says how labels were told from paths.
        sources: a sentence that says how clips were grouped by the video that they come from, and how sure that is.
        skipped: the clips that cannot be used, each with the reason.
        advice: what would help, in sentences.
    """

    layout: str = ""
    sources: str = ""
    skipped: tuple[tuple[Path, str], ...] = ()
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One of the heads that were compared.

    Attributes:
        name: for people.
        accuracy: by cross-validation, in [0, 1].
        spread: its standard deviation over repetitions.
        note: anything else, such as its settings.
        chosen: whether it is the one that is kept.
    """

    name: str
    accuracy: float
    spread: float = 0.0
    note: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class ReportFacts:
    """All that the page tells. Only the first three are needed; a section whose facts are missing is left out.

    Attributes:
        title: the model's or the data's name.
        judgement: the answers; of a run, those to clips of folds that the head had not been trained on.
        split: a sentence that says how clips were kept apart from those trained on.
        found: what was found in the data.
        candidates: what was compared, in the order to be shown.
        why: a sentence that says why the chosen one was.
        trials: whose curves are drawn.
        held_out: a sentence that says how good it is on clips that the data's own split keeps out.
        abstention: when the model says that it does not know.
        took_s: what took how many seconds, in order.
    """

    title: str
    judgement: Judgement
    split: str
    found: DataFacts = field(default_factory=DataFacts)
    candidates: tuple[Candidate, ...] = ()
    why: str = ""
    trials: tuple[Trial, ...] = ()
    held_out: str = ""
    abstention: Abstention | None = None
    took_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls,
        run: Run,
        dataset: Dataset,
        *,
        title: str = "",
        found: DataFacts | None = None,
        why: str = "",
        took_s: Mapping[str, float] | None = None,
    ) -> ReportFacts:
        """Of a finished run and the clips that it was trained on.

        Raises:
            RunError: the run is not finished, or was trained on other clips.
        """
        plan, final, trials, held_out = run.plan(), run.final(), run.trials(), run.held_out()
        plan.check(dataset)
        kept = [one for one in trials if one.variant == plan.variants[0]]
        repeated = f", repeated {plan.seeds} times" if plan.seeds > 1 else ""
        table, kinds = rows(plan, trials), [kind.name for kind in plan.recipe.evidence]
        return cls(
            title=title or run.name,
            judgement=judged(kept, dataset, final.calibrated.temperature),
            split=(
                f"{plan.folds}-fold cross-validation{repeated}: each clip was answered by heads that had been trained "
                "on the other folds. No source lies in two folds."
            ),
            found=found or DataFacts(),
            candidates=tuple(
                Candidate(
                    row.variant.called(kinds), row.accuracy, row.spread, f"{row.epochs:.0f} epochs", chosen=place == 0
                )
                for place, row in enumerate(table)
            ),
            why=why,
            trials=tuple(kept),
            held_out="" if held_out is None else held_out.sentence,
            abstention=final.abstention,
            took_s=took_s or {},
        )


def judged(trials: Sequence[Trial], dataset: Dataset, temperature: float) -> Judgement:
    """The out-of-fold answers of some trials, which together test every clip equally often."""
    places, logits = out_of_fold(trials)
    return Judgement(dataset.labels, dataset.clips, places, np.asarray(logits, dtype=np.float64), temperature)
