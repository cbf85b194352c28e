"""The page of `kinema explore`: HTML with everything inline, no script, no request."""

from __future__ import annotations

from pathlib import Path

from model.console import console
from model.explore.exploration import Exploration, ExploreError, Progress, explore
from model.explore.primer import HEADS
from model.explore.sections import section
from model.page.markup import bars, document, label, paragraphs, table, text
from service.inference.card import Card
from service.inference.postprocess import Prediction


def write_page(model: Path, clip: Path, page: Path) -> Prediction:
    """Writes a page that shows what a bundle saw in a clip, and returns the best answer.

    Raises:
        ExploreError: the clip cannot be read, or the page cannot be written.
        BundleError: no bundle, or one whose head cannot be read back.
        ClipError: the clip cannot be decoded.
    """
    if page.exists() and page.samefile(clip):
        raise ExploreError(f"{page} is the clip itself", "Name another file with -o.")
    try:
        data = clip.read_bytes()
    except OSError as error:
        raise ExploreError(f"{clip} cannot be read: {error.strerror}", "Name a clip.") from error
    with console.status("") as status:
        found = explore(model, data, status.update)
        html = render(found, clip.name, status.update)
    try:
        page.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExploreError(f"{page} cannot be written: {error.strerror}", "Name another file with -o.") from error
    return found.predictions[0]


def render(found: Exploration, clip: str, progress: Progress = lambda _: None) -> str:
    """The page.

    Args:
        found: what it shows.
        clip: the clip's name.
        progress: hears what is done next.
    """
    best = found.predictions[0]
    windows = []
    for number, window in enumerate(found.windows):
        progress(f"drawing window {number + 1} of {len(found.windows)}")
        windows.append(section(found, window, number))
    parts = [
        f'<p class="kicker">What {text(found.card.name)} {text(found.card.version)} saw in {text(clip)}</p>',
        f"<h1>{label(best.label)}</h1>",
        _about_clip(found),
        bars((one.label, one.score, f"{one.score:.3f}") for one in found.predictions),
        *([_primer()] if found.head.name != "mean" else []),
        *windows,
        _head(found),
        "<footer>Written by kinema explore from the weights in the bundle. It asks for nothing from anywhere.</footer>",
    ]
    return document(f"{text(clip)}: {label(best.label)}", parts)


def _about_clip(found: Exploration) -> str:
    media, card = found.receipt.media, found.card
    windows = len(found.windows)
    over = f", from the mean of {windows} windows' logits" if windows > 1 else ""
    warnings = "".join(f'<p class="soft">{text(one[:1].upper() + one[1:])}.</p>' for one in found.receipt.warnings)
    return (
        f'<p class="soft">{media.duration_s:.2f} s, {media.width} × {media.height}, {media.fps:g} frames a second; '
        f"looked at {card.sampling.fps:g} times a second. Scores of the best answers{over}:</p>{warnings}"
    )


def _primer() -> str:
    return "<h2>How to read this</h2>\n" + paragraphs(
        "A convolutional network sees one picture. To know an action one has to remember pictures, and an LSTM does: "
        "it reads step by step, with the same weights at every step, as a convolution has the same weights at every "
        "place. From step to step it keeps a <b>memory</b>, C. Each number in it is called a unit here, as one would "
        "say channel.",
        "Three <b>gates</b>, each from 0 (shut) to 1 (open) for every unit, decide what happens at a step. The "
        "forget gate keeps or erases what is there. The input gate lets the candidate, what the step would like to "
        "write, in or not. The output gate decides whether what is remembered is also <b>said</b>: h, which is what "
        "the answer is read from and what the gates see at the next step.",
    )


def _head(found: Exploration) -> str:
    head, card = found.head, found.card
    told = HEADS[head.name]
    state = ", ".join(f"{text(name)} {size}" for name, size in head.state.items())
    numbers = sum(head.state.values())
    of_reader = f", {head.reader_parameters:,} of them in the reader" if head.reader_parameters else ""
    rows = [
        ("learned numbers", f"{head.parameters:,}{of_reader}, beside the encoders"),
        (
            "streams",
            "yes: a clip in chunks, with the state handed on, gets the answer of the whole"
            if head.streams
            else "no: it needs the whole window at once",
        ),
        ("state", f"{numbers} numbers ({4 * numbers / 1024:.1f} KiB): {state}"),
        ("temperature", f"{card.temperature:.3f}, by which logits are divided before the softmax"),
    ]
    return (
        f"<h2>What this head is: {text(told.title)}</h2>\n"
        + paragraphs(text(told.summary))
        + f"<pre>{text(told.equations)}</pre>\n"
        + (paragraphs(_SYMBOLS) if head.name != "mean" else "")
        + table((), rows)
        + "<h3>How good it is</h3>\n"
        + _accuracy(card)
    )


_SYMBOLS = (
    "σ squashes to between 0 and 1, tanh to between &minus;1 and 1; ∘ multiplies number by number; x_t is what the "
    "step reads; W, U, V, p and b are learned and the same at every step. C and h are 0 before the first one."
)


def _accuracy(card: Card) -> str:
    if not card.metrics:
        return paragraphs("The card states no figures.")
    rows = [(text(one.name), f"{one.value:.3f}", f"{one.clips}", text(one.split)) for one in card.metrics]
    return table(("by the card", "value", "clips", "measured how"), rows, numbers=2)
