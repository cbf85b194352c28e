"""What the page of `kinema explore` shows of a window: pictures, and in words what can be seen in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from model.explore import facts, plots
from model.explore.exploration import Exploration, Window
from model.explore.witness import READER, Trace, Values
from model.page import drawing
from model.page.markup import figure, label, number, paragraphs, signed, table, text
from service.inference.postprocess import rank
from service.video.preprocess import Picture

_WIDE, _NARROW, _LIT = 192, 112, 160
"""How wide a picture is that spans several steps, one of a single step, and one that is lit, in pixels."""
_LEADERS = 5


def section(found: Exploration, window: Window, place: int) -> str:
    """The section of a window; the first one, whose place is 0, is open."""
    best = int(window.scores[-1].argmax())
    span = f"{window.times_s[0]:.2f} to {window.times_s[-1]:.2f} s"
    title = "The clip" if len(found.windows) == 1 else f"Window {place + 1} of {len(found.windows)}"
    said = f"{span}, {label(found.card.labels[best])} {window.scores[-1, best]:.3f}"
    parts = [
        _looked_at(found, window),
        _answer(found, window),
        *_attention_map(found, window),
        *_attention(window),
        *(_inside(found, window, trace) for trace in window.traces),
        *_memory_map(found, window),
        *(_gradients(found, window, trace) for trace in window.traces),
    ]
    opened = "" if place else " open"
    summary = f"<summary>{title}<small>{said}</small></summary>"
    return f'<details class="window"{opened}>\n{summary}\n' + "\n".join(parts) + "</details>\n"


def _strip(window: Window, name: str, pictures: Mapping[int, Picture]) -> str:
    """A row of pictures, each as wide as the steps it stands for."""
    starts = sorted(pictures)
    ends = [*starts[1:], window.steps]
    images = []
    for start, end in zip(starts, ends, strict=True):
        width = _WIDE if end - start > 1 else _NARROW
        uri, column = drawing.jpeg(pictures[start], width), f"grid-column:{start + 1}/{end + 1}"
        images.append(f'<img src="{uri}" style="{column}" alt="{text(name)} at {_seconds(window, start)}">')
    return f'<div class="strip" style="--steps:{window.steps}"><b>{text(name)}</b>{"".join(images)}</div>'


def _clock(window: Window) -> str:
    every = -(-window.steps // 16)
    times = (
        f'<span style="grid-column:{one + 1}">{window.times_s[one]:.2f}</span>' for one in range(0, window.steps, every)
    )
    return f'<div class="strip" style="--steps:{window.steps}"><b class="soft">seconds</b>{"".join(times)}</div>'


def _strips(window: Window, rows: Iterable[str], caption: str) -> str:
    return f"<figure><div>{''.join(rows)}{_clock(window)}</div><figcaption>{caption}</figcaption></figure>\n"


def _looked_at(found: Exploration, window: Window) -> str:
    rows = [_strip(window, kind, pictures) for kind, pictures in window.pictures.items()]
    flow = [kind.name for kind in found.card.evidence if kind.picture == "flow"]
    motion = (
        f" Pictures of {text(' and '.join(flow))} show what moved since the step before: red is more where it went to "
        "the right and less where to the left, green more down and less up, blue more the further. What stood still "
        "is olive."
        if flow
        else ""
    )
    return "<h3>What it looked at</h3>\n" + _strips(
        window, rows, f"{window.steps} steps. A picture that is wider than a step stands for all of them.{motion}"
    )


def _answer(found: Exploration, window: Window) -> str:
    labels, steps = found.card.labels, window.steps
    leaders = rank(window.scores[-1], labels, _LEADERS)
    drawn = plots.answers({one.label: window.scores[:, one.label_id] for one in leaders}, window.times_s)
    since = facts.lead_since(window.scores)
    when = "from the first step on" if since == 0 else f"since {_seconds(window, since)}, step {since + 1} of {steps}"
    led = f"In the lead {when}: {label(leaders[0].label)}."
    return (
        "<h3>How the answer came about</h3>\n"
        + figure(
            drawing.svg(drawn), "scores of the leading labels after each step", f"The scores after each step. {led}"
        )
        + _experts(found, window)
    )


def _experts(found: Exploration, window: Window) -> str:
    def told(name: str, scores: NDArray[np.float64]) -> tuple[str, ...]:
        best = rank(scores[-1], found.card.labels, 3)
        return text(name), *(f"{label(one.label)} {one.score:.3f}" for one in best)

    rows = [told(name, scores) for name, scores in window.opinions.items()]
    header = ("says alone", "first", "second", "third")[: len(rows[0])]
    count = len(rows)
    together = told("all together", window.scores)
    reader = (
        f" The {READER} is the recurrent network, whose inside is shown below."
        if READER in window.opinions
        else " There is no recurrent network among them, so there is no inside to show: each looks at a step by itself."
    )
    return paragraphs(
        f"The answer is the sum of what {count} {'experts say' if count > 1 else 'expert says'}, in logits: where they "
        f"agree the answer is surer than any of them.{reader}"
    ) + table(header, [*rows, together])


def _inside(found: Exploration, window: Window, trace: Trace) -> str:
    several = len(window.traces) > 1
    way = (
        "backwards, from the last step to the first" if trace.backwards else "forwards, from the first step to the last"
    )
    mapped = trace.cell.ndim > 2
    rows = (
        f"A row is one of {trace.cell.shape[1]} channels, the mean over all positions."
        if mapped
        else f"A row is one of {trace.cell.shape[1]} units."
    )
    gates = drawing.svg(plots.gates(trace, window.times_s))
    memory = drawing.svg(plots.memory(trace, window.times_s))
    course = drawing.svg(plots.course(trace, window.times_s))
    return (
        f"<h3>The gates{f', reading {way}' if several else ''}</h3>\n"
        + figure(
            gates,
            "how open the gates of each unit were at each step",
            f"{rows} On top are those whose memory is highest when all is read, below those whose memory is lowest.",
        )
        + _gate_facts(trace)
        + paragraphs(_forgetting(found, trace, "channel" if mapped else "unit"))
        + f"<h3>The memory{f', reading {way}' if several else ''}</h3>\n"
        + figure(
            memory,
            "what each unit remembered and said at each step",
            "The same rows. Orange is above 0 and blue below; colours of C go no further than "
            f"{plots.FULL:g}. Where C has a colour and h has none, the output gate is shut: remembered, but not said.",
        )
        + figure(course, "the memory of each unit over the steps", "C again, a line for each row above.")
        + paragraphs(_changes(window, trace))
    )


def _gate_facts(trace: Trace) -> str:
    told = (
        ("input gate", trace.input_gate, "lets the candidate into the memory", "the step passes without a trace"),
        ("forget gate", trace.forget_gate, "keeps what is remembered", "erases it"),
        ("output gate", trace.output_gate, "says what is remembered", "keeps it to itself"),
    )
    rows = []
    for name, values, when_open, when_shut in told:
        fact = facts.gate(values)
        row = (name, f"{fact.mean:.2f}", f"{100 * fact.open:.0f} %", f"{100 * fact.shut:.0f} %", when_open, when_shut)
        rows.append(row)
    header = (
        "",
        "mean",
        f"open (over {facts.OPEN:g})",
        f"shut (under {facts.SHUT:g})",
        "what an open one does",
        "what a shut one does",
    )
    return table(header, rows, numbers=3)


def _forgetting(found: Exploration, trace: Trace, unit: str) -> str:
    steps, fps = len(trace.cell), found.card.sampling.fps
    lives = facts.half_lives(trace.forget_gate)
    middle = float(np.median(lives))
    lasting = int((lives > steps).sum())
    places = "" if trace.cell.ndim == 2 else " at one position"
    return (
        f"Half of what the middle {unit} remembers{places} is gone after {number(middle)} steps "
        f"({number(middle / fps)} s) if nothing is added. In {lasting} of {len(lives)} it outlasts the {steps} steps "
        "of this window: what the first of them wrote is still there, by half or more, when the last is read."
    )


def _changes(window: Window, trace: Trace) -> str:
    kind = "channel" if trace.cell.ndim > 2 else "unit"
    place = {int(unit): row + 1 for row, unit in enumerate(facts.order(trace))}
    told = [
        f"{kind} {one.unit} (row {place[one.unit]}; {signed(one.first)} after the first step read, {signed(one.last)} "
        "after the last)"
        for one in facts.changed_most(trace)
    ]
    busiest = facts.busiest(trace)
    when = "" if busiest is None else f" After the first step read, C changed the most at {_seconds(window, busiest)}."
    return f"The furthest went {', '.join(told)}.{when}"


def _attention(window: Window) -> Iterator[str]:
    if "attention" not in window.seen.outputs:
        return
    shares = window.seen.outputs["attention"]
    told = [
        (
            str(hop + 1),
            f"{100 * row.max():.0f} %",
            _seconds(window, int(row.argmax())),
            f"{facts.spread_over(row):.1f} of {window.steps}",
        )
        for hop, row in enumerate(shares)
    ]
    kind = next(iter(window.pictures))
    strip = _strip(window, kind, window.pictures[kind])
    drawn = drawing.svg(plots.attention(shares, window.times_s))
    caption = (
        "The share of each step, in per cent, in what is understood after the last one; each hop is a row and sums to "
        f"100. An even look would give each step {100 / window.steps:.1f} %."
    )
    yield (
        f'<h3>Attention over the steps</h3>\n<figure><div>{strip}<img src="{drawn}" alt="shares of the steps"></div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
        + table(("hop", "largest share", "at", "spread over steps"), told, numbers=3)
    )


def _lit(found: Exploration, window: Window, maps: Values, scale: Values, what: str, caption: str) -> str:
    """The picture of each step, lit where a map of [T, rows, columns] is high, the most where it reaches its scale."""
    kind = found.head.mapped
    assert kind is not None
    images = []
    for step, (values, most) in enumerate(zip(maps, scale, strict=True)):
        uri = drawing.jpeg(plots.heat(window.held(kind, step), values, float(most)), _LIT)
        when = _seconds(window, step)
        images.append(f'<div><img src="{uri}" alt="{text(what)} at {when}"><span>{when}</span></div>')
    return f'<figure><div class="sheet">{"".join(images)}</div><figcaption>{caption}</figcaption></figure>\n'


def _attention_map(found: Exploration, window: Window) -> Iterator[str]:
    if "attention_map" not in window.seen.outputs:
        return
    maps = window.seen.outputs["attention_map"]
    rows, columns = maps.shape[1:]
    spreads = [facts.spread_over(one) for one in maps]
    narrowest = int(np.argmin(spreads))
    row, column = np.unravel_index(int(maps[narrowest].argmax()), (rows, columns))
    yield (
        "<h3>Attention over the picture</h3>\n"
        + _lit(
            found,
            window,
            maps,
            maps.max((1, 2)),
            "attention over the picture",
            f"Where it looked: the share of each of {rows} × {columns} positions in what the step read, over the "
            "picture that it read. The brighter, the more, up to each step's largest share. A picture may stand for "
            "several steps, yet where it is looked at can change from one to the next.",
        )
        + paragraphs(
            f"Its look was spread over {np.mean(spreads):.1f} of {rows * columns} positions on average, and was "
            f"narrowest at {_seconds(window, narrowest)}: over {spreads[narrowest]:.1f}, most of all at row "
            f"{row + 1}, column {column + 1} ({100 * maps[narrowest].max():.0f} %). An even look would give each "
            f"{100 / (rows * columns):.1f} %."
        )
    )


def _memory_map(found: Exploration, window: Window) -> Iterator[str]:
    for trace in window.traces:
        if trace.cell.ndim == 2:
            continue
        maps = facts.memory_map(trace)
        step, row, column = np.unravel_index(int(maps.argmax()), maps.shape)
        yield (
            "<h3>Where the memory is</h3>\n"
            + _lit(
                found,
                window,
                maps,
                np.full(window.steps, maps.max()),
                "what is remembered over the picture",
                "How much is remembered at each position after each step, the norm of C over its channels, over the "
                "picture that the step read. All steps on one scale.",
            )
            + paragraphs(
                f"It is most at row {row + 1}, column {column + 1} of {maps.shape[1]} × {maps.shape[2]} at "
                f"{_seconds(window, int(step))}: a norm of {maps.max():.2f}, where the mean of all is "
                f"{maps.mean():.2f}."
            )
        )


def _gradients(found: Exploration, window: Window, trace: Trace) -> str:
    answered = label(found.card.labels[int(window.scores[-1].argmax())])
    drawn = drawing.svg(plots.gradients(trace, window.times_s))
    total, later = facts.in_reading_order(trace, trace.gradient), facts.in_reading_order(trace, trace.later)
    way = ", reading backwards" if trace.backwards else ", reading forwards" if len(window.traces) > 1 else ""
    compared = (
        f" Here ∂loss/∂h after the first step read has {number(float(total[0] / total[-1]))} times the norm that it "
        f"has after the last; by way of the steps between them alone, {number(float(later[0] / total[-1]))} times."
        if len(total) > 1 and total[-1] > 0
        else ""
    )
    return (
        f"<h3>How far back the answer is felt{way}</h3>\n"
        + figure(
            drawn,
            "norm of the gradient of the loss by h at each step",
            f"The norm of ∂loss/∂h_t, where the loss is the negative logarithm of the softmax for {answered}. "
            "Logarithmic.",
        )
        + paragraphs(
            "How much would the loss change if a step had said something else? What a step says counts at once, since "
            "all steps are read from, and by way of what later steps make of it. That second part is what vanishes, or "
            f"explodes, in a plain recurrent network when there are many steps.{compared}"
        )
    )


def _seconds(window: Window, step: int) -> str:
    return f"{window.times_s[step]:.2f} s"
