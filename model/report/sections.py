"""What `report.html` tells, section by section; what is not known is left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from model.data.dataset import Clip
from model.metrics.interval import Interval
from model.metrics.judgement import Judgement, Mistake
from model.page.drawing import jpeg, svg
from model.page.markup import bars, figure, folded, items, label, paragraphs, prose, table, text
from model.report import diagrams
from model.report.facts import ReportFacts
from model.report.filmstrip import filmstrip

# What is listed is bounded, so that a page of very many clips is no larger than one of a few.
_MOST_SHOWN, _MOST_LISTED, _MOST_CLASSES, _MOST_CONFUSIONS, _MOST_COMPARED = 24, 60, 1000, 12, 8
_WIDE = 640
# The confusion matrix of so few needs little room.
_FEW_CLASSES = 8


def headline(facts: ReportFacts) -> str:
    """How good it is, in a line and a few bars."""
    told = facts.judgement
    others = [(one.name, one.accuracy) for one in facts.candidates if not one.chosen][:_MOST_COMPARED]
    plain = [("always the commonest action", told.majority), ("chance", 1 / len(told.labels))]
    beside = [("this model", told.accuracy), *others, *plain]
    clips = f"{len(told.clips):,} clips of {len(set(told.truth.tolist()))} actions"
    return (
        f"<h1>{100 * told.accuracy:.1f} % right</h1>\n"
        + paragraphs(
            f"On {clips}, {_of(told.interval)} with 95 % confidence. {text(facts.split)}",
            _how_sure(told),
            _repeated(told),
            text(facts.held_out),
        )
        + bars((name, share, f"{100 * share:.1f} %") for name, share in beside)
    )


def _how_sure(told: Judgement) -> str:
    if not told.grouped:
        return (
            "The interval is Wilson's, for clips that have nothing to do with one another. It tells of clips like "
            "these, not of other places, cameras and people."
        )
    sources = len(set(told.sources))
    return (
        f"The clips come from {sources:,} sources, and those of one source are right or wrong together: for how sure "
        f"one can be they count as {told.effective:.0f} clips and not as {len(told.clips):,}, and the interval "
        f"(Wilson's) is made of that number. Drawing whole sources anew a thousand times gives {_of(told.drawn)}."
    )


def _repeated(told: Judgement) -> str:
    if told.repetitions == 1:
        return ""
    return f"Each clip was answered {told.repetitions} times; figures are means over those."


def _of(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"


def found(facts: ReportFacts) -> str:
    """What was found in the data: layout, sources, what cannot be used, what would help."""
    told = facts.found
    skipped = [f"<code>{text(_short(path.as_posix()))}</code>: {text(reason)}" for path, reason in told.skipped]
    parts = [
        paragraphs(text(told.layout), text(told.sources)),
        paragraphs("What would help:") + items(map(prose, told.advice[:_MOST_LISTED])) if told.advice else "",
        folded(_left_out(len(skipped)), items(_bounded(skipped))) if skipped else "",
    ]
    return _section("What was found", parts)


def _left_out(files: int) -> str:
    return f"{files:,} {'file was' if files == 1 else 'files were'} left out"


def _bounded(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_MOST_LISTED]
    if len(lines) > _MOST_LISTED:
        yield f"and {len(lines) - _MOST_LISTED:,} more"


def actions(facts: ReportFacts) -> str:
    """A row for each action: how many clips and sources, how well it is recognised, what it is taken for."""
    told = facts.judgement
    clips, sources = Counter(clip.label for clip in told.clips), _sources(told)
    rows = []
    for place, (name, figures) in enumerate(zip(told.labels, told.classes, strict=True)):
        taken = _taken_for(told, place)
        cells = (
            label(name),
            f"{clips[name]:,}",
            f"{len(sources[name]):,}",
            _percent(figures.recall),
            _percent(figures.precision),
            _percent(figures.f1),
            taken,
        )
        rows.append((2.0 if figures.recall is None else figures.recall, cells))
    rows.sort(key=lambda row: row[0])
    header = ("action", "clips", "sources", "recall", "precision", "F1", "else taken for")
    return _section(
        "Action by action",
        [
            paragraphs(
                "The least recognised first. Recall: of its clips, how many are recognised. Precision: where it is the "
                "answer, how often that is right. A class of few clips says little about itself."
            ),
            table(header, [cells for _, cells in rows[:_MOST_CLASSES]], numbers=5),
        ],
    )


def _sources(told: Judgement) -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for clip, source in zip(told.clips, told.sources, strict=True):
        found[clip.label].add(source)
    return found


def _taken_for(told: Judgement, place: int) -> str:
    row = told.matrix[place].copy()
    total, row[place] = row.sum(), 0
    best = [other for other in np.argsort(-row, kind="stable")[:2] if row[other]]
    return ", ".join(f"{label(told.labels[other])} {100 * row[other] / total:.0f} %" for other in best)


def confusion(facts: ReportFacts) -> str:
    """The confusion matrix, as a picture and, where it can be read, as a table."""
    told = facts.judgement
    count = len(told.labels)
    shares = told.matrix / np.maximum(1, told.matrix.sum(1, keepdims=True))
    off = told.matrix * ~np.eye(count, dtype=bool)
    worst = [divmod(int(place), count) for place in np.argsort(-off, axis=None, kind="stable")[:_MOST_CONFUSIONS]]
    sentences = [
        f"{label(told.labels[row])} taken for {label(told.labels[column])}: "
        f"{off[row, column]:,} answers, {100 * shares[row, column]:.0f} % of its own"
        for row, column in worst
        if off[row, column]
    ]
    counts = folded("The matrix in numbers", _counts(told)) if count <= 30 else ""
    return _section(
        "What is taken for what",
        [
            figure(
                svg(diagrams.confusion(told.matrix, told.labels)),
                "confusion matrix; the list below says what is confused most",
                "Rows are actions, columns answers, in % of each action's clips. All right would be a diagonal.",
                kind="square" if count > _FEW_CLASSES else "small square",
            ),
            paragraphs("Confused most often:") if sentences else paragraphs("Nothing was confused."),
            items(sentences),
            counts,
        ],
    )


def _counts(told: Judgement) -> str:
    names = [label(name) for name in told.labels]
    rows = [(name, *map(str, row)) for name, row in zip(names, told.matrix.tolist(), strict=True)]
    return table(("", *names), rows, numbers=len(names))


def sureness(facts: ReportFacts) -> str:
    """Whether scores can be taken at their word, and what happens to clips unlike all known."""
    told = facts.judgement
    panels = [(f"before: temperature 1, ECE {told.raw_ece:.3f}", told.raw_bins)]
    if told.temperature != 1:
        panels.append((f"after: temperature {told.temperature:.3f}, ECE {told.ece:.3f}", told.bins))
    after = "" if told.temperature == 1 else f"; divided by a temperature of {told.temperature:.3f}, by {told.ece:.3f}"
    return _section(
        "How far scores can be trusted",
        [
            figure(
                svg(diagrams.reliability(panels)),
                f"reliability diagram: expected calibration error {told.ece:.3f}",
                "Of the answers with a score like this, how many are right. On the line, a score is a probability; "
                "bars below it are too sure. Bars of few answers, counted below, mean little.",
            ),
            paragraphs(
                f"On average the best score is off the share right by {told.raw_ece:.3f}{after} (expected calibration "
                "error, 15 bins; 0 would be perfect)."
            ),
            *_abstaining(facts),
            *_strangers(told),
        ],
    )


def _abstaining(facts: ReportFacts) -> Iterator[str]:
    if facts.abstention is not None:
        yield "<h3>When it says that it does not know</h3>\n"
        told = facts.abstention
        yield paragraphs(
            f"A clip whose score of familiarity is below {told.threshold:.2f} is answered with <code>abstained</code>. "
            f"Of {told.clips:,} clips of known actions, each measured by what was fitted without its fold, "
            f"{100 * told.false_alarms:.1f} % are; where an answer so rejected counts as wrong, that costs "
            f"{told.accuracy_cost:.1f} points of accuracy."
        )
        yield items(
            f"{text(one.name)}: {100 * one.rejected:.1f} % of {one.clips:,} clips that show something else are "
            f"rejected (AUROC {one.auroc:.3f}; 0.5 is chance)"
            for one in told.strangers
        )


def _strangers(told: Judgement) -> Iterator[str]:
    if told.strangers is None or told.stranger_auroc is None:
        return
    count = Counter(clip.label for clip in told.strangers.clips)
    named = ", ".join(f"{label(name)} {clips:,}" for name, clips in count.most_common(_MOST_CONFUSIONS))
    rest = ", …" if len(count) > _MOST_CONFUSIONS else ""
    yield "<h3>Actions that it does not know</h3>\n"
    yield paragraphs(
        f"{len(told.strangers.clips):,} clips show actions that the model does not know ({named}{rest}). No answer to "
        "them can be right, and they are in none of the figures above. Its best score was higher for a clip of a known "
        f"action than for one of those in {100 * told.stranger_auroc:.0f} of 100 pairs (AUROC "
        f"{told.stranger_auroc:.3f}; 0.5 is chance)."
    )


def mistakes(facts: ReportFacts) -> str:
    """The clips that were wrong with the highest scores, to look at."""
    worst = facts.judgement.mistakes(_MOST_SHOWN)
    if not worst:
        return _section("The worst mistakes", [paragraphs("There are none.")])
    cards = "".join(map(_mistake, worst))
    return _section(
        "The worst mistakes",
        [
            paragraphs(
                "Wrong, and most sure of it. Look whether the label is right, whether two actions are one, or whether "
                "the action is too small, too short or out of the picture."
            ),
            f'<ol class="mistakes">{cards}</ol>\n',
        ],
    )


def _mistake(one: Mistake) -> str:
    name = _short(one.clip.path.as_posix())
    picture = _thumbnail(one.clip)
    shown = f'<img src="{picture}" alt="frames of {text(name)}">' if picture else '<span class="soft">no picture</span>'
    return (
        f"<li>{shown}<p><b>{label(one.clip.label)}</b> taken for <b>{label(one.answer)}</b> {one.score:.2f} "
        f'<span class="soft">(its own label {one.truth:.2f})</span><br><code>{text(name)}</code></p></li>'
    )


def _thumbnail(clip: Clip) -> str:
    try:
        strip = filmstrip(clip.path.read_bytes(), clip.start_s, clip.end_s)
    except OSError:  # it may have been moved since
        return ""
    return "" if strip is None else jpeg(strip, _WIDE)


def choice(facts: ReportFacts) -> str:
    """What was compared, what was chosen and why, and how it was trained."""
    spreads = any(one.spread for one in facts.candidates)
    rows = [
        (
            f"<b>{label(one.name)}</b>" if one.chosen else label(one.name),
            f"{100 * one.accuracy:.1f} %",
            *((f"± {100 * one.spread:.1f}",) if spreads else ()),
            text(one.note),
        )
        for one in facts.candidates[:_MOST_LISTED]
    ]
    header = ("head", "accuracy", *(("spread",) if spreads else ()), "")
    watched = [one for one in facts.trials if one.chosen_by]
    parts = [
        paragraphs(text(facts.why)),
        table(header, rows, numbers=len(header) - 2) if rows else "",
        figure(
            svg(diagrams.curves(watched)),
            "loss and accuracy on the fold watched, by epoch",
            "A line for each training, a point at the epoch chosen. The fold watched is never the fold tested.",
        )
        if watched
        else "",
    ]
    return _section("What was chosen, and how it learned", parts)


def took(facts: ReportFacts) -> str:
    """How long everything took."""
    rows = [(text(what), _time(seconds)) for what, seconds in facts.took_s.items()]
    if len(rows) > 1:
        rows.append(("<b>together</b>", _time(sum(facts.took_s.values()))))
    return _section("How long it took", [table((), rows, numbers=1) if rows else ""])


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _short(path: str) -> str:
    """The last parts of a path, which tell a clip from others."""
    return "/".join(path.split("/")[-2:])


def _section(title: str, parts: Iterable[str]) -> str:
    content = "".join(parts)
    return f"<section>\n<h2>{title}</h2>\n{content}</section>\n" if content else ""
