"""What would make a folder of clips better to learn from, in sentences."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from model.folder.gather import Found
from model.folder.sources import Sources
from model.folder.words import among, count

_FEW_CLIPS = 8
_FEW_SOURCES = 3
_IMBALANCE = 5
_SMALL = 96
_LOW_FPS = 8.0
# A clip of so many windows shows more than its action, or shows it only somewhere.
_LONG = 6
_BACKGROUND = re.compile(
    r"(?:^|[\W_])(?:background|bg|empty|idle|negatives?|neutral|none|no|non|normal|nothing|other|others|rest|unknown)"
    r"(?:[\W_]|$)",
    re.IGNORECASE,
)


def advise(found: Found, sources: Sources, window_s: float) -> tuple[str, ...]:
    """Sentences, the most important first; none where nothing is amiss.

    Args:
        found: the clips.
        sources: what each was cut from.
        window_s: seconds that the model looks at in one window.
    """
    return (
        *_spellings(found),
        *_few(found, sources),
        *_imbalance(found),
        *_lengths(found, window_s),
        *_pictures(found),
        *_background(found),
    )


def _spellings(found: Found) -> Iterator[str]:
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for clip in found.clips:
        alike[re.sub(r"[\W_]+", "", clip.label).lower()].add(clip.label)
    for labels in alike.values():
        if len(labels) > 1:
            yield f"The classes {among(sorted(labels))} differ only in spelling: if they are one, name them alike."


def _few(found: Found, sources: Sources) -> Iterator[str]:
    clips = Counter(clip.label for clip in found.clips)
    of: defaultdict[str, set[str]] = defaultdict(set)
    for clip, source in zip(found.clips, sources.of, strict=True):
        of[clip.label].add(source)
    few = [f"{label} ({count(number, 'clip')})" for label, number in sorted(clips.items()) if number < _FEW_CLIPS]
    if few:
        yield (
            f"Too few clips to learn from or to judge by: {among(few)}. {_FEW_CLIPS} a class is the least, 30 are "
            "better; each clip from another recording helps more than several from one."
        )
    narrow = [f"{label} ({count(len(one), 'source')})" for label, one in sorted(of.items()) if len(one) < _FEW_SOURCES]
    if narrow and sources.sure != "none":
        yield (
            f"Too few sources: {among(narrow)}. A model may learn the place instead of the action: film it at least "
            f"{_FEW_SOURCES} times, with other people, in other places."
        )


def _imbalance(found: Found) -> Iterator[str]:
    clips = Counter(clip.label for clip in found.clips).most_common()
    (most, many), (least, few) = clips[0], clips[-1]
    if many >= _IMBALANCE * few:
        yield (
            f"{most} has {count(many, 'clip')} and {least} {few:,}: read the accuracy of each class, not only that of "
            f"all, and add clips of {least}."
        )


def _lengths(found: Found, window_s: float) -> Iterator[str]:
    lengths = lengths_s(found)
    long = sum(length is not None and length > _LONG * window_s for length in lengths)
    short = sum(length is not None and length < window_s / 3 for length in lengths)
    if long:
        yield (
            f"{count(long, 'clip')} last longer than {_LONG * window_s:.0f} s, and the model looks at {window_s:.1f} s "
            "at a time: where the action fills only a part, cut it out, or list its span with columns start and end."
        )
    if short:
        yield f"{count(short, 'clip')} last less than {window_s / 3:.1f} s: there is little motion to see."


def lengths_s(found: Found) -> Sequence[float | None]:
    """Seconds of each clip, or of its span; None where the file does not state them."""
    lengths = list[float | None]()
    for clip, seen in zip(found.clips, found.seen, strict=True):
        ends_s = [end_s for end_s in (clip.end_s, seen.duration_s) if end_s is not None]
        lengths.append(max(0.0, min(ends_s) - clip.start_s) if ends_s else None)
    return lengths


def _pictures(found: Found) -> Iterator[str]:
    small = sum(min(seen.width, seen.height) < _SMALL for seen in found.seen)
    if small:
        yield f"{count(small, 'clip')} are smaller than {_SMALL} pixels: what hands do cannot be seen in them."
    slow = sum(seen.fps < _LOW_FPS for seen in found.seen)
    if slow:
        yield f"{count(slow, 'clip')} have fewer than {_LOW_FPS:.0f} frames a second: quick motion is lost."


def _background(found: Found) -> Iterator[str]:
    labels = {clip.label for clip in found.clips}
    if not any(_BACKGROUND.search(label) for label in labels):
        yield (
            "No class looks like a background. If the model will see footage in which none of these actions happens, "
            "add a folder `background` with clips of that: otherwise every clip is given one of the actions."
        )
